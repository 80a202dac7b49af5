"""Times a training step of repro and of openai/guided-diffusion, by turns, on the same network.

    python3 benches/training_against_reference.py CHECKOUT PROGRAM [--steps N] [--threads N]

CHECKOUT is one of openai/guided-diffusion at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c, PROGRAM the built `repro`; torch
2.11.0 and numpy are needed. Run it from the checkout of repro, which has the images. A step is loss, backward pass, AdamW and
average, in batches of 64; the first steps are left out. The reference's own loop cannot compute in bf16 on a processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("checkout")
parser.add_argument("program")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
sys.path.insert(0, arguments.checkout)

import torch
from guided_diffusion.nn import update_ema
from guided_diffusion.script_util import create_gaussian_diffusion
from guided_diffusion.unet import UNetModel

BATCH, WARM = 64, 3
torch.set_num_threads(arguments.threads)


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


def reference():
    model = UNetModel(
        image_size=28, in_channels=1, model_channels=32, out_channels=1, num_res_blocks=1, attention_resolutions=(4,),
        channel_mult=(1, 2, 3), num_head_channels=32, resblock_updown=True, use_scale_shift_norm=True,
    )
    diffusion = create_gaussian_diffusion(learn_sigma=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    averages = [parameter.detach().clone() for parameter in model.parameters()]
    seconds = []
    for _ in range(arguments.steps + WARM):
        images = torch.rand(BATCH, 1, 28, 28) * 2 - 1
        timesteps = torch.randint(0, 1000, (BATCH,))
        begun = time.perf_counter()
        optimizer.zero_grad()
        diffusion.training_losses(model, images, timesteps)["loss"].mean().backward()
        optimizer.step()
        update_ema(averages, model.parameters(), rate=0.999)
        seconds.append(time.perf_counter() - begun)
    return median(seconds[WARM:])


def ours(precision):
    experiment = f"""
[experiment]
name = "timing"
[dataset.fashion]
kind = "fashion-mnist"
root = "data/fashion-mnist"
[pretrain.ddpm]
dataset    = "fashion"
steps      = {arguments.steps + WARM}
batch_size = {BATCH}
optimizer  = {{ kind = "adamw", lr = 1e-3 }}
average    = 0.999
precision  = "{precision}"
[model.unet]
kind    = "guided-diffusion"
preset  = "fashion-28"
weights = {{ pretrain = "ddpm" }}
"""
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder, "timing.toml"), Path(folder, "log.jsonl")
        file.write_text(experiment)
        command = [arguments.program, "run", file, "--cache", Path(folder, "cache"), "--json-log", log, "--device", "cpu"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
        events = [json.loads(line) for line in log.read_text().splitlines()]
    # Times in the log are whole seconds, so all steps together are what can be timed.
    finished = next(event for event in events if event["event"] == "pretrain-finished")
    return finished["seconds"] / (arguments.steps + WARM)


print("| what | seconds a step of 64 images | images/s | ratio to the reference |")
print("| :--- | ---: | ---: | ---: |")
rows = {"reference, f32": [], "repro, f32": [], "repro, bf16": []}
for _ in range(3):
    rows["reference, f32"].append(reference())
    rows["repro, f32"].append(ours("f32"))
    rows["repro, bf16"].append(ours("bf16"))
base = median(rows["reference, f32"])
for name, seconds in rows.items():
    value = median(seconds)
    print(f"| {name} | {value:.3f} | {BATCH / value:.1f} | {value / base:.3f} |")
