"""Writes tuning.safetensors and tuning.json from the reference network and PyTorch's own layers and optimisers.

    python3 make.py PATH_TO_A_CHECKOUT_OF_openai/guided-diffusion [--spread]

at commit 22e0df8183507e13a7813f8d38d51b072ca1e67c, with torch 2.11.0, numpy, safetensors and blake3 installed. `--spread` writes nothing
and prints how far the reference moves when it is computed otherwise: in 64 bits, and in 32 with its sums in another order. README.md tells the rest.
"""

import argparse
import json
import re
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("checkout")
parser.add_argument("--spread", action="store_true")
arguments = parser.parse_args()
sys.path.insert(0, arguments.checkout)

import blake3
import numpy as np
import torch
from guided_diffusion import nn as reference_nn
from guided_diffusion import unet
from safetensors.torch import save_file

HERE = Path(__file__).parent
MASK = (1 << 64) - 1
WEIGHT_SEED, IMAGE_SEED, HEAD_SEED = 2, 21, 5
IMAGES, CLASSES, SIDE, TIMESTEP, STEPS = 6, 3, 2, 90, 6
HEAD_RATE, NETWORK_RATE = 1e-2, 1e-3
# The first rows of these are kept.
ROWS = 8
NAMED = {
    3: [
        "time_embed.0.weight",
        "time_embed.2.bias",
        "input_blocks.0.0.weight",
        "input_blocks.1.0.in_layers.2.weight",
        "input_blocks.1.0.emb_layers.1.weight",
        "input_blocks.1.1.qkv.weight",
        "middle_block.0.out_layers.0.weight",
        "middle_block.1.proj_out.weight",
        "middle_block.2.out_layers.3.weight",
    ],
    5: [
        "time_embed.0.weight",
        "time_embed.2.bias",
        "input_blocks.0.0.weight",
        "input_blocks.1.0.out_layers.3.weight",
        "middle_block.1.norm.weight",
        "output_blocks.0.0.in_layers.0.weight",
        "output_blocks.0.0.skip_connection.weight",
        "output_blocks.1.0.in_layers.2.weight",
        "output_blocks.1.0.skip_connection.weight",
        "output_blocks.1.1.proj_out.weight",
    ],
}
# Below this share of the whole gradient, in 64 bits, a parameter's gradient is nothing but rounding.
NOTHING = 1e-12


def scattered(z):
    """The finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def synthetic(name, shape, seed):
    """The rule of tests/golden/guided_diffusion/README.md."""
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) & MASK
    base ^= (seed * 0x9E3779B97F4A7C15) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        z = scattered(z + np.uint64(0x9E3779B97F4A7C15))
    v = 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2**24) - 1.0
    if len(shape) >= 2:
        v = v * np.sqrt(3.0 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        v = 1.0 + 0.1 * v
    else:
        v = 0.05 * v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def initial(name, shape, inputs):
    """How a head begins: src/random.rs and `Beginning::Uniform` in src/heads/parameters.rs."""
    purpose = f"batchnorm-linear/{name}"
    digest = blake3.blake3(b"repro random 1" + HEAD_SEED.to_bytes(8, "little") + purpose.encode()).digest()
    with np.errstate(over="ignore"):
        positions = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
        z = scattered(np.uint64(int.from_bytes(digest[:8], "little")) + positions * np.uint64(0x9E3779B97F4A7C15))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2**24
    return torch.from_numpy(((unit * 2.0 - 1.0) / np.sqrt(inputs)).astype(np.float32).reshape(shape))


def images():
    # Stored in 16 bits and widened, on both sides. A brightness of its own for each class gives something to learn.
    noise = torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(IMAGE_SEED))
    labels = torch.tensor([0, 1, 2, 1, 0, 2])
    return (noise + 0.25 * (labels - 1.0).view(-1, 1, 1, 1)).half(), labels


def network():
    # The preset's flags, from the file that the program is built with.
    text = (HERE.parents[2] / "data/models/guided-diffusion.toml").read_text()
    preset = re.search(r'name = "adm-nano".*?\[preset\.network\](.*?)(?:\n\[|\n#|\Z)', text, re.S).group(1)
    flags = {key: json.loads(value) for key, value in re.findall(r"^(\w+) = (.*)$", preset, re.M)}
    model = unet.UNetModel(
        image_size=flags["image_size"],
        in_channels=flags["in_channels"],
        model_channels=flags["model_channels"],
        out_channels=flags["in_channels"] * (2 if flags["learn_sigma"] else 1),
        num_res_blocks=flags["num_res_blocks"],
        attention_resolutions=tuple(flags["image_size"] // a for a in flags["attention_resolutions"]),
        channel_mult=tuple(flags["channel_mult"]),
        num_heads=flags["num_heads"],
        num_head_channels=flags["num_head_channels"],
        use_scale_shift_norm=flags["use_scale_shift_norm"],
        resblock_updown=flags["resblock_updown"],
        use_new_attention_order=flags["use_new_attention_order"],
    )
    state = {name: synthetic(name, value.shape, WEIGHT_SEED) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model


class LinearEvaluation(torch.nn.Module):
    """VISSL's head, with its names, on a map that is averaged to SIDE x SIDE."""

    def __init__(self, channels):
        super().__init__()
        self.channel_bn = torch.nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)
        self.clf = torch.nn.Sequential(torch.nn.Linear(channels * SIDE * SIDE, CLASSES))
        with torch.no_grad():
            for name, parameter in self.clf.named_parameters():
                inputs = channels * SIDE * SIDE
                parameter.copy_(initial(f"clf.clf.{name}", tuple(parameter.shape), inputs))

    def forward(self, maps):
        pooled = torch.nn.functional.adaptive_avg_pool2d(maps, SIDE)
        return self.clf(self.channel_bn(pooled).flatten(1))

    def named(self):
        tensors = {name: tensor for name, tensor in self.state_dict().items() if "num_batches" not in name}
        return {name.replace("clf.", "clf.clf.", 1): tensor for name, tensor in tensors.items()}


class Reached(Exception):
    pass


def map_of(model, x, block):
    """The reference's own forward, left behind the block."""
    blocks = [*model.input_blocks, model.middle_block, *model.output_blocks]
    caught = []

    def stop(_module, _inputs, output):
        caught.append(output)
        raise Reached

    hook = blocks[block - 1].register_forward_hook(stop)
    try:
        model(x, torch.full((x.shape[0],), TIMESTEP))
    except Reached:
        pass
    finally:
        hook.remove()
    return caught[0]


def optimiser(rule, model, head):
    groups = [{"params": head.parameters(), "lr": HEAD_RATE}, {"params": model.parameters(), "lr": NETWORK_RATE}]
    if rule == "adam":
        return torch.optim.Adam(groups, lr=HEAD_RATE)
    if rule == "adam_damped":
        return torch.optim.Adam(groups, lr=HEAD_RATE, eps=1e-2)
    return torch.optim.SGD(groups, lr=HEAD_RATE, momentum=0.9, weight_decay=1e-4)


def norms(model):
    named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: gradient.double().norm().item() for name, gradient in named.items()}


def train(block, rule, dtype=torch.float32, reverse=False):
    x, labels = images()
    x = x.to(dtype)
    if reverse:
        x, labels = x.flip(0), labels.flip(0)
    model, head = network().to(dtype), LinearEvaluation(32).to(dtype)
    model.dtype = dtype
    step = optimiser(rule, model, head)
    found = {"losses": [], "gradient_norms": []}
    for number in range(STEPS):
        step.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(map_of(model, x, block)), labels)
        loss.backward()
        found["losses"].append(loss.item())
        each = norms(model)
        found["gradient_norms"].append(sum(norm**2 for norm in each.values()) ** 0.5)
        if number == 0:
            found["first_gradient_norms"] = each
        step.step()
    head.eval()
    with torch.no_grad():
        logits = head(map_of(model, x, block))
    found["logits"] = logits.flip(0) if reverse else logits
    found["head"] = head.named()
    found["network"] = {name: p.detach() for name, p in model.named_parameters()}
    return found


def in_64_bits(block, rule):
    """The reference casts to 32 bits in two places, whatever it is given."""
    norm, embedding = reference_nn.GroupNorm32.forward, unet.timestep_embedding
    reference_nn.GroupNorm32.forward = torch.nn.GroupNorm.forward
    unet.timestep_embedding = lambda *given: embedding(*given).double()
    attention = unet.QKVAttentionLegacy.forward
    unet.QKVAttentionLegacy.forward = attention_in_64_bits
    try:
        return train(block, rule, torch.float64)
    finally:
        reference_nn.GroupNorm32.forward, unet.timestep_embedding = norm, embedding
        unet.QKVAttentionLegacy.forward = attention


def attention_in_64_bits(self, qkv):
    batch, width, length = qkv.shape
    channels = width // (3 * self.n_heads)
    q, k, v = qkv.reshape(batch * self.n_heads, channels * 3, length).split(channels, dim=1)
    weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / channels**0.5, dim=-1)
    return torch.einsum("bts,bcs->bct", weight, v).reshape(batch, -1, length)


CASES = [(block, rule) for block in NAMED for rule in ("adam", "adam_damped", "sgd")]


def spread():
    torch.set_num_threads(1)

    def farthest(left, right):
        return max((left[name].double() - right[name].double()).abs().max().item() for name in right)

    def relative(left, right):
        return max(abs(a - b) / abs(b) for a, b in zip(left, right))

    def centred(found):
        return found["logits"] - found["logits"].mean(0)

    for block, rule in CASES:
        exact, plain = in_64_bits(block, rule), train(block, rule)
        torch.set_num_threads(2)
        others = {"32 bits": plain, "32 bits, images reversed": train(block, rule, reverse=True)}
        torch.set_num_threads(1)
        torch.backends.mkldnn.enabled = False
        others["32 bits, other convolutions"] = train(block, rule)
        torch.backends.mkldnn.enabled = True
        whole = exact["gradient_norms"][0]
        nothing = [name for name, norm in exact["first_gradient_norms"].items() if norm < NOTHING * whole]
        print(f"block {block}, {rule}: {len(nothing)} gradients of nothing but rounding")
        for name, found in others.items():
            for against, of in (("64 bits", exact), ("32 bits", plain)):
                if found is of:
                    continue
                named = {name: of["network"][name][:ROWS] for name in NAMED[block]}
                mine = {name: found["network"][name][:ROWS] for name in NAMED[block]}
                apart = {name for name in exact["first_gradient_norms"] if name not in nothing}
                print(
                    f"  {name} against {against}: losses {relative(found['losses'], of['losses']):.1e},"
                    f" norms {relative(found['gradient_norms'], of['gradient_norms']):.1e},"
                    f" first norms {max(abs(found['first_gradient_norms'][n] / of['first_gradient_norms'][n] - 1) for n in apart):.1e},"
                    f" nothing {max(found['first_gradient_norms'][n] for n in nothing) / whole:.1e},"
                    f" network {farthest(mine, named):.1e},"
                    f" running mean {farthest(*({'': f['head']['channel_bn.running_mean']} for f in (found, of))):.1e},"
                    f" rest of the head {farthest(found['head'], {n: t for n, t in of['head'].items() if 'mean' not in n}):.1e},"
                    f" logits {(found['logits'] - of['logits']).abs().max().item():.1e},"
                    f" less their mean {(centred(found) - centred(of)).abs().max().item():.1e}"
                )


def write():
    x, labels = images()
    tensors, cases = {"x_t_f16": x, "labels": labels}, {}
    for block, rule in CASES:
        found, exact = train(block, rule), in_64_bits(block, rule)
        key, whole = f"b{block}.{rule}", exact["gradient_norms"][0]
        cases[key] = {
            "losses": found["losses"],
            "gradient_norms": found["gradient_norms"],
        }
        # Before the first step the rule does not matter.
        cases[f"b{block}"] = {
            "first_gradient_norms": found["first_gradient_norms"],
            "without_gradient": [n for n, norm in exact["first_gradient_norms"].items() if norm < NOTHING * whole],
        }
        tensors[f"{key}.logits"] = found["logits"]
        for name, tensor in found["head"].items():
            tensors[f"{key}.head.{name}"] = tensor
        for name in NAMED[block]:
            tensors[f"{key}.network.{name}"] = found["network"][name][:ROWS]
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "tuning.safetensors")
    (HERE / "tuning.json").write_text(json.dumps(cases, indent=1) + "\n")


spread() if arguments.spread else write()
