"""The cache of `repro` in Python: features, results and predictions as Polars frames.

    import repro

    top1 = repro.results(metric="top1", head="probe", timestep=10)
    train = repro.features(model="diffusion", block=8, timestep=10, pool=2, split="train")
    x = repro.to_numpy(train)                      # (images, values), float32 or float16
    right = repro.predictions(head="probe", block=8).filter(rank=0)

The functions read the files of the cache and nothing else; the program `repro` is not started, and nothing is written. They need
Polars, and `to_numpy` and `to_torch` need NumPy: `pip install "repro[frames]"`.
"""

from repro._arrays import to_numpy, to_torch
from repro._cache import CacheError
from repro._frames import features, predictions, results

__all__ = ["CacheError", "features", "predictions", "results", "to_numpy", "to_torch"]
