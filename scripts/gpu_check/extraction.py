"""How many images a second go through the network, and what share of the peak of matrix products that is."""

import json
from dataclasses import dataclass

from .check import Failed

DTYPES = ("bf16", "f16", "f32")


@dataclass(frozen=True)
class Case:
    """One benchmark."""

    dtype: str
    block: int
    # None for the size that the program chooses.
    batch_size: int | None
    images: int


def cases(check):
    """The network, and its benchmarks; what matters most comes first, because time may run out."""
    if check.small:
        # Some processors take a second for an image of this network in 16 bits.
        return "adm-nano", [Case(dtype, block, 2, 4) for block in (3, 5) for dtype in DTYPES]
    # Two to four seconds on a GPU of 2022, by the multiply-adds of the blocks. Shards have 256 images, so that no batch is larger.
    images = {(24, "f32"): 128, (24, "bf16"): 768, (24, "f16"): 768, (37, "f32"): 64, (37, "bf16"): 256, (37, "f16"): 256}
    sizes = [(24, 32), (37, 32), (24, None), (24, 64), (24, 8), (24, 128), (37, 64), (24, 1)]
    chosen = []
    for block, size in sizes:
        for dtype in DTYPES:
            count = images[block, dtype] if size != 1 else 64
            chosen.append(Case(dtype, block, size, max(count, 2 * (size or 128))))
    return "adm-256-uncond", chosen


def extraction(check):
    peaks(check)
    model, chosen = cases(check)
    for case in chosen:
        fields = {"what": f"repro, {model} to b{case.block}", "dtype": case.dtype, "batch_size": case.batch_size}
        check.attempt(fields, bench, check, model, case)


def peaks(check):
    """What the device can do at most, by PyTorch."""
    side = 8192 if check.is_cuda else 256
    ended = check.python("torch_peak.py", check.device, side)
    for line in ended.stdout.splitlines():
        found = json.loads(line)
        check.peaks[found["dtype"]] = found["teraflops"]
        check.record(what=f"product of {side} x {side} matrices", dtype=found["dtype"], teraflops_per_second=found["teraflops"])
    if ended.code != 0:
        check.record(what="products of matrices", error="out of time" if ended.code is None else ended.last_words())


def bench(check, model, case):
    words = ["bench", "extraction", "--model", model, "--block", case.block, "--images", case.images, "--json"]
    words += ["--precision", case.dtype, "--device", check.device]
    if case.batch_size is not None:
        words += ["--batch-size", case.batch_size]
    ended = check.repro(*words)
    found = check.json_of(ended)
    if not found["forward_seconds"] > 0:
        raise Failed("the network took no time")
    operations = found["teraflops_per_second"] * 1e12 * found["forward_seconds"] / found["images"]
    check.operations[model, case.block] = operations
    check.rates[model, case.block, case.dtype, found["batch_size"]] = found["images_per_second"]
    wall = operations * found["images_per_second"] / 1e12
    peak = check.peaks.get(case.dtype)
    return {
        "batch_size": found["batch_size"],
        "batch_size_chosen_by": "gpu-check" if case.batch_size else "repro",
        "images": found["images"],
        "images_per_second": found["images_per_second"],
        "teraflops_per_second": found["teraflops_per_second"],
        "share_of_peak_in_network": peak and found["teraflops_per_second"] / peak,
        "share_of_peak_in_all": peak and wall / peak,
        "forward_seconds": found["forward_seconds"],
        "decode_seconds": found["decode_seconds"],
        "write_seconds": found["write_seconds"],
        "wall_seconds": found["wall_seconds"],
        "seconds_with_start": ended.seconds,
        "peak_device_memory": ended.peak_device_memory,
        "peak_memory": found["peak_memory_bytes"],
    }
