"""Takes what the tests compare out of the recorded outputs, which hold whole feature maps of every block.

    python3 reduce.py UNET.safetensors NULL-TEXT.safetensors TEXT-TINY.safetensors TEXT-FULL.safetensors REDUCED.safetensors

Needs numpy. Arrays that are kept are kept byte for byte. Feature maps stay as corners: 8 channels, 4 × 4 pixels at most.
"""

import json
import struct
import sys

import numpy as np

TYPES = {"F32": "<f4", "I64": "<i8"}
# Tokens of a text that stay of hidden states.
POSITIONS = [0, 1, 2, 40, 76]


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def write(path, arrays):
    header, offset, parts = {}, 0, []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        kind = "F32" if array.dtype == np.float32 else "I64"
        part = array.astype(TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def corner(map):
    return map[:, :8, :4, :4]


if __name__ == "__main__":
    unet, null, tiny, full = (read(path) for path in sys.argv[1:5])
    kept = {"unet.x": unet["x"], "unet.context": unet["encoder_hidden_states"]}
    for block in range(1, 26):
        name = f"b{block:02}"
        kept[f"unet.t261.{name}.corner"] = corner(unet[f"t261.{name}"])
        kept[f"unet.t90.{name}.pool2"] = unet[f"t90.{name}.pool2"]
    for t in (0, 999):
        kept[f"unet.t{t}.b25.pool2"] = unet[f"t{t}.b25.pool2"]
        kept[f"unet.t{t}.out"] = unet[f"t{t}.out"][:, :, ::2, ::2]
    kept["unet.t261.out"] = unet["t261.out"]
    for t in (90, 261):
        kept[f"null.t{t}.zt"] = null[f"t{t}.zt"]
        kept[f"null.t{t}.out"] = null[f"t{t}.out"]
        for block in (2, 13, 15, 18, 25):
            name = f"t{t}.b{block:02}"
            kept[f"null.{name}.corner"] = corner(null[name])
    kept["text.ids"] = tiny["input_ids"]
    for layer in range(4):
        kept[f"text.hidden{layer:02}"] = tiny[f"hidden{layer:02}"][:, POSITIONS]
    kept["text.last"] = tiny["last_hidden_state"][:, ::4]
    kept["clip.last"] = full["last_hidden_state"][:, POSITIONS]
    for layer in (1, 6, 12):
        kept[f"clip.hidden{layer:02}"] = full[f"hidden{layer:02}.pos0_1_2_40_76"]
    write(sys.argv[5], kept)
