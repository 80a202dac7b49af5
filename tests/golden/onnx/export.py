"""Writes the networks and outputs of this folder: `python3 export.py`, with torch, onnx and safetensors."""

import torch
from safetensors.torch import save_file
from torch import nn


class Tiny(nn.Module):
    """Two convolutions, tokens of their map behind a class token, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        first = torch.relu(self.first(image))
        second = torch.nn.functional.gelu(self.second(first))
        tokens = second.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(image.shape[0], -1, -1), tokens], 1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return first, second, tokens, self.head(tokens[:, 0])


torch.manual_seed(18)
network = Tiny().eval()
image = torch.rand(3, 3, 16, 16) * 2 - 1
names = ["first", "second", "tokens", "logits"]
with torch.no_grad():
    outputs = network(image)
for name, batch in [("tiny", {"image": {0: "batch"}}), ("tiny-batch-2", None)]:
    torch.onnx.export(
        network,
        (image[:2],),
        f"{name}.onnx",
        input_names=["image"],
        output_names=names,
        dynamic_axes=batch and batch | {name: {0: "batch"} for name in names},
        external_data=False,
        dynamo=False,
        opset_version=18,
    )
arrays = {"image": image} | dict(zip(names, outputs))
save_file({name: array.contiguous() for name, array in arrays.items()}, "tiny.safetensors")
