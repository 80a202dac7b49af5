"""Reads and writes safetensors files with numpy."""

import json
import struct

import numpy as np

TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64}


def read(path):
    """All arrays of a file, by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    body = memoryview(data)[8 + length :]
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            arrays[name] = np.frombuffer(body[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def write(path, name, array):
    """A file with one array of 32-bit floats."""
    array = np.ascontiguousarray(array, np.float32)
    header = {name: {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + array.tobytes())


def pooled(maps, side):
    """Maps `[N, C, H, W]` averaged to `[N, C, side, side]`; H and W are multiples of the side. Averages stay what they are."""
    n, c, h, w = maps.shape
    blocks = maps.astype(np.float64).reshape(n, c, side, h // side, side, w // side)
    return blocks.mean(axis=(3, 5)).astype(np.float32)
