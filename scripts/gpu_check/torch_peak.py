"""Times matrix products, and prints TFLOP/s by dtype as one JSON object a line. Takes the device and the side of the matrices."""

import json
import statistics
import sys
import time

import torch

device, side = sys.argv[1], int(sys.argv[2])
# Seconds of every repetition, and how many there are.
LEAST, TIMES = (0.2 if device.startswith("cuda") else 0.02), 5


def finish():
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds(left, right, times):
    finish()
    since = time.perf_counter()
    for _ in range(times):
        left @ right
    finish()
    return time.perf_counter() - since


def measure(dtype, tf32=False):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    # Zeros would be faster than what a network multiplies.
    left, right = (torch.randn(side, side, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    seconds(left, right, 3)
    times = max(1, round(LEAST / seconds(left, right, 1)))
    took = statistics.median(seconds(left, right, times) / times for _ in range(TIMES))
    return 2 * side**3 / took / 1e12


for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16), ("f32", torch.float32)):
    print(json.dumps({"dtype": name, "teraflops": measure(dtype)}), flush=True)
if device.startswith("cuda"):
    print(json.dumps({"dtype": "tf32", "teraflops": measure(torch.float32, tf32=True)}), flush=True)
