"""Records three steps of a condition that is learned together with a head, through the frozen U-Net of diffusers.

    python3 tuning.py TUNING.safetensors

Needs torch, numpy, diffusers, transformers and blake3 (recorded with 2.11.0, 2.4.6, 0.42.1, 5.23.0 and 1.0; on a CPU, float32, 1 thread). Prints how
far the reference moves when it is computed in 64 bits.
"""

import sys

import blake3
import numpy as np
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from full import watch
from reduce import write
from rule import uniform, values

UNET_SEED, TEXT_SEED, HEAD_SEED, IMAGE_SEED = 54, 51, 5, 71
BLOCK, TIMESTEP, SIDE, STEPS = 18, 150, 2, 3
IMAGES, CLASSES = 4, 2
LABELS = [0, 1, 0, 1]
HEAD_RATE, CONDITION_RATE = 1e-2, 1e-1
CONFIG = dict(
    sample_size=8,
    in_channels=4,
    out_channels=4,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    block_out_channels=(32, 32, 64, 64),
    layers_per_block=2,
    attention_head_dim=4,
    cross_attention_dim=32,
)
TEXT = dict(
    vocab_size=49408,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=77,
    hidden_act="quick_gelu",
    bos_token_id=49406,
    eos_token_id=49407,
)


def filled(module, seed, prefix=""):
    """The module in evaluation mode, with weights by the rule under its own names."""
    state = {name: torch.from_numpy(values(prefix + name, list(one.shape), seed)) for name, one in module.named_parameters()}
    module.load_state_dict(state, strict=False)
    return module.eval()


def null_text():
    text = CLIPTextModel(CLIPTextConfig(**TEXT))
    dropped = not next(iter(text.state_dict())).startswith("text_model.")
    filled(text, TEXT_SEED, "text_model." if dropped else "")
    with torch.no_grad():
        return text(torch.tensor([[49406] + 76 * [49407]])).last_hidden_state


def initial(name, shape, inputs):
    """How a head begins: src/random.rs and `Beginning::Uniform` in src/heads/parameters.rs."""
    purpose = f"batchnorm-linear/{name}"
    digest = blake3.blake3(b"repro random 1" + HEAD_SEED.to_bytes(8, "little") + purpose.encode()).digest()
    with np.errstate(over="ignore"):
        z = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(int.from_bytes(digest[:8], "little"))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    unit = (z >> np.uint64(40)).astype(np.float64) / 2**24
    return torch.from_numpy(((unit * 2.0 - 1.0) / np.sqrt(inputs)).astype(np.float32).reshape(shape))


class Head(torch.nn.Module):
    """A batch norm and a linear layer on a map that is averaged to SIDE x SIDE."""

    def __init__(self, channels):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)
        self.linear = torch.nn.Linear(channels * SIDE * SIDE, CLASSES)
        with torch.no_grad():
            for name, parameter in self.linear.named_parameters():
                inputs = channels * SIDE * SIDE
                parameter.copy_(initial(f"clf.clf.0.{name}", tuple(parameter.shape), inputs))

    def forward(self, maps):
        pooled = torch.nn.functional.adaptive_avg_pool2d(maps, SIDE)
        return self.linear(self.norm(pooled).flatten(1))


def train(rule, dtype):
    network = filled(UNet2DConditionModel(**CONFIG), UNET_SEED).to(dtype)
    network.requires_grad_(False)
    maps = {}
    watch(network, maps)
    head = Head(64).to(dtype)
    condition = torch.nn.Parameter(null_text().to(dtype))
    x = torch.from_numpy(uniform("images", [IMAGES, 4, 8, 8], IMAGE_SEED)).to(dtype)
    labels = torch.tensor(LABELS)
    groups = [{"params": head.parameters(), "lr": HEAD_RATE}, {"params": [condition], "lr": CONDITION_RATE}]
    if rule == "adam":
        step = torch.optim.Adam(groups, lr=HEAD_RATE, eps=1e-2)
    else:
        step = torch.optim.SGD(groups, lr=HEAD_RATE, momentum=0.9, weight_decay=1e-4)
    found = {"losses": []}

    def logits():
        network(x, TIMESTEP, condition.expand(IMAGES, -1, -1))
        return head(maps[BLOCK])

    for _ in range(STEPS):
        step.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(), labels)
        loss.backward()
        found["losses"].append(loss.item())
        step.step()
    head.eval()
    with torch.no_grad():
        found["logits"] = logits()
    found["condition"] = condition.detach()
    found["losses"] = torch.tensor(found["losses"], dtype=torch.float64)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    kept = {}
    for rule in ("adam", "sgd"):
        found, exact = train(rule, torch.float32), train(rule, torch.float64)
        for name, one in found.items():
            moved = (one.double() - exact[name].double()).abs().max().item()
            print(rule, name, f"moves by {moved:.1e} of {one.abs().max().item():.3g}")
            kept[f"{rule}.{name}"] = one.float().numpy()
        print("begins", (null_text() - found["condition"]).abs().max().item())
    write(sys.argv[1], kept)
