"""Times this program against the reference implementation: same network, same weights, same machine, one run.

    PYTHONPATH=FOLDER_WITH_TORCH python3 benches/against_reference.py PATH_TO_A_CHECKOUT_OF_openai/guided-diffusion \\
        [--repro target/release/repro] [--model adm-256-uncond] [--block 24] [--batch 4] [--batches 2]

with PyTorch 2.11.0 and numpy, and a checkout at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c. Every time is the
mean over the batches after one batch to warm up, in seconds for one image; the two programs take turns and never run
at once. The last column is the ratio to the reference's full forward in f32. `max |a - b|` compares the two programs'
maps of the block, averaged to 2 × 2, for one image, before anything is timed.
"""

import argparse
import json
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("checkout", type=Path)
parser.add_argument("--repro", default="target/release/repro")
parser.add_argument("--model", default="adm-256-uncond")
parser.add_argument("--block", type=int, default=24)
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--batches", type=int, default=2)
arguments = parser.parse_args()
sys.path.insert(0, str(arguments.checkout))

import numpy as np
import torch
from guided_diffusion.unet import UNetModel

SEED = 7
MASK = (1 << 64) - 1
TIMESTEP = 90
device = "cuda" if torch.cuda.is_available() else "cpu"


def synthetic(name, shape):
    """The rule of tests/golden/guided_diffusion/README.md, in numpy."""
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) & MASK
    base ^= (SEED * 0x9E3779B97F4A7C15) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    v = 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2**24) - 1.0
    if len(shape) >= 2:
        v *= np.sqrt(3.0 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        v = 1.0 + 0.1 * v
    else:
        v *= 0.05
    return torch.from_numpy(v.astype(np.float32).reshape(tuple(shape)))


def build():
    # The preset's flags, from the same file that the program is built with.
    text = (Path(__file__).parent.parent / "data/models/guided-diffusion.toml").read_text()
    preset = re.search(rf'name = "{arguments.model}".*?\[preset\.network\](.*?)(?:\n\[|\Z)', text, re.S).group(1)
    flags = {}
    for key, value in re.findall(r"^(\w+) = (.*)$", preset, re.M):
        flags[key] = json.loads(value)
    side = flags["image_size"]
    model = UNetModel(
        image_size=side,
        in_channels=flags["in_channels"],
        model_channels=flags["model_channels"],
        out_channels=flags["in_channels"] * (2 if flags["learn_sigma"] else 1),
        num_res_blocks=flags["num_res_blocks"],
        attention_resolutions=tuple(side // a for a in flags["attention_resolutions"]),
        channel_mult=tuple(flags["channel_mult"]),
        num_heads=flags["num_heads"],
        num_head_channels=flags.get("num_head_channels", -1),
        use_scale_shift_norm=flags["use_scale_shift_norm"],
        resblock_updown=flags["resblock_updown"],
        use_new_attention_order=flags["use_new_attention_order"],
    )
    state = {name: synthetic(name, value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval().requires_grad_(False).to(device), side


class Deep(Exception):
    pass


def reference(model, x, block=None):
    """The whole forward; or the reference's own blocks up to `block` and no further."""
    t = torch.full((x.shape[0],), TIMESTEP, device=device)
    if block is None:
        return model(x, t)
    blocks = [*model.input_blocks, model.middle_block, *model.output_blocks]
    caught = []

    def stop(_module, _inputs, output):
        caught.append(output)
        raise Deep

    hook = blocks[block - 1].register_forward_hook(stop)
    try:
        model(x, t)
    except Deep:
        pass
    finally:
        hook.remove()
    return caught[0]


def seconds_of_reference(model, side, block, dtype):
    x = torch.randn(arguments.batch, 3, side, side, device=device)
    times = []
    with torch.inference_mode(), torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        for _ in range(arguments.batches + 1):
            since = time.perf_counter()
            reference(model, x, block)
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - since)
    return sum(times[1:]) / arguments.batches / arguments.batch


def seconds_of_repro(block, precision):
    command = [arguments.repro, "bench", "extraction", "--model", arguments.model, "--block", str(block), "--json"]
    command += ["--batch-size", str(arguments.batch), "--images", str(arguments.batch * arguments.batches)]
    command += ["--precision", precision, "--device", device]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return measured["wall_seconds"] / measured["images"]


def write_safetensors(path, name, tensor):
    header = {name: {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [0, tensor.numel() * 4]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensor.numpy().tobytes())


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    body = data[8 + length :]
    read = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        start, end = entry["data_offsets"]
        read[name] = torch.from_numpy(np.frombuffer(body[start:end], np.float32).reshape(entry["shape"]).copy())
    return read


def difference(model, side, block):
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = torch.nn.functional.adaptive_avg_pool2d(reference(model, x.to(device), block), 2).cpu()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_safetensors(folder / "in.safetensors", "x_t", x)
        command = [arguments.repro, "models", "tap", arguments.model, "--weights", f"synthetic:{SEED}"]
        command += ["--input", folder / "in.safetensors", "--output", folder / "out.safetensors"]
        command += ["--timestep", str(TIMESTEP), "--blocks", str(block), "--pool", "2", "--device", device]
        subprocess.run(command, check=True, capture_output=True)
        found = read_safetensors(folder / "out.safetensors")[f"b{block:02}"]
    return (found - expected).abs().max().item()


model, side = build()
last = len(model.input_blocks) + 1 + len(model.output_blocks)
block = arguments.block
print(f"{arguments.model} on {device}, {torch.get_num_threads()} threads, batches of {arguments.batch}, torch {torch.__version__}")
print(f"max |a - b| of b{block} in f32: {difference(model, side, block):.1e}\n")
rows = [
    ("reference, f32, full", lambda: seconds_of_reference(model, side, None, None)),
    ("repro, f32, all blocks", lambda: seconds_of_repro(last, "f32")),
    (f"reference, f32, to b{block}", lambda: seconds_of_reference(model, side, block, None)),
    (f"repro, f32, to b{block}", lambda: seconds_of_repro(block, "f32")),
    ("reference, bf16 autocast, full", lambda: seconds_of_reference(model, side, None, torch.bfloat16)),
    (f"reference, bf16 autocast, to b{block}", lambda: seconds_of_reference(model, side, block, torch.bfloat16)),
    (f"repro, bf16, to b{block}", lambda: seconds_of_repro(block, "bf16")),
]
if device == "cuda":
    rows.append(("reference, f16 autocast, full", lambda: seconds_of_reference(model, side, None, torch.float16)))
    rows.append((f"repro, f16, to b{block}", lambda: seconds_of_repro(block, "f16")))
whole = None
print("| what | seconds an image | ratio |\n| :--- | ---: | ---: |")
for name, measure in rows:
    seconds = measure()
    whole = whole or seconds
    print(f"| {name} | {seconds:.4g} | {seconds / whole:.3f} |", flush=True)
