"""Takes what the tests compare out of the recorded outputs, which hold whole feature maps of every block.

    python3 reduce.py RECORDED.safetensors REDUCED.safetensors

Needs numpy. Arrays that are kept are kept byte for byte. Of the maps of blocks 1 to 6 at t = 90 stay the means over quadrants, added up in 64
bits, and a corner.
"""

import json
import struct
import sys

import numpy as np


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])
    return arrays


def write(path, arrays):
    header, offset, parts = {}, 0, []
    for name in sorted(arrays):
        part = np.ascontiguousarray(arrays[name], "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": arrays[name].shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


recorded = read(sys.argv[1])
reduced = {name: recorded[name] for name in recorded if not name.endswith(".xt")}
for block in range(1, 7):
    name = f"t90.b{block:02}"
    map = reduced.pop(name)
    count, channels, height, width = map.shape
    quadrants = map.reshape(count, channels, 2, height // 2, 2, width // 2)
    reduced[f"{name}.pool2"] = quadrants.mean((3, 5), np.float64).astype("<f4")
    reduced[f"{name}.corner"] = map[:, :4, :2, :2]
write(sys.argv[2], reduced)
