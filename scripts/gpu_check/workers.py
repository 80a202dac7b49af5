"""Two workers on one device against one: how long the same features take, and whether they have the same bytes."""

import hashlib
from dataclasses import dataclass

from . import experiments
from .check import Failed
from .experiments import dataset, preset, quoted, table


@dataclass(frozen=True)
class Case:
    """Features of two noise steps: two passes, which two workers can share."""

    model: str
    side: int
    block: int
    dtype: str
    batch_size: int
    images: int


def workers(check):
    if check.small:
        cases = [Case("adm-nano", 32, 3, "f32", 32, 128)]
    else:
        # A network that leaves most of a GPU idle, and one that does not.
        cases = [Case("cifar-32", 32, 13, "f32", 128, 8192), Case("adm-256-uncond", 256, 24, "bf16", 64, 512)]
    for case in cases:
        compare(check, case)


def compare(check, case):
    runs = {}
    for count in (1, 2):
        cache = f"cache-workers-{count}"
        devices = ",".join([check.device] * count)
        fields = {"what": f"{case.model} to b{case.block}", "dtype": case.dtype, "batch_size": case.batch_size, "devices": devices}
        runs[count] = check.attempt(fields, extract, check, case, cache, devices)
    if all(runs.values()):
        fields = {"what": f"{case.model} to b{case.block}, two against one", "dtype": case.dtype, "batch_size": case.batch_size}
        check.attempt(fields, differences, check, *runs.values())
    for count in runs:
        experiments.forget(check, f"cache-workers-{count}")


def extract(check, case, cache, devices):
    root = experiments.images(check, case.side, 3, case.images - experiments.CLASSES, experiments.CLASSES)
    extraction = table(
        "extraction.features",
        model=quoted("network"),
        dataset=quoted("images"),
        timestep=[30, 90],
        block=case.block,
        pool=[1, 2],
        precision=quoted(case.dtype),
        # The same in both runs: features of another batch size may round differently.
        batch_size=case.batch_size,
    )
    text = dataset(root) + preset(case.model, "{ synthetic = 1 }") + extraction
    ran = experiments.run(check, cache, text, cache, devices=devices)
    if not ran.is_whole:
        raise Failed("it was not finished in the time of this part")
    images = 2 * case.images
    # From the first to the last image, without loading the network.
    moments = [at for at, event in ran.ended.events if event["event"] in ("pass-started", "pass-finished")]
    seconds = moments[-1] - moments[0] if moments else None
    return {
        "images": images,
        "seconds_of_passes": seconds,
        "images_per_second": seconds and images / seconds,
        "seconds_in_all": ran.ended.seconds,
        "parts": len(parts(check.folder / cache)),
        "peak_device_memory": ran.ended.peak_device_memory,
        "peak_memory": ran.ended.peak_memory,
    }


def parts(cache):
    """The files with features, by their place in the cache."""
    root = cache / "artifacts/features"
    return {str(path.relative_to(root)): path for path in sorted(root.glob("*/*/part-*.arrow"))}


def differences(check, one, two):
    """Compares every file of the two caches."""
    left, right = (parts(check.folder / f"cache-workers-{count}") for count in (1, 2))
    if not left or left.keys() != right.keys():
        raise Failed(f"one worker left {len(left)} parts and two left {len(right)}, which have to be the same")
    different = [name for name in left if digest(left[name]) != digest(right[name])]
    speed = one["seconds_of_passes"] and two["seconds_of_passes"] and one["seconds_of_passes"] / two["seconds_of_passes"]
    return {
        "parts": len(left),
        "parts_with_other_bytes": len(different),
        "largest_difference": max((largest_difference(left[name], right[name]) for name in different), default=0.0),
        "times_as_fast": speed,
    }


def digest(path):
    return hashlib.sha256(path.read_bytes()).digest()


def largest_difference(left, right):
    """The largest difference of the features in two files that hold the same rows.

    Arrow files of the same rows have one layout, and nothing in them differs but the features. So every group of four bytes that
    is not the same is a value, a 32-bit float.
    """
    import numpy as np

    a, b = left.read_bytes(), right.read_bytes()
    if len(a) != len(b):
        raise Failed("two parts of the same rows have different sizes")
    whole = len(a) // 4 * 4
    words_a, words_b = (np.frombuffer(data[:whole], np.uint32) for data in (a, b))
    differs = words_a != words_b
    values_a, values_b = (words[differs].view(np.float32).astype(np.float64) for words in (words_a, words_b))
    return float(np.abs(values_a - values_b).max(initial=0.0))
