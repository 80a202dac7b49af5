"""Reads artifacts of a cache with stock Polars and PyArrow alone, and fails if something is not as documented.

    read_cache.py CACHE [ARTIFACT ...]

CACHE is the cache folder; each ARTIFACT is an artifact's folder, absolute or relative to CACHE, as in
`artifacts/features/ab/ab12…`. Without any, all complete artifacts of the cache are read.

Prints one JSON object and exits with 0, or prints what is wrong on stderr and exits with 1.

That nothing of `repro` is imported here is the point: whoever has the files can read them.
"""

import json
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ID_COLUMNS = ["id", "split", "view", "draw"]
FEATURE_COLUMNS = {"id", "split", "label", "view", "draw", "feature"}


class Unexpected(Exception):
    """Something in the cache is not as documented."""


def expect(condition, message):
    if not condition:
        raise Unexpected(message)


def check_metadata(file, schema, manifest):
    """Every Arrow and Parquet file names its artifact and holds the recipe that decided its bytes."""
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    for key in ("repro.fingerprint", "repro.recipe"):
        expect(key in metadata, f"{file}: the schema's metadata has no `{key}`, only {sorted(metadata)}")
    fingerprint = metadata["repro.fingerprint"]
    expect(
        fingerprint == file.parent.name,
        f"{file}: `repro.fingerprint` is {fingerprint}, but the folder is named otherwise",
    )
    recipe = metadata["repro.recipe"]
    try:
        json.loads(recipe)
    except json.JSONDecodeError as error:
        raise Unexpected(f"{file}: `repro.recipe` is not JSON: {error}") from error
    # The manifest holds the same text, since its very bytes were hashed.
    expect(recipe == manifest["recipe"], f"{file}: `repro.recipe` differs from the manifest's recipe")


def read_features(folder, manifest):
    """Polars scans all parts at once; vectors have one fixed width; no vector stands there twice."""
    parts = sorted(folder.glob("part-*.arrow"))
    expect(parts, f"{folder}: there are no parts")
    for part in parts:
        with pa.memory_map(str(part)) as source:
            check_metadata(part, pa.ipc.open_file(source).schema, manifest)

    features = pl.scan_ipc(folder / "part-*.arrow")
    schema = features.collect_schema()
    missing = FEATURE_COLUMNS - set(schema.names())
    expect(not missing, f"{folder}: columns are missing: {sorted(missing)}")
    expect(schema["id"] == pl.String, f"{folder}: `id` is {schema['id']}, not String")
    expect(schema["label"].is_integer(), f"{folder}: `label` is {schema['label']}, not an integer")
    vector = schema["feature"]
    expect(isinstance(vector, pl.Array), f"{folder}: `feature` is {vector}, not an array of fixed width")
    expect(vector.inner in (pl.Float16, pl.Float32), f"{folder}: `feature` holds {vector.inner}")

    totals = features.select(
        rows=pl.len(),
        unique=pl.struct(ID_COLUMNS).n_unique(),
        ids=pl.col("id").n_unique(),
        labels=pl.col("label").n_unique(),
        nulls=pl.sum_horizontal(pl.col(*FEATURE_COLUMNS).null_count()),
        first=pl.col("feature").arr.get(0).cast(pl.Float64).is_finite().all(),
    ).collect()
    found = totals.row(0, named=True)
    rows = found["rows"]
    expect(rows == manifest["rows"], f"{folder}: {rows} rows, but the manifest says {manifest['rows']}")
    expect(rows == found["unique"], f"{folder}: {rows} rows, but {found['unique']} different {ID_COLUMNS}")
    expect(found["nulls"] == 0, f"{folder}: {found['nulls']} values are null")
    expect(found["first"], f"{folder}: the first component of some vectors is not finite")

    # What a person wants most: one vector, by the id of its sample.
    wanted = features.select("id").last().collect().item()
    values = features.filter(pl.col("id") == wanted).select(pl.col("feature").arr.len()).collect()
    expect(values.height >= 1, f"{folder}: no row has the id {wanted}")
    expect(values.to_series().unique().to_list() == [vector.size], f"{folder}: vectors of {wanted} differ in width")
    return {
        "parts": len(parts),
        "rows": rows,
        "ids": found["ids"],
        "labels": found["labels"],
        "width": vector.size,
        "type": str(vector.inner),
    }


def read_tables(folder, manifest):
    """Both libraries read every table, and agree on how long it is."""
    tables = {}
    for file in sorted(folder.glob("*.parquet")):
        check_metadata(file, pq.read_metadata(file), manifest)
        rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        expect(rows == pq.read_metadata(file).num_rows, f"{file}: Polars and PyArrow count different rows")
        tables[file.name] = rows
        if file.name == "results.parquet":
            check_results(file)
    return tables


def check_results(file):
    """Every score is a number over a positive count of samples."""
    results = pl.scan_parquet(file).select("metric", "value", "count").collect()
    expect(results.height > 0, f"{file}: there are no results")
    wrong = results.filter(~pl.col("value").is_finite() | (pl.col("count") == 0))
    expect(wrong.is_empty(), f"{file}: scores that are no numbers or count no samples: {wrong.to_dicts()}")


def read_artifact(folder):
    file = folder / "manifest.json"
    expect(file.is_file(), f"{folder}: there is no manifest.json, so there is no artifact")
    manifest = json.loads(file.read_text())
    kind = folder.parent.parent.name
    expect(manifest["kind"] == kind, f"{file}: the kind is {manifest['kind']}, but the folder says {kind}")
    expect(folder.parent.name == folder.name[:2], f"{folder}: is not in the folder of its first two digits")
    for entry in manifest["files"]:
        size = (folder / entry["name"]).stat().st_size
        expect(size == entry["bytes"], f"{folder / entry['name']}: {size} bytes, but the manifest says {entry['bytes']}")

    summary = {"kind": kind, "fingerprint": folder.name, "tables": read_tables(folder, manifest)}
    if kind == "features":
        summary["features"] = read_features(folder, manifest)
    return summary


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 1
    cache, *named = map(Path, arguments)
    folders = [cache / name for name in named] or sorted(file.parent for file in cache.glob("artifacts/*/*/*/manifest.json"))
    try:
        expect(folders, f"{cache}: there are no artifacts")
        artifacts = [read_artifact(folder) for folder in folders]
    except (Unexpected, OSError, KeyError, ValueError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"artifacts": artifacts}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
