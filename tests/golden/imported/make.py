"""Writes the files of this folder. It needs numpy, pyarrow and polars; README.md names the versions."""

import io
import json
import pathlib
import struct

import numpy
import polars
import pyarrow
import pyarrow.parquet

FOLDER = pathlib.Path(__file__).parent
IDS = ["train/a.png", "train/ü b.png", "test/c.png", "test/dd.png"]
# Exact in 16 bits of either format.
ROWS = (numpy.arange(12, dtype=numpy.float32) / 4 - 1).reshape(4, 3)


def save(name, array, **keys):
    numpy.save(FOLDER / name, array, **keys)


def safetensors(name, tensors):
    header, data = {}, b""
    for key, (dtype, shape, content) in tensors.items():
        header[key] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (FOLDER / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


save("rows.npy", ROWS)
save("half.npy", ROWS.astype(numpy.float16))
save("fortran.npy", numpy.asfortranarray(ROWS.astype(numpy.float64)))
save("tokens.npy", numpy.arange(24, dtype=numpy.float32).reshape(4, 2, 3))
save("maps-fortran.npy", numpy.asfortranarray(numpy.arange(48, dtype=numpy.float32).reshape(4, 2, 2, 3)))
save("integers.npy", numpy.arange(12).reshape(4, 3))
wrong = ROWS.copy()
wrong[2, 1] = numpy.nan
save("nan.npy", wrong)
save("too-large.npy", numpy.full((2, 3), 1e300))

numpy.savez(FOLDER / "texts.npz", features=ROWS, ids=numpy.array(IDS))
numpy.savez(
    FOLDER / "bytes.npz",
    dino=ROWS.astype(numpy.float16),
    id=numpy.array([one.encode() for one in IDS]),
)
numpy.savez(FOLDER / "several.npz", one=ROWS, other=ROWS)
numpy.savez_compressed(FOLDER / "compressed.npz", features=ROWS)
numpy.savez(FOLDER / "objects.npz", features=ROWS, ids=numpy.array(IDS, dtype=object))

padded = numpy.array([one.encode() for one in IDS])
width = padded.dtype.itemsize
safetensors(
    "ids.safetensors",
    {
        "features": ("F32", [4, 3], ROWS.tobytes()),
        "ids": ("U8", [4, width], padded.tobytes()),
    },
)
upper = (ROWS.view(numpy.uint32) >> 16).astype(numpy.uint16)
safetensors("bf16.safetensors", {"x": ("BF16", [4, 3], upper.tobytes())})

fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(ROWS.reshape(-1)), 3)
table = pyarrow.table({"id": pyarrow.array(IDS), "features": fixed})
pyarrow.parquet.write_table(table, FOLDER / "fixed.parquet", compression="zstd", row_group_size=3)
with pyarrow.ipc.new_file(FOLDER / "file.arrow", table.schema) as writer:
    writer.write_table(table, max_chunksize=3)
with pyarrow.ipc.new_stream(FOLDER / "stream.arrow", table.schema) as writer:
    writer.write_table(table)
with pyarrow.ipc.new_file(
    FOLDER / "compressed.arrow", table.schema, options=pyarrow.ipc.IpcWriteOptions(compression="lz4")
) as writer:
    writer.write_table(table)

frame = polars.DataFrame({"embedding": ROWS.astype(numpy.float64).tolist(), "name": IDS})
frame.write_parquet(FOLDER / "lists.parquet")
frame.with_columns(polars.col("name").cast(polars.Categorical)).write_ipc(
    FOLDER / "categories.arrow", compression="uncompressed"
)
short = polars.DataFrame({"features": [[1.0, 2.0, 3.0], [1.0, 2.0]]})
short.write_parquet(FOLDER / "short.parquet")
