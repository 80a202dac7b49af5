"""Times ResNet-50 in this program against torchvision in PyTorch eager: same network, same machine, one run.

    PYTHONPATH=FOLDER_WITH_TORCH python3 benches/resnet_against_torchvision.py [--repro target/release/repro] [--block 13] [--batch 8] [--batches 10]

with PyTorch 2.11.0 and torchvision 0.26.0. Every time is the mean over the batches after one to warm up, in seconds for one image; the two programs
take turns and never run at once. torchvision's are of the forward pass alone, of images that are in memory, once in the layout that PyTorch gives
them and once channels-last. Ours are of the forward pass while the next images are decoded and prepared, and in brackets of the whole pass. The last
column is the ratio to torchvision's whole network in f32, channels first. Weights are random: values are compared by tests/suite/golden_resnet.rs.
"""

import argparse
import json
import subprocess
import time

import torch
import torchvision

parser = argparse.ArgumentParser()
parser.add_argument("--repro", default="target/release/repro")
parser.add_argument("--block", type=int, default=13)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--batches", type=int, default=10)
arguments = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
# The number of the logits.
LAST = 18


class Deep(Exception):
    pass


def stop(_module, _inputs, _output):
    raise Deep


def seconds_of_torchvision(block, dtype, layout):
    model = torchvision.models.resnet50(weights=None).eval().to(device, memory_format=layout)
    x = torch.randn(arguments.batch, 3, 224, 224, device=device).to(memory_format=layout)
    if block < LAST:
        blocks = [*model.layer1, *model.layer2, *model.layer3, *model.layer4]
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
    command = [arguments.repro, "bench", "extraction", "--model", "resnet-50", "--block", str(block), "--json"]
    command += ["--batch-size", str(arguments.batch), "--images", str(arguments.batch * arguments.batches)]
    command += ["--pool", "1", "--precision", precision, "--device", device]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    whole = measured["wall_seconds"] / measured["images"]
    return measured["forward_seconds"] / measured["images"], f" ({whole:.4g})"


print(f"ResNet-50 on {device}, {torch.get_num_threads()} threads, batches of {arguments.batch}, torch {torch.__version__}, torchvision {torchvision.__version__}")
first, last = torch.contiguous_format, torch.channels_last
rows = []
for name, block in [("whole", LAST), (f"to b{arguments.block}", arguments.block)]:
    for precision, dtype in [("f32", None), ("bf16", torch.bfloat16)]:
        for layout_name, layout in [("", first), (", channels-last", last)]:
            what = f"torchvision, {precision}{layout_name}, {name}"
            rows.append((what, lambda block=block, dtype=dtype, layout=layout: seconds_of_torchvision(block, dtype, layout)))
        rows.append((f"repro, {precision}, {name}", lambda block=block, precision=precision: seconds_of_repro(block, precision)))
whole = None
print("| what | seconds an image | ratio |\n| :--- | ---: | ---: |")
for name, measure in rows:
    seconds, note = measure()
    whole = whole or seconds
    print(f"| {name} | {seconds:.4g}{note} | {seconds / whole:.3f} |", flush=True)
