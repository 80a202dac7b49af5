"""Times ResNet-50 or ViT-B/16 in this program against torchvision or timm in PyTorch eager: same network, same machine, one run.

    PYTHONPATH=FOLDER_WITH_TORCH python3 benches/networks_against_pytorch.py [resnet-50 | vit-b16] [--block N] [--batch 8] [--batches 10]

with PyTorch 2.11.0, torchvision 0.26.0 and timm 1.0.31. Every time is the mean over the batches after one to warm up, in seconds for one image;
the two programs take turns and never run at once. PyTorch's are of the forward pass alone, of images that are in memory, and of ResNet-50 once in
the layout that PyTorch gives them and once channels-last. Ours are of the forward pass while the next images are decoded and prepared, and in
brackets of the whole pass. The last column is the ratio to PyTorch's whole network of the same precision. Weights are random: values are compared by
tests/suite/golden_resnet.rs and golden_vit.rs.
"""

import argparse
import json
import subprocess
import time

import torch

# Of each: the block that is tapped where none is named, and the number of the logits.
NETWORKS = {"resnet-50": (13, 18), "vit-b16": (6, 18)}

parser = argparse.ArgumentParser()
parser.add_argument("network", nargs="?", choices=NETWORKS, default="resnet-50")
parser.add_argument("--repro", default="target/release/repro")
parser.add_argument("--block", type=int)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--batches", type=int, default=10)
arguments = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
tapped, LAST = NETWORKS[arguments.network]
tapped = arguments.block or tapped


def network():
    if arguments.network == "resnet-50":
        import torchvision

        model = torchvision.models.resnet50(weights=None)
        return model, [*model.layer1, *model.layer2, *model.layer3, *model.layer4]
    import timm

    model = timm.create_model("vit_base_patch16_224", pretrained=False)
    return model, list(model.blocks)


class Deep(Exception):
    pass


def stop(_module, _inputs, _output):
    raise Deep


def seconds_of_pytorch(block, dtype, layout):
    model, blocks = network()
    model.eval().to(device, memory_format=layout)
    x = torch.randn(arguments.batch, 3, 224, 224, device=device).to(memory_format=layout)
    if block < LAST:
        blocks[block - 1].register_forward_hook(stop)
    times = []
    with torch.inference_mode(), torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        for _ in range(arguments.batches + 1):
            since = time.perf_counter()
            try:
                model(x)
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
layouts = [("", torch.contiguous_format)]
if arguments.network == "resnet-50":
    layouts.append((", channels-last", torch.channels_last))
whole = {}
print("| what | seconds an image | ratio |\n| :--- | ---: | ---: |")
for name, block in [("whole", LAST), (f"to b{tapped}", tapped)]:
    for precision, dtype in [("f32", None), ("bf16", torch.bfloat16)]:
        rows = [(f"PyTorch, {precision}{of}", lambda layout=layout: seconds_of_pytorch(block, dtype, layout)) for of, layout in layouts]
        rows.append((f"repro, {precision}", lambda: seconds_of_repro(block, precision)))
        for what, measure in rows:
            seconds, note = measure()
            reference = whole.setdefault(precision, seconds)
            print(f"| {what}, {name} | {seconds:.4g}{note} | {seconds / reference:.3f} |", flush=True)
