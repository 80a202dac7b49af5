"""Reads a cache by the Python package `repro` of this checkout, and fails if something is not as documented.

    read_frames.py [--without-numpy]

The cache is found upwards from the working folder; `tests/suite/python_package.rs` makes it: two blocks, f32 and f16, 12 training
images and 6 of the test split, two seeds. Without NumPy what needs it is left out. Prints the names of the checks that passed.
"""

import json
import os
import shutil
import sys
import tempfile
import types
import warnings
from pathlib import Path

import polars as pl

import repro
from repro._cache import find


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_error(kind, words, function, *arguments, **keywords):
    try:
        answer = function(*arguments, **keywords)
    except kind as error:
        missing = [word for word in words if word not in str(error)]
        expect(not missing, f"no {missing} in {kind.__name__}: {error}")
    else:
        raise AssertionError(f"expected {kind.__name__}, found {answer}")


def results_are_filtered():
    everything = repro.results()
    expect(set(everything["block"]) == {1, 3}, everything)
    expect(everything["metric"].unique().to_list() == ["top1"], everything)
    expect(repro.results("accuracy").equals(everything), "by the name of the node")
    one = repro.results(metric="top1", block=3, seed=1, extraction_storage="f16")
    expect(one.height == 1 and one["block"].item() == 3 and one["count"].item() == 6, one)
    both = repro.results(block=[1, 3], seed=0)
    expect(both.height == everything.height // 2, both)
    expect(repro.results(chosen=None).height == everything.height, "nothing was chosen")
    expect(repro.results(block=2).is_empty(), "there is no block 2")
    expect(repro.results(block=[]).is_empty(), "none of no values")
    expect_error(ValueError, ["`blok`", "did you mean `block`?"], repro.results, blok=3)
    expect_error(LookupError, ["`nothing`"], repro.results, "nothing")


def features_are_selected():
    one = repro.features(model="unet", block=3, timestep=90, storage="f32")
    expect(one.height == 18 and one["id"].n_unique() == 18, one)
    expect(one.schema["feature"] == pl.Array(pl.Float32, 32), one.schema)
    fingerprint = one["features_fingerprint"].unique().item()
    for name in (fingerprint, fingerprint[:8], fingerprint[:8].upper()):
        expect(repro.features(name).equals(one), name)
    expect(repro.features("taps", block=3, storage="f32").equals(one), "by the name of the node")
    train = repro.features(fingerprint, split="train")
    expect(train.height == 12 and set(train["split"]) == {"train"}, train)
    two = repro.features("taps", storage="f32")
    expect(two.height == 36 and two["features_fingerprint"].n_unique() == 2, two)
    # Sets that no head has used are known by their recipes.
    unused = repro.features("unused")
    expect(unused.equals(repro.features(block=5)), unused)
    expect_error(ValueError, ["types", "taps[", "fingerprint"], repro.features, "taps")
    expect_error(LookupError, ["block=7"], repro.features, block=7)
    expect_error(LookupError, ["`abc`"], repro.features, "abc")
    expect_error(ValueError, ["`timestp`", "`timestep`"], repro.features, timestp=90)


def predictions_agree_with_results():
    for row in repro.results(metric="top1").to_dicts():
        found = repro.predictions(row["head_fingerprint"])
        expect(found.columns == ["id", "label", "predicted", "rank", "head_fingerprint"], found.columns)
        expect(found.filter(rank=0).height == row["correct"] and found.height == row["count"], row)
    all_of = repro.predictions("probe")
    expect(all_of["head_fingerprint"].n_unique() == repro.results().height, all_of)
    block = repro.predictions(head="probe", block=1, seed=[0, 1])
    expect(block.height == all_of.height // 2, block)
    expect_error(LookupError, ["block=2"], repro.predictions, block=2)


def matrices_share_memory():
    frame = repro.features(block=3, storage="f32")
    matrix = repro.to_numpy(frame, allow_copy=False)
    expect(matrix.shape == (18, 32) and matrix.dtype == "float32" and not matrix.flags.owndata, matrix.flags)
    expect(not matrix.flags.writeable, "the memory is that of the frame")
    expect((matrix[7] == frame["feature"][7].to_numpy()).all(), "row 7")
    half = repro.to_numpy(repro.features(block=3, storage="f16")["feature"])
    expect(half.shape == (18, 32) and half.dtype == "float16", half.dtype)
    expect(abs(half.astype("float32") - matrix).max() < 0.01 * abs(matrix).max(), "f16 is the same, rounded")
    pieces = pl.concat([frame, frame], rechunk=False)
    expect_error(ValueError, ["2 pieces"], repro.to_numpy, pieces, allow_copy=False)
    expect(repro.to_numpy(pieces).shape == (36, 32), "put together by a copy")
    expect_error(TypeError, ["`feature`", "block"], repro.to_numpy, repro.results())
    expect_error(TypeError, ["Int64"], repro.to_numpy, repro.results()["block"])
    holes = pl.Series("feature", [[1.0], None], dtype=pl.Array(pl.Float32, 1))
    expect_error(ValueError, ["1 null"], repro.to_numpy, holes)


def tensors_are_made_of_the_same_matrix():
    # PyTorch takes gigabytes; what matters here is what it is given. Its warning is as the real one begins.
    def from_numpy(array):
        if not array.flags.writeable:
            warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors.")
        return array

    sys.modules["torch"] = types.SimpleNamespace(from_numpy=from_numpy)
    frame = repro.features(block=3, storage="f32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = repro.to_torch(frame)
    address = repro.to_numpy(frame, allow_copy=False).__array_interface__["data"][0]
    expect(tensor.__array_interface__["data"][0] == address, "the memory is that of the frame")


def damage_is_named():
    cache = find(None)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(cache, copy)
        first = next(copy.glob("artifacts/features/*/*/manifest.json"))
        good = first.read_text()
        other = json.dumps(json.loads(good) | {"fingerprint": "0" * 64})
        newer = json.dumps(json.loads(good) | {"format": 99})
        for text, words in (
            ("{", ["is damaged"]),
            ("[]", ["is damaged"]),
            (other, ["another artifact"]),
            (newer, ["expected format 1, found 99"]),
        ):
            first.write_text(text)
            expect_error(repro.CacheError, [str(first), *words], repro.features, block=3, cache=copy)
        first.write_text(good)
        part = next(first.parent.glob("*.arrow"))
        with part.open("ab") as file:
            file.write(b"x")
        expect_error(repro.CacheError, [str(part), "manifest states"], repro.features, block=3, cache=copy)
        part.unlink()
        expect_error(repro.CacheError, [str(part)], repro.features, block=3, cache=copy)
        # Without a manifest there is no artifact, whatever else is in the folder.
        rows = repro.results(cache=copy).height
        result = next(copy.glob("artifacts/metric/*/*/manifest.json"))
        result.unlink()
        expect_error(repro.CacheError, ["no results"], repro.results, cache=copy)
        expect(repro.results().height == rows, "the cache itself is as it was")


def the_cache_is_found():
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            expect_error(repro.CacheError, [os.path.realpath(folder), "cache="], repro.results)
            os.environ["REPRO_CACHE"] = folder
            expect_error(repro.CacheError, [folder, "is not a cache"], repro.results)
            (Path(folder) / "FORMAT").write_text("repro-store 2\n")
            expect_error(repro.CacheError, ["`repro-store 1`", "`repro-store 2`"], repro.results)
        finally:
            os.environ.pop("REPRO_CACHE", None)
            os.chdir(here)


CHECKS = [results_are_filtered, features_are_selected, predictions_agree_with_results, damage_is_named, the_cache_is_found]
WITH_NUMPY = [matrices_share_memory, tensors_are_made_of_the_same_matrix]


def main():
    checks = CHECKS if "--without-numpy" in sys.argv else CHECKS + WITH_NUMPY
    for check in checks:
        check()
        print(check.__name__)


main()
