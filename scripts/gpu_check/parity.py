"""The golden networks on the device: their maps against those that the reference implementation gave on a CPU.

Recorded maps and tolerances are those of `tests/golden/guided_diffusion`, whose README explains both, and they are compared as
`tests/suite/golden_guided_diffusion.rs` does it. In f32 ten times the tolerance is allowed on a GPU, as that README says; the
program has TF32 off. For adm-256 no tolerance in 16 bits is written anywhere: there the differences are only recorded.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from .check import Failed

WHOLE, POOLED = 1e-4, 5e-5
# By dtype: averaged maps, and the output of the network.
IN_16_BITS = {"f16": (1e-2, 2e-2), "bf16": (4e-2, 8e-2)}
# What bf16 differs from f32 by at least; less, and it was not computed in bf16.
ROUNDING_OF_BF16 = 1e-6
# Programs at once: nothing is timed here, and most of the time goes into starting them.
AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """One forward pass of a golden network."""

    network: str
    # Of the synthetic weights.
    seed: int
    dtype: str
    timestep: int

    @property
    def is_large(self):
        return self.network == "adm-256-uncond"

    @property
    def key(self):
        """What the names of its recorded arrays begin with."""
        return "" if self.is_large else f"t{self.timestep}."


def cases(small):
    """The small networks, and where there is time the one of the paper."""
    tiny, nano = ("adm-tiny", 1), ("adm-nano", 2)
    timesteps = [0, 90, 999] if small else [0, 30, 90, 150, 500, 999]
    chosen = [Case(*tiny, "f32", timestep) for timestep in timesteps]
    chosen += [Case(*nano, "f32", timestep) for timestep in (0, 150)]
    chosen += [Case(*tiny, dtype, 90) for dtype in IN_16_BITS]
    chosen += [Case(*nano, dtype, 150) for dtype in IN_16_BITS]
    large = [] if small else [Case("adm-256-uncond", 7, dtype, 90) for dtype in ("f32", "f16", "bf16")]
    return chosen, large


def parity(check):
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise Failed("numpy is missing, with which maps are compared") from error
    small, large = cases(check.small)
    golden = Golden(check.root / "tests/golden/guided_diffusion")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for case, tapped in [(case, pool.submit(tap, check, golden, case)) for case in small]:
            report(check, golden, case, tapped.result)
    # One after the other: they are large.
    for case in large:
        report(check, golden, case, lambda case=case: tap(check, golden, case))


def report(check, golden, case, tapped):
    fields = {"what": f"{case.network} at t = {case.timestep}", "dtype": case.dtype}
    check.attempt(fields, lambda: compare(check, golden, case, *tapped()))


class Golden:
    """The recorded arrays."""

    def __init__(self, folder):
        from . import tensors

        # Each file is read once, whoever asks.
        self._read = cache(lambda name: tensors.read(folder / name))

    def of(self, case):
        """Images, maps and output of a network, by the reference in f32."""
        name = "adm-256" if case.is_large else case.network
        return self._read(f"{name}-features.safetensors")

    def in_f16(self):
        """Maps and output of adm-tiny at t = 90, by the reference in f16."""
        return self._read("adm-tiny-fp16.safetensors")


def tap(check, golden, case):
    """Runs the program, and returns how it ended and its file."""
    from . import tensors

    name = f"{case.network}-{case.dtype}-{case.timestep}"
    source, target = (check.folder / f"{name}-{what}.safetensors" for what in ("in", "out"))
    tensors.write(source, "x_t", golden.of(case)[f"{case.key}xt"])
    # Of the large network averages are recorded, and its whole maps would be a gigabyte.
    pool = "4" if case.is_large else "full"
    words = ["models", "tap", case.network, "--weights", f"synthetic:{case.seed}", "--input", source, "--output", target]
    words += ["--timestep", case.timestep, "--pool", pool, "--precision", case.dtype, "--device", check.device]
    return check.repro(*words), target


def compare(check, golden, case, ended, target):
    """The largest differences of the maps and of the output, and whether they are small enough."""
    from . import tensors

    check.expect(ended)
    found = tensors.read(target)
    out = found.pop("out")
    # The reference's own f16 is the better measure of ours, and is recorded for one network.
    of_f16 = case.dtype == "f16" and case.network == "adm-tiny"
    recorded = golden.in_f16() if of_f16 else golden.of(case)
    side = 4 if case.is_large else 2
    # Whole maps in f32 where they are recorded; rounding to 16 bits is judged by averages.
    is_whole = case.dtype == "f32" and f"{case.key}b01" in recorded

    def off(name, array, whole):
        expected = recorded.get(f"{case.key}{name}.pool{side}")
        if whole or expected is None:
            expected = recorded[f"{case.key}{name}"]
        if not whole:
            array, expected = (tensors.pooled(one, side) for one in (array, expected))
        if array.shape != expected.shape:
            raise Failed(f"{name} is {list(array.shape)}, not {list(expected.shape)}")
        return furthest_apart(array, expected)

    maps = {name: off(name, array, is_whole) for name, array in found.items()}
    of_out = off("out", out, not case.is_large)
    furthest = max(maps, key=maps.get)
    allowed, allowed_out = tolerances(case, is_whole, 10 if check.is_cuda else 1)
    record = {
        "batch_size": out.shape[0],
        "against": "reference f16" if of_f16 else "reference f32",
        "blocks": len(maps),
        "maps": "whole" if is_whole else f"{side} x {side}",
        "largest_difference": maps[furthest],
        "at_block": furthest,
        "allowed": allowed,
        "difference_of_out": of_out,
        "allowed_for_out": allowed_out,
        "within": None if allowed is None else maps[furthest] <= allowed and of_out <= allowed_out,
        # The small ones run side by side, so that it would not be their own.
        "peak_device_memory": ended.peak_device_memory if case.is_large else None,
    }
    if record["within"] is False:
        record["error"] = f"{case.network} in {case.dtype} at t = {case.timestep} is too far off"
    if case.dtype == "bf16" and maps[furthest] < ROUNDING_OF_BF16:
        record["error"] = f"{case.network} was not computed in bf16"
    return record


def tolerances(case, is_whole, looser):
    """What maps may be off, and what the output may be."""
    if case.dtype == "f32":
        return looser * (WHOLE if is_whole else POOLED), looser * (POOLED if case.is_large else WHOLE)
    return (None, None) if case.is_large else IN_16_BITS[case.dtype]


def furthest_apart(found, expected):
    """The largest absolute difference."""
    import numpy as np

    furthest = float(np.abs(found.astype(np.float64) - expected).max())
    # No comparison would show these.
    if not np.isfinite(furthest):
        raise Failed("there are values that are no numbers")
    return furthest
