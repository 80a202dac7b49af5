"""Takes out of a checkpoint what the rule for synthetic weights gives, so that the checkout keeps the container alone.

    python hollow.py RECORD.json CHECKPOINT...

RECORD.json is the record of the network beside the checkpoints, with `weight_seed` and `state_dict`. Every tensor of it that stands in a
checkpoint in one piece is overwritten by zeros, the file is packed as CHECKPOINT.gz, and CHECKPOINT.json says what stood where, and the
SHA-256 of the whole file: `tests/suite/hollow.rs` puts the values back and compares. Needs NumPy.
"""

import gzip
import hashlib
import json
import pathlib
import sys

import numpy as np

MASK = (1 << 64) - 1
# Shorter tensors are found by chance, and are not worth an entry.
LEAST_BYTES = 64


def fill(name, shape, seed):
    """The rule of `guided_diffusion/README.md`."""
    fnv = 0xCBF29CE484222325
    for byte in name.encode():
        fnv = ((fnv ^ byte) * 0x100000001B3) & MASK
    base = fnv ^ ((seed * 0x9E3779B97F4A7C15) & MASK)
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    v = 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2.0**24) - 1.0
    last = name.rsplit(".", 1)[-1]
    if len(shape) >= 2:
        v = v * np.sqrt(3.0 / np.prod(shape[1:]))
    elif last == "num_batches_tracked":
        v = 0.0 * v
    elif last == "running_var" or (last != "running_mean" and name.endswith("weight")):
        v = 1.0 + 0.1 * v
    else:
        v = 0.05 * v
    return v.astype("<f4").tobytes()


def hollow(path, seed, tensors):
    whole = path.read_bytes()
    rest, places = bytearray(whole), []
    for name, shape in tensors:
        values = fill(name, shape, seed)
        if len(values) < LEAST_BYTES:
            continue
        place = whole.find(values)
        if place < 0:
            continue  # Not in this file, as the linear layer of a backbone.
        assert whole.find(values, place + 1) < 0, f"{name} is there twice"
        rest[place : place + len(values)] = bytes(len(values))
        places.append([place, name, shape])
    record = {"sha256": hashlib.sha256(whole).hexdigest(), "seed": seed, "tensors": places}
    packed = gzip.compress(bytes(rest), 9, mtime=0)
    path.with_name(path.name + ".gz").write_bytes(packed)
    path.with_name(path.name + ".json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
    filled = sum(4 * int(np.prod(shape)) for _, _, shape in places)
    print(f"{path.name}: {len(whole)} bytes, of which {filled} in {len(places)} tensors go; {len(packed)} stay")


network = json.loads(pathlib.Path(sys.argv[1]).read_text())
for argument in sys.argv[2:]:
    hollow(pathlib.Path(argument), network["weight_seed"], network["state_dict"])
