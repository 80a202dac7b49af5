"""Times the U-Net of openai/guided-diffusion, and prints one JSON object for each measurement.

    torch_reference.py CHECKOUT PRESETS MODEL DEVICE SECONDS DTYPE:BLOCK:BATCH…

PRESETS is the file with the flags of MODEL. In f16 the network is what the reference's own `convert_to_fp16` makes of it; in f32
TF32 is off. BLOCK 0 is the whole network; at another block a hook stops the reference behind it, which it cannot do by
itself. Weights are random: their values take no time.
"""

import json
import statistics
import sys
import time
import tomllib

checkout, presets, model_name, device, seconds, *wanted = sys.argv[1:]
sys.path.insert(0, checkout)

import torch  # noqa: E402
from guided_diffusion.unet import UNetModel  # noqa: E402

WARM, LEAST = 2, 3


class Reached(Exception):
    """The block that was asked for has run."""


def finish():
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def flags():
    with open(presets, "rb") as file:
        return next(preset["network"] for preset in tomllib.load(file)["preset"] if preset["name"] == model_name)


def build(network, dtype):
    side = network["image_size"]
    # Made where it is used: half a billion random numbers take a processor ten seconds.
    with torch.device(device):
        model = UNetModel(
            image_size=side,
            in_channels=network["in_channels"],
            model_channels=network["model_channels"],
            out_channels=network["in_channels"] * (2 if network["learn_sigma"] else 1),
            num_res_blocks=network["num_res_blocks"],
            attention_resolutions=tuple(side // resolution for resolution in network["attention_resolutions"]),
            channel_mult=tuple(network["channel_mult"]),
            num_heads=network["num_heads"],
            num_head_channels=network.get("num_head_channels", -1),
            use_scale_shift_norm=network["use_scale_shift_norm"],
            resblock_updown=network["resblock_updown"],
            use_new_attention_order=network["use_new_attention_order"],
            use_fp16=dtype == "f16",
        )
        # Its last layers of each block begin as zeros, on which a processor may be faster.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    if dtype == "f16":
        model.convert_to_fp16()
    return model.eval().requires_grad_(False)


def forward(model, x, t, block):
    if not block:
        model(x, t)
        return

    def stop(*_):
        raise Reached

    blocks = [*model.input_blocks, model.middle_block, *model.output_blocks]
    hook = blocks[block - 1].register_forward_hook(stop)
    try:
        model(x, t)
    except Reached:
        pass
    finally:
        hook.remove()


def measure(model, network, block, batch):
    side = network["image_size"]
    x = torch.randn(batch, network["in_channels"], side, side, device=device)
    t = torch.full((batch,), 90, device=device)
    times, begun = [], time.perf_counter()
    with torch.inference_mode():
        while len(times) < WARM + LEAST or time.perf_counter() - begun < float(seconds):
            since = time.perf_counter()
            forward(model, x, t, block)
            finish()
            times.append(time.perf_counter() - since)
    return statistics.median(times[WARM:]), len(times) - WARM


torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
network = flags()
model, built = None, None
for text in wanted:
    dtype, block, batch = text.split(":")
    if built != dtype:
        model = None
        model, built = build(network, dtype), dtype
    found = {"dtype": dtype, "block": int(block), "batch_size": int(batch)}
    try:
        took, batches = measure(model, network, int(block), int(batch))
        found.update(images_per_second=int(batch) / took, batches=batches)
    except RuntimeError as error:
        found["error"] = str(error).splitlines()[0]
    if device.startswith("cuda"):
        found["peak_allocated"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.empty_cache()
    print(json.dumps(found), flush=True)
