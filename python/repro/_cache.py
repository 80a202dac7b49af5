"""Finding the cache, and its artifacts by their manifests. Needs nothing but Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FORMAT = "repro-store 1"
MANIFEST_FORMAT = 1


class CacheError(Exception):
    """The cache, or an artifact in it, cannot be read. The message names the file."""


@dataclass(frozen=True)
class Artifact:
    """One complete artifact: a folder whose manifest is there, and whose files have the sizes that the manifest states."""

    folder: Path
    fingerprint: str
    #: For people; begins with the name of the node that first made it.
    label: str
    #: What decides the artifact's bytes; nested values included.
    fields: Mapping[str, object]
    #: Names of its files, without the manifest.
    files: tuple[str, ...]

    @property
    def node(self) -> str:
        """The name of the node that first made it; another experiment may have the same artifact under another name."""
        return self.label.split("[", 1)[0]


def find(cache: str | os.PathLike[str] | None) -> Path:
    """The cache folder: `cache`, else the variable REPRO_CACHE, else that of the project: the nearest folder from the working folder
    upwards with a `repro.toml` or a cache in `.repro`, as the program finds it.

    Raises CacheError where there is none, one of a format that is not read, or a `repro.toml` that cannot be read.
    """
    named = cache if cache is not None else os.environ.get("REPRO_CACHE") or None
    if named is not None:
        folder = Path(named)
    else:
        folder = _of_project(Path.cwd())
    try:
        # A folder of other things may have a long file of this name.
        with (folder / "FORMAT").open(encoding="utf-8") as file:
            written = file.read(100).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CacheError(f"{folder} is not a cache of repro: {error}") from error
    if written != FORMAT:
        raise CacheError(f"{folder / 'FORMAT'}: expected `{FORMAT}`, found `{written}`")
    return folder


def _of_project(start: Path) -> Path:
    """The cache of the project that `start` is in."""
    for folder in (start, *start.parents):
        settings, usual = folder / "repro.toml", folder / ".repro"
        if settings.is_file():
            cache = folder / (_path_in(settings) or usual)
            if (cache / "FORMAT").is_file():
                return cache
            raise CacheError(f"no cache in {cache}; run an experiment first, or give the folder as `cache=`")
        if (usual / "FORMAT").is_file():
            return usual
    raise CacheError(f"no cache in {start} or above it; run an experiment first, or give the folder as `cache=`")


def _path_in(settings: Path) -> Path | None:
    """The key `path` of `[cache]` in a `repro.toml`; `~/` stands for the user's folder."""
    try:
        text = settings.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CacheError(f"cannot read {settings}: {error}") from error
    try:
        import tomllib
    except ModuleNotFoundError as error:  # Python 3.10
        if "[cache]" not in text and "cache." not in text:
            return None
        raise CacheError(f"reading {settings} needs Python 3.11; give the folder as `cache=`") from error
    try:
        path = tomllib.loads(text).get("cache", {}).get("path")
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise CacheError(f"cannot read {settings}: {error}") from error
    if path is None:
        return None
    if not isinstance(path, str):
        raise CacheError(f"{settings}: `path` of `[cache]` has to be a string, found `{path}`")
    return Path(path).expanduser() if path.startswith("~/") else Path(path)


def artifacts(cache: Path, kind: str) -> list[Artifact]:
    """All complete artifacts of a kind (`features`, `head`, `metric`), by fingerprint. A folder without a manifest is unfinished and
    left out.

    Raises CacheError for a damaged manifest, and for files that are missing or have other sizes than it states. Bytes are not
    compared with their digests; `repro cache verify` does that.
    """
    manifests = sorted(cache.glob(f"artifacts/{kind}/??/*/manifest.json"))
    return [_read(manifest, kind) for manifest in manifests]


def _read(path: Path, kind: str) -> Artifact:
    folder = path.parent
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["format"] > MANIFEST_FORMAT:
            raise CacheError(
                f"{path}: expected format {MANIFEST_FORMAT}, found {manifest['format']}; install the release that made it"
            )
        recipe = json.loads(manifest["recipe"])
        artifact = Artifact(
            folder=folder,
            fingerprint=manifest["fingerprint"],
            label=manifest["label"],
            fields=dict(recipe["fields"]),
            files=tuple(entry["name"] for entry in manifest["files"]),
        )
        if (manifest["kind"], artifact.fingerprint) != (kind, folder.name):
            raise CacheError(_damaged(path, "it describes another artifact"))
        sizes = [(folder / entry["name"], entry["bytes"]) for entry in manifest["files"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(_damaged(path, f"{type(error).__name__}: {error}")) from error
    for file, size in sizes:
        try:
            found = file.stat().st_size
        except OSError as error:
            raise CacheError(_damaged(file, str(error))) from error
        if found != size:
            raise CacheError(_damaged(file, f"{found} bytes, but the manifest states {size}"))
    return artifact


def _damaged(file: Path, why: str) -> str:
    return f"{file} is damaged: {why}; `repro cache verify --set-aside` moves what is damaged out of the way"
