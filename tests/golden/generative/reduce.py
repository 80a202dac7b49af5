"""Keeps the part of the recorded values that the tests compare, values untouched.

    python3 reduce.py METRICS_FOLDER INCEPTION_FOLDER GENERATIVE_FOLDER

The folders hold the values as they were recorded (README.md beside this file says by what): `metrics.safetensors` and `metrics.json`;
`inception-fid-features.safetensors`, `inception-fid.json` and images; `generative-metrics.safetensors` and `generative-metrics.json`.
Reduced files are written beside this script.
"""

import json
import re
import shutil
import struct
import sys
from pathlib import Path

# Of the images, an enlarged one and a wide one.
IMAGES = ["image1", "image2"]


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
    # The widest elements first, so that each is aligned.
    for name, (dtype, shape, data) in sorted(tensors.items(), key=lambda item: -int(item[1][0][1:])):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensors[name][2] for name in header))


def chosen(tensors, patterns):
    return {name: tensor for name, tensor in tensors.items() if any(re.fullmatch(one, name) for one in patterns)}


def main():
    metrics, inception, generative = (Path(folder) for folder in sys.argv[1:4])
    here = Path(__file__).parent
    values = read(generative / "generative-metrics.safetensors")
    spatial = {name: values.pop(name) for name in sorted(values) if name.startswith("sfid.image")}
    cases = "d8_full|d8_diagonal|d8_rank_deficient|d8_full_vs_deficient|d64_full|d64_rank_deficient"
    values |= chosen(read(metrics / "metrics.safetensors"), [rf"frechet\.({cases})\..*"])
    write(here / "values.safetensors", values)

    known = json.loads((generative / "generative-metrics.json").read_text())
    known["frechet"] = json.loads((metrics / "metrics.json").read_text())["frechet"]
    (here / "values.json").write_text(json.dumps(known, indent=1) + "\n")

    images = "|".join(IMAGES)
    # Mixed_7c.pool1 is features2048.
    stages = read(inception / "inception-fid-features.safetensors")
    stages = chosen(stages, [rf"({images})\.(?!Mixed_7c\.pool1).*"])
    stages |= chosen(spatial, [rf"sfid\.({images})\.spatial"])
    write(here / "inception.safetensors", stages)
    known = json.loads((inception / "inception-fid.json").read_text())
    kept = {name: known[name] for name in ["weight_seed", "conv_weight_factor", "parameters", "shapes"]}
    kept["tensors"] = len(known["state_dict"])
    (here / "inception.json").write_text(json.dumps(kept, indent=1) + "\n")
    for image in IMAGES:
        shutil.copyfile(inception / f"{image}.png", here / f"{image}.png")


main()
