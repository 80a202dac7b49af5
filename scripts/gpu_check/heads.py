"""Linear heads: one on 4,096 and one on 65,536 values, in f32 and bf16, and a hundred from one scan of the features.

The features are the map of the first block of a small network, pooled to two sizes, so that one cheap pass makes both. What they
say of the images does not matter here.
"""

from dataclasses import dataclass

from . import experiments
from .check import OutOfTime
from .experiments import dataset, quoted, table

CACHE = "cache-heads"
# Of the images, and of the map of the first block.
SIDE = 32


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    train: int
    test: int
    # Channels of the first block, and its two pools: values = channels * pool * pool.
    channels: int
    pools: tuple
    # Epochs of heads on each of the pools.
    epochs: tuple

    def values(self, pool):
        return self.channels * pool * pool


def heads(check):
    sizes = Sizes(512, 64, 32, (2, 8), (5, 5)) if check.small else Sizes(8192, 512, 64, (8, 32), (40, 15))
    extract(check, sizes)
    (narrow, wide), (many_epochs, few_epochs) = sizes.pools, sizes.epochs
    one = {}
    for pool, epochs in ((narrow, many_epochs), (wide, few_epochs)):
        for dtype in ("f32", "bf16"):
            one[pool, dtype] = train(check, sizes, pool, dtype, epochs, heads=1)
    for dtype in ("f32", "bf16"):
        train(check, sizes, narrow, dtype, many_epochs, heads=100, alone=one[narrow, dtype])
    experiments.forget(check, CACHE)


def features(check, sizes, pool):
    """The part of an experiment that makes the features."""
    root = experiments.images(check, SIDE, 3, sizes.train, sizes.test)
    shape = {"image_size": SIDE, "model_channels": sizes.channels, "num_res_blocks": 1, "channel_mult": [1]}
    model = table("model.network", kind=quoted("guided-diffusion"), **shape, attention_resolutions=[], weights="{ synthetic = 1 }")
    extraction = table(
        "extraction.values",
        model=quoted("network"),
        dataset=quoted("images"),
        timestep=90,
        block=1,
        pool=pool,
        storage=quoted("f16"),
    )
    return dataset(root) + model + extraction


def extract(check, sizes):
    """Makes the features of both sizes in one pass."""

    def measure():
        ran = experiments.run(check, "features", features(check, sizes, list(sizes.pools)), CACHE)
        if not ran.is_whole:
            raise OutOfTime("the features were not made in the time of this part")
        seconds = ran.last("pass-finished", "seconds")
        return {"samples": sizes.train + sizes.test, "seconds": seconds}

    check.attempt({"what": "one pass makes the features of both sizes", "dtype": "f32"}, measure)


def train(check, sizes, pool, dtype, epochs, heads, alone=None):
    """Trains heads on the features of one size; returns seconds an epoch."""
    values = sizes.values(pool)
    # Ten learning rates of ten seeds are a hundred heads that read the same features.
    rates, seeds = (10, 10) if heads == 100 else (1, 1)
    lrs = [f"{{ lr = {1e-3 / (index + 1):.6f} }}" for index in range(rates)]
    head = table(
        "head.linear",
        kind=quoted("linear"),
        features=quoted("values"),
        epochs=epochs,
        batch_size=256,
        precision=quoted(dtype),
        optimizer=lrs[0] if rates == 1 else f"[{', '.join(lrs)}]",
        seed=list(range(seeds)),
    )
    what = f"{heads} linear head{'s' if heads > 1 else ''} on {values:,} values"

    def measure():
        name = f"heads-{heads}-{values}-{dtype}"
        # Checkpoints would be part of what is timed.
        ran = experiments.run(check, name, features(check, sizes, pool) + head, CACHE, words=("--checkpoint-every", 3600))
        seconds = seconds_an_epoch(ran)
        return {
            "batch_size": 256,
            "samples": sizes.train,
            "epochs": epochs,
            "seconds_an_epoch": seconds,
            "samples_a_second": seconds and sizes.train / seconds,
            "times_one_head": seconds and alone and alone.get("seconds_an_epoch") and seconds / alone["seconds_an_epoch"],
            "seconds_in_all": ran.last("heads-finished", "seconds"),
            "peak_device_memory": ran.ended.peak_device_memory,
            "peak_memory": ran.ended.peak_memory,
            "error": None if ran.is_whole else "it was not finished in the time of this part",
        }

    return check.attempt({"what": what, "dtype": dtype}, measure)


def seconds_an_epoch(ran):
    """From the end of the first epoch to that of the last: reading the features and what is loaded at first is left out."""
    ends = {}
    for at, event in ran.of("heads-advanced"):
        # Heads in several groups say so one by one; an epoch is over when the last of them has.
        ends[event["epoch"]] = at
    first, last = min(ends, default=0), max(ends, default=0)
    return (ends[last] - ends[first]) / (last - first) if last > first else None
