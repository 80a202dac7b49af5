"""A column of features as a matrix of NumPy or PyTorch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch

FEATURE = "feature"


def to_numpy(features: pl.DataFrame | pl.Series, *, allow_copy: bool = True) -> np.ndarray:
    """A matrix of shape (images, values), float32 or float16 as stored.

    `features` is a frame with a column `feature`, or such a column. The matrix is the memory of the frame, and read-only, where that is
    in one piece: one file, or after `rechunk()`. Features of several files are put together, which copies them
    once. With `allow_copy=False` that is an error instead.

    Raises TypeError for a column of another type, and ValueError for null values or where a copy would be needed and is not allowed.
    """
    column = _column(features)
    if column.null_count() > 0:
        raise ValueError(f"`{column.name}` has {column.null_count()} null values, which a matrix cannot hold")
    if column.n_chunks() > 1:
        if not allow_copy:
            raise ValueError(f"`{column.name}` is in {column.n_chunks()} pieces, and one matrix of them would be a copy")
        column = column.rechunk()
    try:
        return column.to_numpy(allow_copy=allow_copy)
    except ModuleNotFoundError as error:
        raise ImportError('a matrix needs NumPy: pip install "repro[frames]"') from error


def to_torch(features: pl.DataFrame | pl.Series, *, allow_copy: bool = True) -> torch.Tensor:
    """`to_numpy` as a tensor on the CPU, on the same memory: copied exactly where `to_numpy` copies.

    PyTorch does not know read-only memory. Do not write into the tensor: the frame would change as well. `.clone()` gives one of your
    own, and `.to(device)` copies anyway.

    Raises what `to_numpy` raises.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("a tensor needs PyTorch: pip install torch") from error
    array = to_numpy(features, allow_copy=allow_copy)
    with warnings.catch_warnings():
        # That it is not writable is said above.
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)


def _column(features: pl.DataFrame | pl.Series) -> pl.Series:
    import polars as pl

    if isinstance(features, pl.DataFrame):
        if FEATURE not in features.columns:
            raise TypeError(f"expected a frame with a column `{FEATURE}`, found {', '.join(features.columns)}")
        features = features[FEATURE]
    if not isinstance(features, pl.Series) or not isinstance(features.dtype, pl.Array):
        found = features.dtype if isinstance(features, pl.Series) else type(features).__name__
        raise TypeError(f"expected a column of arrays of fixed width, found {found}")
    return features
