"""Writes guidance.safetensors: samples that a classifier leads, by upstream's own loops.

    python3 guidance.py PATH_TO_A_CHECKOUT_OF_openai/guided-diffusion

at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c, with torch 2.11.0, numpy and safetensors installed. The networks are adm-tiny
(weight seed 1) and unet-encoder-tiny (weight seed 5) by the rule of synthetic weights, written here once more, in numpy. Start and
noise of the steps are those of the first image in sampling.safetensors. `cond_fn` is written after scripts/classifier_sample.py.
"""

import sys
from pathlib import Path

CHECKOUT = Path(sys.argv[1])
HERE = Path(__file__).parent
sys.path.insert(0, str(CHECKOUT))

import numpy as np
import torch
from guided_diffusion import script_util
from guided_diffusion.unet import EncoderUNetModel, UNetModel
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
MASK = (1 << 64) - 1
CLASS = 7
SCALE = 3.0


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


def filled(network, seed):
    state = {name: synthetic(name, tuple(value.shape), seed) for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    # Upstream's checkpoints of activations want parameters that have gradients.
    return network.eval()


UNET = filled(
    script_util.create_model(
        image_size=32, num_channels=32, num_res_blocks=1, num_heads=4, num_head_channels=16, learn_sigma=True,
        channel_mult="1,2,2", attention_resolutions="16,8", use_scale_shift_norm=True, resblock_updown=True,
    ),
    1,
)
ENCODER = filled(
    EncoderUNetModel(
        image_size=32, in_channels=3, model_channels=32, out_channels=10, num_res_blocks=1,
        attention_resolutions=(2, 4), channel_mult=(1, 2, 2), num_heads=1, num_head_channels=32,
        use_scale_shift_norm=True, resblock_updown=True, pool="attention",
    ),
    5,
)
assert isinstance(UNET, UNetModel)


def cond_fn(x, t, y=None):
    with torch.enable_grad():
        images = x.detach().requires_grad_(True)
        log_probabilities = torch.log_softmax(ENCODER(images, t), dim=-1)
        chosen = log_probabilities[range(len(images)), y.view(-1)]
        return torch.autograd.grad(chosen.sum(), images)[0] * SCALE


given = load_file(HERE / "sampling.safetensors")
start = given["start_noise"][:1]
noise = [entry[:1] for entry in given["step_noise"]]
chosen = {"y": torch.tensor([CLASS])}
out = {"gradient.t500": cond_fn(start, torch.tensor([500]), chosen["y"])}


def model(x, t, y=None):
    return UNET(x, t)


class Draws:
    """Stands in for the generator of the loops: the entries in their order, one a step."""

    def __init__(self):
        self.entries = iter(noise)

    def __call__(self, like):
        return next(self.entries).to(like)


for respacing, loop in [("5", "p_sample_loop"), ("ddim5", "ddim_sample_loop")]:
    diffusion = script_util.create_gaussian_diffusion(
        steps=1000, learn_sigma=True, noise_schedule="linear", timestep_respacing=respacing
    )
    run = getattr(diffusion, loop)
    made = []
    for function in (cond_fn, None):
        torch.randn_like = Draws()
        made.append(
            run(
                model, tuple(start.shape), noise=start.clone(), clip_denoised=True, cond_fn=function,
                model_kwargs=chosen, device="cpu",
            )
        )
    out[f"{loop}.final"], unled = made
    print(loop, "is led by at most", float((made[0] - unled).abs().max()))

save_file({name: value.contiguous() for name, value in out.items()}, HERE / "guidance.safetensors")
