"""The synthetic rule for parameters, as src/models/checkpoint/synthetic.rs has it: a function of name, place, seed and shape."""

import numpy as np

U64 = np.uint64


def fnv1a64(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x00000100000001B3) % 2**64
    return value


def values(name, shape, seed):
    """The parameter of this name, f32, of `shape`."""
    base = fnv1a64(name) ^ (seed * 0x9E3779B97F4A7C15) % 2**64
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=U64) * U64(0xD1B54A32D192ED03) + U64(base)
        z += U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        z ^= z >> U64(31)
    v = 2.0 * ((z >> U64(40)).astype(np.float64) / 2.0**24) - 1.0
    if len(shape) >= 2:
        v *= np.sqrt(3.0 / np.prod(shape[1:], dtype=np.int64))
    elif name.endswith("weight"):
        v = 1.0 + 0.1 * v
    else:
        v *= 0.05
    return v.astype(np.float32).reshape(shape)


def uniform(name, shape, seed):
    """Numbers from -1 to 1, f32: those of a bias of this name, times 20."""
    count = int(np.prod(shape, dtype=np.int64))
    return (values(name, [count], seed) * np.float32(20.0)).reshape(shape)
