"""Writes presets.json, variants.json and variants.safetensors from upstream's own code.

    python3 export.py PATH_TO_A_CHECKOUT_OF_openai/guided-diffusion

at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c, with torch 2.11.0, numpy, safetensors and blake3 installed.
Parameters follow the rule of synthetic weights (README.md), written here a second time, in numpy.
"""

import json
import re
import sys
from pathlib import Path

CHECKOUT = Path(sys.argv[1])
HERE = Path(__file__).parent
sys.path.insert(0, str(CHECKOUT))

import blake3
import numpy as np
import torch
from guided_diffusion import script_util
from guided_diffusion.unet import UNetModel
from safetensors.torch import save_file

torch.set_num_threads(2)
MASK = (1 << 64) - 1


def synthetic(name, shape, seed):
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) & MASK
    base ^= (seed * 0x9E3779B97F4A7C15) & MASK
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(count, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    v = 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2**24) - 1.0
    if len(shape) >= 2:
        v = v * np.sqrt(3.0 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        v = 1.0 + 0.1 * v
    else:
        v = 0.05 * v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def describe(model):
    shapes = [(name, list(value.shape)) for name, value in model.state_dict().items()]
    lines = "".join(f"{name} {shape}\n" for name, shape in shapes)
    return {
        "parameters": sum(int(np.prod(shape)) for _, shape in shapes),
        "blocks": len(model.input_blocks) + 1 + len(model.output_blocks),
        "state_dict_blake3": blake3.blake3(lines.encode()).hexdigest(),
    }


# --- presets.json: the flags are read from upstream's README, so that ours are checked against them. ---

README_MODELS = {
    "adm-64-cond": "64x64_diffusion",
    "adm-128-cond": "128x128_diffusion",
    "adm-256-cond": "256x256_diffusion",
    "adm-256-uncond": "256x256_diffusion_uncond",
    "adm-512-cond": "512x512_diffusion",
    "adm-256-lsun-bedroom": "lsun_bedroom",
    "adm-256-lsun-cat": "lsun_bedroom",  # "should work as well"
    "adm-256-lsun-horse": "lsun_bedroom",  # "should work as well"
    "adm-256-lsun-horse-nodropout": "lsun_horse_nodropout",
}
SMALL = dict(image_size=32, num_channels=32, num_res_blocks=1, num_heads=4, num_head_channels=16, learn_sigma=True)
SMALL_MODELS = {
    "adm-tiny": dict(SMALL, channel_mult="1,2,2", attention_resolutions="16,8", resblock_updown=True),
    "adm-nano": dict(SMALL, channel_mult="1", attention_resolutions="32", resblock_updown=True),
}


def readme_flags(model):
    text = (CHECKOUT / "README.md").read_text()
    pattern = rf'MODEL_FLAGS="([^"]*)"\npython [^\n]*--model_path models/{re.escape(model)}\.pt'
    words = re.search(pattern, text).group(1).split()
    convert = {"True": True, "False": False}
    flags = {}
    for key, value in zip(words[::2], words[1::2]):
        flags[key.removeprefix("--")] = convert.get(value, int(value) if value.isdigit() else value)
    return flags


presets = {}
with torch.device("meta"):
    for name, flags in [(n, readme_flags(m)) for n, m in README_MODELS.items()] + list(SMALL_MODELS.items()):
        defaults = script_util.model_and_diffusion_defaults()
        arguments = {**defaults, **flags, "use_fp16": False, "dropout": 0.0}
        arguments = {k: v for k, v in arguments.items() if k in script_util.create_model.__code__.co_varnames}
        schedule = flags.get("noise_schedule", "linear")
        presets[name] = {"noise_schedule": schedule, **describe(script_util.create_model(**arguments))}
    # `create_model` knows neither other sides nor grey images.
    for name, channels, side in [("fashion-28", 1, 28), ("cifar-32", 3, 32)]:
        network = UNetModel(
            image_size=side, in_channels=channels, model_channels=32, out_channels=channels, num_res_blocks=1,
            attention_resolutions=(4,), channel_mult=(1, 2, 3), num_head_channels=32, use_scale_shift_norm=True,
            resblock_updown=True,
        )
        presets[name] = {"noise_schedule": "linear", **describe(network)}
(HERE / "presets.json").write_text(json.dumps(presets, indent=1) + "\n")


# --- variants: what no published unconditional network uses, on three small networks. ---

BASE = dict(
    image_size=16, in_channels=3, model_channels=32, num_res_blocks=1, channel_mult=[1.0, 2.0],
    attention_resolutions=[8], num_heads=2, num_head_channels=None, resblock_updown=True,
    use_scale_shift_norm=True, learn_sigma=True, num_classes=None, use_new_attention_order=False, conv_resample=True,
)
VARIANTS = {
    "new-order-conditional": dict(BASE, num_head_channels=16, num_classes=5, use_new_attention_order=True),
    "plain-resampling": dict(
        BASE, num_res_blocks=2, attention_resolutions=[16, 8], resblock_updown=False, use_scale_shift_norm=False,
        learn_sigma=False,
    ),
    "average-resampling": dict(
        BASE, model_channels=64, channel_mult=[0.5, 1.0], resblock_updown=False, conv_resample=False,
    ),
}
SEED = 3
arrays = {"timesteps": torch.tensor([90, 500]), "class_labels": torch.tensor([1, 4])}
arrays["xt"] = torch.from_numpy(np.random.default_rng(401).standard_normal((2, 3, 16, 16)).astype(np.float32))
described = {}
for name, config in VARIANTS.items():
    model = UNetModel(
        image_size=config["image_size"], in_channels=3, model_channels=config["model_channels"],
        out_channels=6 if config["learn_sigma"] else 3, num_res_blocks=config["num_res_blocks"],
        attention_resolutions=tuple(config["image_size"] // side for side in config["attention_resolutions"]),
        channel_mult=tuple(config["channel_mult"]), conv_resample=config["conv_resample"],
        num_classes=config["num_classes"], num_heads=config["num_heads"],
        num_head_channels=config["num_head_channels"] or -1, use_scale_shift_norm=config["use_scale_shift_norm"],
        resblock_updown=config["resblock_updown"], use_new_attention_order=config["use_new_attention_order"],
    ).eval()
    weights = {key: synthetic(key, tuple(value.shape), SEED) for key, value in model.state_dict().items()}
    model.load_state_dict(weights)
    described[name] = {"config": config, "weight_seed": SEED, **describe(model)}

    outputs = []
    for block in [*model.input_blocks, model.middle_block, *model.output_blocks]:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.no_grad():
        labels = arrays["class_labels"] if config["num_classes"] else None
        arrays[f"{name}.out"] = model(arrays["xt"], arrays["timesteps"], labels)
    for number, output in enumerate(outputs, start=1):
        arrays[f"{name}.b{number:02}.pool4"] = torch.nn.functional.adaptive_avg_pool2d(output, 4)

save_file({key: value.contiguous() for key, value in arrays.items()}, HERE / "variants.safetensors")
(HERE / "variants.json").write_text(json.dumps(described, indent=1) + "\n")
