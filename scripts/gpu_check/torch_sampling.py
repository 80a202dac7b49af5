"""Times the chain of openai/guided-diffusion from noise to images, and prints one JSON object for each measurement.

    torch_sampling.py CHECKOUT PRESETS MODEL DEVICE STEPS OF DTYPE:BATCH…

PRESETS is the file with the flags of MODEL. The chain is upstream's `p_sample_loop_progressive` in OF steps, of which STEPS are timed
after one that is not. In f16 the network is what upstream's `convert_to_fp16` makes of it; in f32 TF32 is off. Weights are random: their
values take no time.
"""

import json
import sys
import time
import tomllib

checkout, presets, model_name, device, steps, of, *wanted = sys.argv[1:]
steps, of = int(steps), int(of)
sys.path.insert(0, checkout)

import torch  # noqa: E402
from guided_diffusion.script_util import create_gaussian_diffusion  # noqa: E402
from guided_diffusion.unet import UNetModel  # noqa: E402


def finish():
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def preset():
    with open(presets, "rb") as file:
        return next(preset for preset in tomllib.load(file)["preset"] if preset["name"] == model_name)


def build(network, dtype):
    side = network["image_size"]
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
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    if dtype == "f16":
        model.convert_to_fp16()
    return model.eval().requires_grad_(False)


def measure(model, diffusion, shape):
    """Seconds of one step."""
    chain = diffusion.p_sample_loop_progressive(model, shape, clip_denoised=True, device=device)
    next(chain)
    finish()
    since = time.perf_counter()
    for _ in range(steps):
        next(chain)
    finish()
    return (time.perf_counter() - since) / steps


torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
flags = preset()
network = flags["network"]
diffusion = create_gaussian_diffusion(
    steps=flags["diffusion_steps"],
    learn_sigma=network["learn_sigma"],
    noise_schedule=flags["noise_schedule"],
    timestep_respacing=str(of),
)
model, built = None, None
for text in wanted:
    dtype, batch = text.split(":")
    if built != dtype:
        model = None
        model, built = build(network, dtype), dtype
    found = {"dtype": dtype, "batch_size": int(batch)}
    side = network["image_size"]
    try:
        took = measure(model, diffusion, (int(batch), network["in_channels"], side, side))
        found.update(seconds_per_step=took, images_per_second=int(batch) / (took * of))
    except RuntimeError as error:
        found["error"] = str(error).splitlines()[0]
    if device.startswith("cuda"):
        found["peak_allocated"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.empty_cache()
    print(json.dumps(found), flush=True)
