"""Features, results and predictions of the cache as Polars frames."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro import _cache
from repro._cache import Artifact, CacheError

if TYPE_CHECKING:
    import polars as pl

#: A value of an axis; `None` stands for "does not have this axis".
Value = str | int | float | bool | None
Cache = str | os.PathLike[str]

#: The axes that every table of results has, and the types of their values, as `repro list axes` says them; null where a result does not
#: have one. What a file sweeps beyond these is an axis too, of the results that have it.
AXES = {
    "split": "text",
    "head": "text",
    "head_kind": "text",
    "extraction": "text",
    "model": "text",
    "weights": "text",
    "weights_seed": "integer",
    "dataset": "text",
    "timestep": "integer",
    "block": "integer",
    "pool": "integer",
    "token": "text",
    "precision": "text",
    "view": "text",
    "draw": "integer",
    "noise_seed": "integer",
    "seed": "integer",
    "learning_rate": "number",
    "network_learning_rate": "number",
    "epochs": "integer",
    "chosen": "text",
    "chosen_from": "integer",
    "at_border": "text",
    "class": "integer",
    "images": "integer",
    "predicted": "integer",
    "preprocess": "text",
    "reference": "text",
    "reference_images": "integer",
    "reference_split": "text",
}

#: Fewer digits than these are not taken for a fingerprint.
FEWEST_DIGITS = 4


def results(name: str | None = None, *, cache: Cache | None = None, **axes: Value | Collection[Value]) -> pl.DataFrame:
    """Scored values, one row each: the table `results` of `repro query`.

    `name` is the name of a metric's node or the first digits (4 or more) of its fingerprint. Keywords keep the rows with a value in a
    column, or one of several: `metric="top1"`, `block=[3, 7]`, `timestep=None` for models without noise. `repro list axes` lists the
    columns; one that a result does not have is null in its row. Without matching rows the frame is empty.

    Raises CacheError where there are no results at all or something is damaged, LookupError where no metric has the name, and
    ValueError for a keyword that is not a column.
    """
    _need_polars()
    import polars as pl

    folder = _cache.find(cache)
    metrics = _cache.artifacts(folder, "metric")
    if not metrics:
        raise CacheError(f"{folder} has no results; run an experiment with a metric first")
    if name is not None:
        chosen = [metric for metric in metrics if metric.node == name]
        metrics = chosen or [metric for metric in metrics if _begins(metric.fingerprint, name)]
        if not metrics:
            raise LookupError(f"no metric in {folder} is named `{name}` or has a fingerprint that begins with it")
    frame = _results(metrics)
    _check_keywords(axes, frame.columns)
    for column, value in axes.items():
        frame = frame.filter(_condition(column, value))
    return frame


def features(
    name: str | None = None, *, split: str | None = None, cache: Cache | None = None, **axes: Value | Collection[Value]
) -> pl.DataFrame:
    """Features, one row an image: `id`, `split`, `label`, `view`, `draw`, `feature`, and `features_fingerprint`.

    `name` is the name of an extraction's node or the first digits (4 or more) of a fingerprint. Keywords select by what the features
    were made with (`block`, `timestep`, `pool`, `precision`, `noise_seed`, …) and by the axes of the results that were computed from
    them (`model`, `dataset`, …); a list keeps any of its values. `split` keeps the images of one split, which copies them. Several
    sets of features come one below the other. The rows of a set are in its own order, in which reading is random.

    `feature` is an array of fixed width, in f32 or f16: the map of the block, pooled and flattened channel by channel. `to_numpy` and
    `to_torch` make a matrix of it, without a copy where one file holds all rows.

    Raises LookupError where nothing matches, ValueError where sets of different widths do or a keyword is unknown, and CacheError for
    damage.
    """
    _need_polars()
    import polars as pl

    folder = _cache.find(cache)
    sets = _select(folder, "features", "extraction", name, axes)
    parts = [
        (artifact.fingerprint, pl.scan_ipc(artifact.folder / file))
        for artifact in sets
        for file in sorted(artifact.files)
        if file.endswith(".arrow")
    ]
    # Asked for before anything is read: many sets may be more than fits into memory.
    types = sorted({str(part.collect_schema()["feature"]) for _, part in parts})
    if len(types) > 1:
        labels = "\n  ".join(artifact.label for artifact in sets[:10])
        raise ValueError(
            f"{len(sets)} sets of features match, of {len(types)} types such as {types[0]} and {types[-1]}; narrow them by keywords or "
            f"a fingerprint:\n  {labels}"
        )
    # Bare scans: what is made lazily of one would come in pieces, and a matrix of it would be a copy.
    frames = []
    for fingerprint, part in parts:
        frame = part.collect()
        if split is not None:
            frame = frame.filter(pl.col("split") == split)
        frames.append(frame.with_columns(features_fingerprint=pl.lit(fingerprint)))
    return pl.concat(frames, rechunk=False)


def predictions(
    name: str | None = None, *, cache: Cache | None = None, **axes: Value | Collection[Value]
) -> pl.DataFrame:
    """What heads predicted, one row an image and head: `id`, `label`, `predicted`, `rank`, and `head_fingerprint`.

    `rank` is how many classes stand before the true one: 0 is right, below k right in top-k. `name` is the name of a head's node or the
    first digits (4 or more) of a fingerprint; keywords are the axes of the results that the heads have: `head`, `model`, `block`,
    `timestep`, `seed`, …

    Raises LookupError where nothing matches, ValueError for an unknown keyword, and CacheError for damage.
    """
    _need_polars()
    import polars as pl

    folder = _cache.find(cache)
    heads = _select(folder, "head", "head", name, axes)
    tables = [
        pl.scan_parquet(head.folder / "predictions.parquet").with_columns(head_fingerprint=pl.lit(head.fingerprint))
        for head in heads
        if "predictions.parquet" in head.files
    ]
    if not tables:
        raise LookupError(f"the heads in {folder} that match keep no predictions")
    return pl.concat(pl.collect_all(tables), rechunk=False)


def _need_polars() -> None:
    """Says what to install, where a bare `import polars` would only say that it failed."""
    try:
        import polars  # noqa: F401
    except ImportError as error:
        raise ImportError('reading the cache needs Polars: pip install "repro[frames]"') from error


def _results(metrics: Iterable[Artifact]) -> pl.DataFrame:
    """The union of tables that have different axes."""
    import polars as pl

    tables = [pl.scan_parquet(metric.folder / "results.parquet") for metric in metrics]
    frame = pl.concat(tables, how="diagonal_relaxed").collect()
    types = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64}
    absent = {axis: types[kind] for axis, kind in AXES.items() if axis not in frame.columns}
    return frame.with_columns(pl.lit(None, dtype=kind).alias(axis) for axis, kind in absent.items())


def _select(
    folder: Path,
    kind: str,
    node: str,
    name: str | None,
    axes: Mapping[str, Value | Collection[Value]],
) -> list[Artifact]:
    """The artifacts with this name and these axes. `node` is the column of results that holds the name of their node."""
    source = "features_fingerprint" if kind == "features" else "head_fingerprint"
    metrics = _cache.artifacts(folder, "metric")
    rows: dict[str, list[dict[str, object]]] = {}
    columns: set[str] = {node}
    if metrics:
        frame = _results(metrics)
        columns.update(frame.columns)
        if source in frame.columns:
            wanted = [column for column in (node, source, *axes) if column in frame.columns]
            for row in frame.select(list(dict.fromkeys(wanted))).drop_nulls(source).unique().to_dicts():
                rows.setdefault(row[source], []).append(row)
    artifacts = _cache.artifacts(folder, kind)
    # What results know as a name, a recipe knows as a digest or a table of settings.
    own = [
        {key: value for key, value in artifact.fields.items() if key not in ("dataset", "model") and _is_plain(value)}
        for artifact in artifacts
    ]
    columns.update(key for fields in own for key in fields)
    _check_keywords(axes, columns)

    def descriptions(artifact: Artifact, fields: dict[str, object]) -> list[dict[str, object]]:
        described = {**fields, node: artifact.node}
        return [
            described | {key: value for key, value in row.items() if value is not None}
            for row in rows.get(artifact.fingerprint, [{}])
        ]

    described = [(artifact, descriptions(artifact, fields)) for artifact, fields in zip(artifacts, own)]
    if name is not None:
        named = [(one, all_of) for one, all_of in described if name == one.node or any(row[node] == name for row in all_of)]
        described = named or [(one, all_of) for one, all_of in described if _begins(one.fingerprint, name)]
        if not described:
            raise LookupError(f"no {kind} in {folder} are named `{name}` or have a fingerprint that begins with it")
    matching = [
        artifact
        for artifact, all_of in described
        if any(all(_matches(row.get(key), value) for key, value in axes.items()) for row in all_of)
    ]
    if not matching:
        wanted_axes = ", ".join(f"{key}={value!r}" for key, value in axes.items())
        raise LookupError(f"no {kind} in {folder} match {wanted_axes or 'at all'}; `repro list artifacts` shows what is there")
    return matching


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _begins(fingerprint: str, name: str) -> bool:
    return len(name) >= FEWEST_DIGITS and fingerprint.startswith(name.lower())


def _several(value: Value | Collection[Value]) -> list[Value] | None:
    """The values of a list; none where it is one value."""
    if value is None or isinstance(value, str) or not isinstance(value, Collection):
        return None
    return list(value)


def _matches(found: object, wanted: Value | Collection[Value]) -> bool:
    several = _several(wanted)
    return found in several if several is not None else found == wanted


def _condition(column: str, wanted: Value | Collection[Value]) -> pl.Expr:
    import polars as pl

    several = _several(wanted)
    values = [wanted] if several is None else several
    found = pl.col(column)
    conditions = [found.is_null() if value is None else found == value for value in values]
    return pl.any_horizontal(conditions) if conditions else pl.lit(False)


def _check_keywords(axes: Iterable[str], columns: Collection[str]) -> None:
    for axis in axes:
        if axis not in columns:
            near = difflib.get_close_matches(axis, sorted(columns), n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(columns))}"
            raise ValueError(f"unknown keyword `{axis}`; {hint}")
