"""Writes momentum.json: heads trained by torch.optim.SGD with momentum and weight decay, each by itself.

    python3 momentum.py

with torch 2.11.0 and numpy installed. Features and labels are those of small.safetensors. Parameters follow the rule of synthetic
weights (../guided_diffusion/README.md) with the seed of small.json.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

HERE = Path(__file__).parent
STEPS = 20
MOMENTUM = 0.9
# Learning rate and weight decay of each run.
RATES = [(0.1, 1e-3), (0.03, 0.0), (0.003, 0.1)]
MASK = (1 << 64) - 1

torch.set_num_threads(1)


def stored(name):
    """A tensor of small.safetensors."""
    data = (HERE / "small.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])[name]
    first, last = (8 + length + offset for offset in entry["data_offsets"])
    kind = {"F16": np.float16, "I64": np.int64}[entry["dtype"]]
    return torch.from_numpy(np.frombuffer(data[first:last], kind).reshape(entry["shape"]).copy())


def synthetic(name, shape, seed):
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) & MASK
    base ^= (seed * 0x9E3779B97F4A7C15) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    v = 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2**24) - 1.0
    v = v * np.sqrt(3.0 / np.prod(shape[1:])) if len(shape) >= 2 else 0.05 * v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


class Layers(torch.nn.Module):
    """Linear layers with a ReLU behind each but the last, under the reference's names."""

    def __init__(self, widths):
        super().__init__()
        self.fcs = torch.nn.ModuleList(
            torch.nn.Linear(inputs, outputs) for inputs, outputs in zip(widths, widths[1:])
        )

    def forward(self, x):
        for layer in self.fcs[:-1]:
            x = layer(x).relu()
        return self.fcs[-1](x)


small = json.loads((HERE / "small.json").read_text())
features = stored("features_f16").float()
labels = stored("labels")


def train(widths, pool, rate, decay):
    pooled = adaptive_avg_pool2d(features, pool).flatten(1)
    head = Layers(widths)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            parameter.copy_(synthetic(name, list(parameter.shape), small["weight_seed"]))
    optimiser = torch.optim.SGD(head.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=decay)
    losses = []
    for _ in range(STEPS):
        loss = cross_entropy(head(pooled), labels)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        logits = head(pooled)
    norms = {name: parameter.double().norm().item() for name, parameter in head.named_parameters()}
    return {
        "learning_rate": rate,
        "weight_decay": decay,
        "losses": losses,
        "param_norms_after": norms,
        "logits_after": logits.flatten().tolist(),
    }


heads = {
    "linear_p2": ([32 * 4, 10], 2),
    "mlp_p2_2": ([32 * 4, 64, 48, 10], 2),
}
out = {
    "torch": torch.__version__.split("+")[0],
    "momentum": MOMENTUM,
    "steps": STEPS,
    "heads": {
        name: [train(widths, pool, *rates) for rates in RATES] for name, (widths, pool) in heads.items()
    },
}
(HERE / "momentum.json").write_text(json.dumps(out, indent=1) + "\n")
