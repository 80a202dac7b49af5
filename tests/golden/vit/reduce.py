"""Keeps the part of the recorded outputs that the tests compare, values untouched.

    python3 reduce.py SUPERVISED_FOLDER DINOV2_FOLDER

The folders hold the outputs as they were recorded (README.md beside this file says by what): `vit-features.safetensors`,
`vit-tiny-features.safetensors`, `vit.json`, `vit-tiny.json`, and `dinov2-tiny-features.safetensors`, `vits14-features.safetensors`,
`dinov2-tiny.json`. Reduced files are written beside this script.
"""

import json
import re
import struct
import sys
from pathlib import Path


def read(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: (about["dtype"], about["shape"], data[start + about["data_offsets"][0] : start + about["data_offsets"][1]])
        for name, about in header.items()
    }


def write(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def reduce(source, target, patterns):
    tensors = {name: tensor for name, tensor in sorted(read(source).items()) if any(re.fullmatch(one, name) for one in patterns)}
    write(target, tensors)


def main():
    supervised, dinov2, here = Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parent
    reduce(
        supervised / "vit-features.safetensors",
        here / "vit-features.safetensors",
        [r".*\.corner", r".*\.feature", r"(vitb16[^.]*\.b12|vitl16[^.]*\.b24)\.(cls|patchmean)", r"vit(b16_timm|l16_mae(\.global_pool)?)\.logits"],
    )
    reduce(
        supervised / "vit-tiny-features.safetensors",
        here / "vit-tiny-features.safetensors",
        [r"(?!timm\.(patch_embed|b01\..*)).*"],
    )
    reduce(
        dinov2 / "dinov2-tiny-features.safetensors",
        here / "dinov2-tiny-features.safetensors",
        [
            r"input\.native",
            r"mlp_reg\.native\.(embed|b0\d|norm)",
            r".*\.native\.(b05|feature\..*)",
            r"(mlp|mlp_reg)\.\d+x\d+\.pos_embed",
            r"interp37\.(pos_embed_native|16x16\..*)",
        ],
    )
    reduce(
        dinov2 / "vits14-features.safetensors",
        here / "vits14-features.safetensors",
        [r".*\.corner", r".*\.feature\..*", r".*\.(b06|b12)\.(cls|patchmean)"],
    )
    tiny, wide = (json.loads((supervised / name).read_text()) for name in ("vit-tiny.json", "vit.json"))
    mlp = json.loads((dinov2 / "dinov2-tiny.json").read_text())
    kept = {
        "tiny": {tag: {key: tiny[tag][key] for key in ("parameters", "state_dict")} for tag in ("timm", "mae_gap")},
        "full": {tag: {key: wide[tag][key] for key in ("weight_seed", "parameters")} for tag in wide if tag.startswith("vit")},
        "dinov2": {"state_dicts": mlp["state_dicts"], "published": mlp["published"]},
    }
    (here / "state-dicts.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


main()
