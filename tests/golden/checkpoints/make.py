"""Writes the checkpoints beside this file with PyTorch, and `expected.json` with what PyTorch itself says of them.

Needs PyTorch and NumPy: python make.py. Files of one version of PyTorch are the same at every run but for the member
`.data/serialization_id`.
"""

import collections
import io
import json
import pathlib
import sys

import torch

FOLDER = pathlib.Path(__file__).parent
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}
expected = {}


def entry(tensor):
    row = tensor.detach().contiguous().reshape(-1)
    data = row.view(torch.uint8).numpy().tobytes() if row.numel() else b""
    return {"type": NAMES[tensor.dtype], "shape": list(tensor.shape), "bytes": data.hex()}


def flat(state, prefix=""):
    for name, value in state.items():
        name = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flat(value, f"{name}.")
        elif isinstance(value, torch.Tensor):
            yield name, entry(value)


def save(name, state, **options):
    buffer = io.BytesIO()  # Not to a path: the archive's folder would be called as the file.
    torch.save(state, buffer, **options)
    (FOLDER / name).write_bytes(buffer.getvalue())
    if name.startswith("read-"):
        expected[name] = dict(flat(torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)))


def numbers(*shape):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count, dtype=torch.float32) - 3.5).reshape(shape)


types = {name.lower(): numbers(2, 3).abs().to(dtype) for dtype, name in NAMES.items()}
types |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "no_axis_of_one": torch.ones(1, 1, 2)}
base = numbers(4, 6)
views = {
    "base": base, "transposed": base.t(), "row": base[2], "column": base[:, 1], "every_other": base[::2, ::3],
    "inner": base[1:3, 2:5], "tied": base, "permuted": numbers(2, 3, 4).permute(2, 0, 1),
    "one_wide": base[:, :1].transpose(0, 1), "none_of_it": base[4:],
}
module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, bias=False), torch.nn.BatchNorm2d(2))
with torch.no_grad():
    for parameter in module.parameters():
        parameter.copy_(numbers(*parameter.shape))
nested = {
    "state_dict": module.state_dict(),
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
    "epoch": 12, "loss": 0.25, "name": "net\x1b[2J", "best": None, "done": True, "huge": 1 << 80, "size": torch.Size([2, 3]),
    "nothing": {},
}

save("read-types.pt", types)
save("read-types-legacy.pt", types, _use_new_zipfile_serialization=False)
save("read-views.pt", views)
save("read-views-legacy.pt", views, _use_new_zipfile_serialization=False)
save("read-nested.pt", nested)
save("read-parameters.pt", collections.OrderedDict(module.named_parameters()))
for protocol in (3, 4, 5):
    save(f"read-protocol-{protocol}.pt", module.state_dict(), pickle_protocol=protocol)
    save(
        f"read-protocol-{protocol}-legacy.pt", module.state_dict(), pickle_protocol=protocol,
        _use_new_zipfile_serialization=False,
    )
(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")

import numpy  # noqa: E402

# A vision transformer of one block as Flax names it, of 4 channels and 2 heads; all numbers count up from 0 in the order of the dict.
sizes = {
    "cls": (1, 1, 4), "embedding/kernel": (2, 2, 3, 4), "embedding/bias": (4,), "Transformer/posembed_input/pos_embedding": (1, 5, 4),
    "Transformer/encoder_norm/scale": (4,), "Transformer/encoder_norm/bias": (4,), "head/kernel": (4, 3), "head/bias": (3,),
}
block = {"LayerNorm_0/scale": (4,), "LayerNorm_0/bias": (4,), "LayerNorm_2/scale": (4,), "LayerNorm_2/bias": (4,)}
for part in ("query", "key", "value"):
    block |= {f"MultiHeadDotProductAttention_1/{part}/kernel": (4, 2, 2), f"MultiHeadDotProductAttention_1/{part}/bias": (2, 2)}
block |= {"MultiHeadDotProductAttention_1/out/kernel": (2, 2, 4), "MultiHeadDotProductAttention_1/out/bias": (4,)}
block |= {"MlpBlock_3/Dense_0/kernel": (4, 8), "MlpBlock_3/Dense_0/bias": (8,)}
block |= {"MlpBlock_3/Dense_1/kernel": (8, 4), "MlpBlock_3/Dense_1/bias": (4,)}
sizes |= {f"Transformer/encoderblock_0/{name}": size for name, size in block.items()}
flax, counted = {}, 0
for name, size in sizes.items():
    flax[name] = numpy.arange(counted, counted + numpy.prod(size), dtype=numpy.float32).reshape(size)
    counted += flax[name].size
numpy.savez(FOLDER / "flax.npz", **flax)
numpy.savez_compressed(FOLDER / "flax-compressed.npz", **flax)

save("refused-module.pt", module)
save("refused-numpy.pt", {"a": numpy.arange(3)})
save("refused-numpy-scalar.pt", {"a": numpy.float64(1.5)})
save("refused-expanded.pt", {"a": torch.ones(1).expand(1 << 40)})
save("refused-complex.pt", {"a": torch.ones(2, dtype=torch.complex64)})
save("refused-conjugated.pt", {"a": torch.ones(2, dtype=torch.complex64).conj()})
save("refused-float8.pt", {"a": torch.ones(2).to(torch.float8_e4m3fn)})
save("refused-sparse.pt", {"a": torch.eye(2).to_sparse()})
save("refused-quantised.pt", {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)})
save("refused-function.pt", {"f": print})
save("refused-tensor.pt", torch.ones(2))
save("refused-list.pt", [torch.ones(2)])
save("refused-protocol-0.pt", {"a": torch.ones(2)}, pickle_protocol=0, _use_new_zipfile_serialization=False)
save("refused-protocol-1.pt", {"a": torch.ones(2)}, pickle_protocol=1)
script = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), script)
(FOLDER / "refused-torchscript.pt").write_bytes(script.getvalue())
print(torch.__version__, file=sys.stderr)
