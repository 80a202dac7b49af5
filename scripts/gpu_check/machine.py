"""What this machine brings: its PyTorch, whose libraries the program is started with, and its chip."""

import gzip
import importlib.util
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path


class Missing(Exception):
    """Something without which nothing can be measured."""


def chip(device):
    """The name of the GPU, or of the processor."""
    if device.startswith("cuda"):
        found = nvidia_smi(device, ["name"])
        return found["name"] if found else "unknown GPU"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def nvidia_smi(device, fields):
    """What `nvidia-smi` says of the device, by field; None where it says nothing."""
    index = device.partition(":")[2] or "0"
    command = ["nvidia-smi", "-i", index, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in said.splitlines()[0].split(",")] if said.strip() else []
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else None


def torch_folder():
    """The folder of this machine's PyTorch."""
    # Where `import torch` would find it; importing it here would take seconds and memory of the device.
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise Missing(f"`import torch` finds no PyTorch with {Path(sys.executable).name}; it is what the program runs with")
    return Path(found.submodule_search_locations[0])


def environment(torch):
    """The variables with which the program finds the libtorch of a PyTorch in this folder."""
    # The program itself needs PyTorch's own folder only, and PyTorch's libraries know where NVIDIA's packages lie beside
    # them; those are named as well, for a PyTorch that was put together in another way.
    folders = [torch / "lib", *sorted(torch.parent.glob("nvidia/*/lib"))]
    before = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": ":".join([*map(str, folders), *([before] if before else [])])}


def binary(path, folder):
    """The program, ready to be started; unpacked into `folder` where it came compressed."""
    if not path.is_file():
        raise Missing(f"there is no program {path}; build it, or name it with --binary")
    unpackers = {".gz": _gzip, ".xz": _lzma, ".zst": _zstd}
    unpack = unpackers.get(path.suffix)
    if unpack is None:
        return path.resolve()
    target = folder / "repro"
    with open(target, "wb") as file:
        unpack(path, file)
    target.chmod(0o755)
    return target


def _gzip(path, file):
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, file, 1 << 20)


def _lzma(path, file):
    with lzma.open(path) as packed:
        shutil.copyfileobj(packed, file, 1 << 20)


def _zstd(path, file):
    """By the command, or by a module; Python has its own from 3.14 on."""
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-dc", "--", str(path)], stdout=file, check=True)
        return
    try:
        from compression import zstd  # Python 3.14

        with zstd.open(path) as packed:
            shutil.copyfileobj(packed, file, 1 << 20)
        return
    except ImportError:
        pass
    try:
        import zstandard

        with open(path, "rb") as packed:
            zstandard.ZstdDecompressor().copy_stream(packed, file)
    except ImportError as error:
        raise Missing(f"nothing here unpacks {path.name}; bring the program as .xz or .gz") from error
