"""Times a network in this program against torchvision, timm or openai/guided-diffusion in PyTorch eager, in one run.

    PYTHONPATH=FOLDER_WITH_TORCH python3 benches/networks_against_pytorch.py [NETWORK] [--block N] [--batch 8] [--batches 10]
        [--f32] [--checkout PATH_TO_openai/guided-diffusion]

with PyTorch 2.11.0, torchvision 0.26.0 and timm 1.0.31. NETWORK is resnet-50, vit-b16, vit-l16, vit-s14-dinov2, or one of the classifiers
of noisy images (adm-64-classifier, adm-256-classifier), which need the checkout, at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c; these
have no bf16 in their reference, and MAGE is not among them, whose code needs a file of its tokenizer to be built. `--f32` leaves bf16 out.
Every time is the mean over the batches after one to warm up, in seconds for one image; the two programs take turns and never run at once.
PyTorch's are of the forward pass alone, of images that are in memory, and of ResNet-50 once in the layout that PyTorch gives them and once
channels-last. Ours are of the forward pass while the next images are decoded and prepared, and in brackets of the whole pass. The last
column is the ratio to PyTorch's whole network of the same precision. Weights are random: values are compared by
tests/suite/golden_resnet.rs, golden_vit.rs and golden_unet_encoder.rs.
"""

import argparse
import json
import subprocess
import sys
import time

import torch

# Of each: the block that is tapped where none is named, and the side of its images.
NETWORKS = {
    "resnet-50": (13, 224),
    "vit-b16": (6, 224),
    "vit-l16": (12, 224),
    "vit-s14-dinov2": (6, 224),
    "adm-64-classifier": (9, 64),
    "adm-256-classifier": (9, 256),
}
TIMM = {"vit-b16": "vit_base_patch16_224", "vit-l16": "vit_large_patch16_224", "vit-s14-dinov2": "vit_small_patch14_dinov2"}
# The arguments of `script_util.create_classifier`.
CLASSIFIERS = {
    "adm-64-classifier": {"image_size": 64, "classifier_depth": 4},
    "adm-256-classifier": {"image_size": 256, "classifier_depth": 2},
}
TIMESTEP = 90

parser = argparse.ArgumentParser()
parser.add_argument("network", nargs="?", choices=NETWORKS, default="resnet-50")
parser.add_argument("--repro", default="target/release/repro")
parser.add_argument("--block", type=int)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--batches", type=int, default=10)
parser.add_argument("--f32", action="store_true")
parser.add_argument("--checkout")
arguments = parser.parse_args()
is_classifier = arguments.network in CLASSIFIERS
device = "cuda" if torch.cuda.is_available() else "cpu"
tapped, SIDE = NETWORKS[arguments.network]
tapped = arguments.block or tapped


def network():
    if arguments.network == "resnet-50":
        import torchvision

        model = torchvision.models.resnet50(weights=None)
        return model, [*model.layer1, *model.layer2, *model.layer3, *model.layer4]
    if is_classifier:
        return classifier()
    import timm

    more = {"img_size": SIDE} if "dinov2" in arguments.network else {}
    model = timm.create_model(TIMM[arguments.network], pretrained=False, **more)
    return model, list(model.blocks)


def classifier():
    if not arguments.checkout:
        parser.error("a classifier of noisy images needs --checkout")
    sys.path.insert(0, arguments.checkout)
    from guided_diffusion import script_util

    defaults = script_util.classifier_defaults()
    model = script_util.create_classifier(**{**defaults, **CLASSIFIERS[arguments.network]})
    return model, [*model.input_blocks, model.middle_block]


def last_block():
    listed = subprocess.run([arguments.repro, "list", "models", arguments.network, "--json"], check=True, capture_output=True, text=True)
    return max(block["index"] for block in json.loads(listed.stdout)["blocks"])


class Deep(Exception):
    pass


def stop(_module, _inputs, _output):
    raise Deep


def seconds_of_pytorch(block, dtype, layout):
    model, blocks = network()
    model.eval().to(device, memory_format=layout)
    x = torch.randn(arguments.batch, 3, SIDE, SIDE, device=device).to(memory_format=layout)
    if block < LAST:
        blocks[block - 1].register_forward_hook(stop)
    steps = torch.full((arguments.batch,), TIMESTEP, device=device)
    inputs = (x, steps) if is_classifier else (x,)
    times = []
    with torch.inference_mode(), torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        for _ in range(arguments.batches + 1):
            since = time.perf_counter()
            try:
                model(*inputs)
            except Deep:
                pass
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - since)
    return sum(times[1:]) / arguments.batches / arguments.batch, ""


def seconds_of_repro(block, precision):
    command = [arguments.repro, "bench", "extraction", "--model", arguments.network, "--block", str(block), "--json"]
    command += ["--batch-size", str(arguments.batch), "--images", str(arguments.batch * arguments.batches)]
    command += ["--pool", "1", "--precision", precision, "--device", device]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    whole = measured["wall_seconds"] / measured["images"]
    return measured["forward_seconds"] / measured["images"], f" ({whole:.4g})"


print(f"{arguments.network} on {device}, {torch.get_num_threads()} threads, batches of {arguments.batch}, torch {torch.__version__}")
LAST = last_block()
layouts = [("", torch.contiguous_format)]
if arguments.network == "resnet-50":
    layouts.append((", channels-last", torch.channels_last))
whole = {}
print("| what | seconds an image | ratio |\n| :--- | ---: | ---: |")
for name, block in [("whole", LAST), (f"to b{tapped}", tapped)]:
    for precision, dtype in [("f32", None)] + [("bf16", torch.bfloat16)] * (not arguments.f32 and not is_classifier):
        rows = [(f"PyTorch, {precision}{of}", lambda layout=layout: seconds_of_pytorch(block, dtype, layout)) for of, layout in layouts]
        rows.append((f"repro, {precision}", lambda: seconds_of_repro(block, precision)))
        for what, measure in rows:
            seconds, note = measure()
            reference = whole.setdefault(precision, seconds)
            print(f"| {what}, {name} | {seconds:.4g}{note} | {seconds / reference:.3f} |", flush=True)
