"""Generated images, and experiments on them whose events tell how long everything took."""

import random
import shutil
import struct
import zlib
from dataclasses import dataclass

from .check import Failed, OutOfTime

CLASSES = 10


def images(check, side, channels, train, test):
    """A folder of class folders with random PNG files; made once for each size. Returns its name, which experiments use."""
    name = f"images-{side}x{side}x{channels}-{train}-{test}"
    folder = check.folder / name
    if folder.exists():
        return name
    partial = check.folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    numbers = random.Random(name)
    for split, count in (("train", train), ("test", test)):
        for index in range(count):
            place = partial / split / f"class-{index % CLASSES}"
            if index < CLASSES:
                place.mkdir(parents=True)
            (place / f"{index:06}.png").write_bytes(png(side, channels, numbers))
            if index % 256 == 0:
                check.left()
    partial.rename(folder)
    return name


def png(side, channels, numbers):
    """A square picture of random pixels, gray or in color. Noise cannot be compressed, so nothing is tried."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # Every row begins with the number of its filter: none.
    rows = b"".join(b"\0" + numbers.randbytes(side * channels) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


@dataclass
class Ran:
    """An experiment that ran, to its end or not."""

    ended: object
    # False where the time was up before it ended: what it did until then still counts.
    is_whole: bool

    def of(self, kind):
        """The events of a kind, with their moments."""
        return [(at, event) for at, event in self.ended.events if event["event"] == kind]

    def seconds_between(self, kind):
        """The mean time from one event of a kind to the next, and how many there were; the first is where the clock starts."""
        moments = [at for at, _ in self.of(kind)]
        if len(moments) < 2:
            return None, len(moments)
        return (moments[-1] - moments[0]) / (len(moments) - 1), len(moments)

    def last(self, kind, key):
        """A field of the last event of a kind; None where there is no such event."""
        events = self.of(kind)
        return events[-1][1][key] if events else None


def run(check, name, text, cache, devices=None, words=()):
    """Runs an experiment that is given as text, in the temporary folder; `cache` is the name of a folder there."""
    file, log = check.folder / f"{name}.toml", check.folder / f"{name}.jsonl"
    log.unlink(missing_ok=True)
    file.write_text(f'[experiment]\nname = "{name}"\n{text}')
    where = ["--devices", devices] if devices else ["--device", check.device]
    command = ["--cache", check.folder / cache, "run", file, *where, "--json-log", log, *words]
    ended = check.repro(*command, log=log)
    if ended.code is not None:
        check.expect(ended)
    elif not ended.events:
        raise OutOfTime("the time of this part was up before the run had begun")
    failures = [event["error"] for _, event in ended.events if event["event"] == "node-failed"]
    if failures:
        raise Failed(failures[0])
    return Ran(ended, ended.code == 0)


def forget(check, cache):
    """Removes a cache: those of large networks have gigabytes."""
    shutil.rmtree(check.folder / cache, ignore_errors=True)


def dataset(root):
    return f'[dataset.images]\nkind = "image-folder"\nroot = "{root}"\n'


def preset(name, weights):
    return f'[model.network]\nkind = "guided-diffusion"\npreset = "{name}"\nweights = {weights}\n'


def table(header, **keys):
    """A table of TOML; values are TOML already."""
    return f"[{header}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def quoted(text):
    return f'"{text}"'
