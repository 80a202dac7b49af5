"""Records the full-size U-Net of diffusers with synthetic weights: names and shapes, and feature maps at t = 261.

    python3 full.py NAMES.txt FEATURES.safetensors

Needs torch, numpy and diffusers (recorded with 2.11.0, 2.4.6 and 0.42.1; on a CPU, float32). The configuration is that of Stable Diffusion v1.
"""

import sys

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from reduce import write
from rule import uniform, values

SEED = 61
CONFIG = dict(
    sample_size=64,
    in_channels=4,
    out_channels=4,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    attention_head_dim=8,
    cross_attention_dim=768,
)


def build(config, seed):
    """The network in evaluation mode, with weights by the rule under its own names."""
    with torch.device("meta"):
        network = UNet2DConditionModel(**config)
    state = {name: torch.from_numpy(values(name, list(one.shape), seed)) for name, one in network.state_dict().items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def watch(network, maps):
    """Keeps the output of every block in `maps`, numbered from 1; the number of blocks is 25."""
    places = [network.conv_in]
    for level in network.down_blocks:
        places += list(getattr(level, "attentions", level.resnets))
        places += list(level.downsamplers or [])
    places.append(network.mid_block.resnets[1])
    for level in network.up_blocks:
        layers = list(getattr(level, "attentions", level.resnets))
        if level.upsamplers:
            layers[-1] = level.upsamplers[0]
        places += layers
    assert len(places) == 25
    for number, place in enumerate(places, 1):

        def keep(_module, _inputs, output, number=number):
            output = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
            maps[number] = output

        place.register_forward_hook(keep)


if __name__ == "__main__":
    network = build(CONFIG, SEED)
    with open(sys.argv[1], "w") as file:
        for name, one in network.state_dict().items():
            print(name, *one.shape, file=file)
    maps, kept = {}, {}
    watch(network, maps)
    x = torch.from_numpy(uniform("x", [1, 4, 32, 32], SEED))
    context = torch.from_numpy(uniform("context", [1, 77, 768], SEED))
    with torch.no_grad():
        out = network(x, 261, context).sample
    for number, map in sorted(maps.items()):
        kept[f"b{number:02}.corner"] = map[:, :8, :4, :4].numpy()
        kept[f"b{number:02}.mean"] = map.double().mean((2, 3)).float()[:, ::8].numpy()
    kept["out"] = out[:, :, ::2, ::2].numpy()
    print(sum(one.numel() for one in network.parameters()), "parameters;", "largest", max(float(one.abs().max()) for one in maps.values()))
    write(sys.argv[2], {name: np.ascontiguousarray(one) for name, one in kept.items()})
