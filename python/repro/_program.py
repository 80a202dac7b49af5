"""The command `repro`: finds libtorch and ONNX Runtime in the PyTorch of this Python environment, and becomes the program.

Exit code 69 where PyTorch is missing or of another version, or the program cannot be started; every other one is the program's own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

#: The bindings are made for this version; another one does not load, or misbehaves.
TORCH = "2.11"
NEEDED = f'pip install "torch=={TORCH}.*"'
#: As that of the launcher in a checkout: the set-up is not complete.
INCOMPLETE = 69


class Incomplete(Exception):
    """Something outside this package is missing; the message says what to install."""


def libtorch() -> Path:
    """The folder of libtorch's libraries. PyTorch is found and not imported, which would take seconds.

    Raises Incomplete.
    """
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        raise Incomplete(f"PyTorch {TORCH} is missing in the environment of {sys.executable}: {NEEDED}")
    folder = Path(found.origin).parent
    try:
        text = (folder / "version.py").read_text(encoding="utf-8")
    except OSError:
        text = ""
    version = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    if version is None or not re.match(re.escape(TORCH) + r"\.", version[1]):
        is_there = f"PyTorch {version[1]}" if version else "a PyTorch of unknown version"
        raise Incomplete(f"repro needs PyTorch {TORCH}, but {folder} is {is_there}: {NEEDED}")
    if not (folder / "lib" / "libtorch_cpu.so").is_file():
        raise Incomplete(f"{folder / 'lib'} has no libtorch_cpu.so: {NEEDED} --force-reinstall")
    return folder / "lib"


def onnxruntime() -> Path | None:
    """The library of ONNX Runtime, which runs networks of ONNX files; None where this environment has none."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return None
    libraries = sorted((Path(found.origin).parent / "capi").glob("libonnxruntime.so*"))
    return libraries[0] if libraries else None


def main() -> int:
    """Becomes the program; returns an exit code where it cannot."""
    program = Path(__file__).resolve().parent / "bin" / "repro"
    environment = dict(os.environ)
    try:
        # Before all others: a libtorch of another version may be on the path.
        paths = [str(libtorch()), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(path for path in paths if path)
        if not environment.get("ORT_DYLIB_PATH") and (library := onnxruntime()):
            environment["ORT_DYLIB_PATH"] = str(library)
        # Threads that wait for each other give the core to others after microseconds; libgomp reads this before the program begins.
        if not environment.get("OMP_WAIT_POLICY"):
            environment.setdefault("GOMP_SPINCOUNT", "1000")
        os.execve(program, ["repro", *sys.argv[1:]], environment)
    except Incomplete as problem:
        print(f"repro: error: {problem}", file=sys.stderr)
    except OSError as error:
        print(f"repro: error: cannot start {program}: {error}; install repro again", file=sys.stderr)
    return INCOMPLETE
