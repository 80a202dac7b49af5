"""Times a step of fine-tuning of repro and of openai/guided-diffusion, by turns, on the same network and head.

    python3 benches/fine_tuning_against_reference.py CHECKOUT PATH_OF_THE_BENCHMARK [--steps N] [--turns N] [--threads N]

CHECKOUT is one of openai/guided-diffusion at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c; torch 2.11.0 and numpy are needed.
PATH_OF_THE_BENCHMARK is what `cargo bench --bench fine_tuning --no-run` names. A step is that of `benches/fine_tuning.rs`: 32 images of
the shape of fashion-28 through its blocks to the eighth, a batch norm and a linear layer on the map averaged to 2 x 2, cross entropy, the way
back and Adam for both. The reference runs with its own gradient checkpointing (`use_checkpoint`) and without. Its code
would run all blocks; a hook stops it behind the eighth. Every measurement is a process of its own; memory is what it grows by at
most beyond what it has before the first step. Of a turn the least step counts, the first two left out, and of the turns the median.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("checkout")
parser.add_argument("program")
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--reference", choices=["kept", "recomputed"], help="time this one, in this process")
arguments = parser.parse_args()

BATCH, BLOCK, CLASSES, WARM = 32, 8, 10, 2


def memory(label):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(label))


def reference(recompute):
    sys.path.insert(0, arguments.checkout)
    import torch
    from guided_diffusion.unet import UNetModel

    class Reached(Exception):
        pass

    torch.set_num_threads(arguments.threads)
    model = UNetModel(
        image_size=28, in_channels=1, model_channels=32, out_channels=1, num_res_blocks=1, attention_resolutions=(4,),
        channel_mult=(1, 2, 3), num_head_channels=32, resblock_updown=True, use_scale_shift_norm=True, use_checkpoint=recompute,
    )
    caught = []

    def stop(_module, _inputs, output):
        caught.append(output)
        raise Reached

    blocks = [*model.input_blocks, model.middle_block, *model.output_blocks]
    blocks[BLOCK - 1].register_forward_hook(stop)
    images, timesteps = torch.randn(BATCH, 1, 28, 28), torch.full((BATCH,), 90)
    labels = torch.arange(BATCH) % CLASSES

    def tapped(x):
        try:
            model(x, timesteps)
        except Reached:
            return caught.pop()

    # Before it sees anything, so that the memory of no map is there before it is measured.
    channels = blocks[BLOCK - 1][-1].channels
    norm, linear = torch.nn.BatchNorm2d(channels), torch.nn.Linear(channels * 4, CLASSES)
    head = [*norm.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam([{"params": head, "lr": 1e-3}, {"params": model.parameters(), "lr": 1e-5}])
    seconds, before = [], memory("VmRSS:")
    for _ in range(arguments.steps + WARM):
        images = torch.randn(BATCH, 1, 28, 28)
        begun = time.perf_counter()
        optimizer.zero_grad()
        pooled = torch.nn.functional.adaptive_avg_pool2d(tapped(images), 2)
        torch.nn.functional.cross_entropy(linear(norm(pooled).flatten(1)), labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    print(min(seconds[WARM:]) / BATCH, memory("VmHWM:") - before)


def run(command):
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    words = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return float(words[0]), int(words[1])


def main():
    again = [sys.executable, __file__, arguments.checkout, arguments.program]
    again += ["--steps", str(arguments.steps), "--threads", str(arguments.threads), "--reference"]
    ours = [arguments.program]
    commands = {
        "reference": [*again, "kept"],
        "repro, `recompute = false`": [*ours, "kept", str(arguments.steps)],
        "reference, `use_checkpoint=True`": [*again, "recomputed"],
        "repro, `recompute = true`": [*ours, "recomputed", str(arguments.steps)],
    }
    rows = {name: [] for name in commands}
    for _ in range(arguments.turns):
        for name, command in commands.items():
            rows[name].append(run(command))
    base = statistics.median(seconds for seconds, _ in rows["reference"])
    print("| what | ms an image | ratio to the reference | memory of a step |\n| :--- | ---: | ---: | ---: |")
    for name, measured in rows.items():
        seconds = statistics.median(seconds for seconds, _ in measured)
        most = statistics.median(most for _, most in measured)
        print(f"| {name} | {seconds * 1000:.2f} | {seconds / base:.3f} | {most / 2**20:.0f} MiB |")


reference(arguments.reference == "recomputed") if arguments.reference else main()
