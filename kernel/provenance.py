"""Where a component's code came from, so that a run can be repeated or told apart."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import kernel
from kernel._scan import distribution
from kernel.registry import locate

if TYPE_CHECKING:
    from kernel.registry import PluginInfo, Registry

_READ_WHOLE = 2 << 30

_distribution = cache(distribution)

BASIS = ("kernel-audio", "torch", "torchaudio")
"""Distributions that every environment of ours has."""


def describe(info: PluginInfo, registry: Registry) -> dict[str, Any]:
    """Return what `run.json` says of a plugin: its name, whose it is, and the hash of its content.

    The hash covers what the distribution installed, or the plugin's top-level package when the
    installation is editable. `preferred` is there when the user's preference chose this
    distribution.
    """
    record = {"kind": info.kind, "name": info.name, **origin(info)}
    package = info.target.partition(".")[0]
    found = _sources_hash(package) if record["editable"] else _installed_hash(info.distribution)
    preferred = registry.prefer.get(info.spelling) == info.distribution
    return record | {"hash": found} | ({"preferred": True} if preferred else {})


def describe_kernel() -> dict[str, Any]:
    """Return the version and the content hash of the kernel that is running."""
    return {"version": kernel.__version__, "hash": folder_hash(Path(kernel.__file__).parent)}


def origin(info: PluginInfo) -> dict[str, Any]:
    """Return the distribution of a plugin, its version and whether the installation is editable."""
    editable = _editable(_distribution(info.distribution))
    return {"distribution": info.distribution, "version": info.version, "editable": editable}


def folder_hash(folder: Path) -> str:
    """Return the sha256 of the names and contents of all files in a folder.

    Caches and hidden files are left out.
    """
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return _hash(
        (name.as_posix(), folder / name)
        for name in inside
        if name.suffix != ".pyc"
        and not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
    )


def content_hash(path: Path) -> str | None:
    """Return the sha256 of a file, the hash of a folder, or None when there is neither.

    Of a folder with more than 2 GiB, which would take long to read at every start, it is that of
    the names and sizes of its files, and says so.
    """
    if path.is_file():
        return f"sha256:{_digest(path)}"
    if not path.is_dir():
        return None
    sizes = {file: file.stat().st_size for file in path.rglob("*") if file.is_file()}
    if sum(sizes.values()) <= _READ_WHOLE:
        return folder_hash(path)
    listing = sorted(f"{file.relative_to(path).as_posix()}\0{size}" for file, size in sizes.items())
    return f"sizes-sha256:{hashlib.sha256(chr(10).join(listing).encode()).hexdigest()}"


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of kernel-audio and of the libraries that it requires."""
    from packaging.requirements import Requirement

    own = _distribution("kernel-audio")
    required = [Requirement(line).name for line in (own and own.requires) or []]
    found = {name: _distribution(name) for name in sorted({"kernel-audio", *required})}
    known = {name: each.version or "unknown" for name, each in found.items() if each}
    return {"python": platform.python_version(), **known}


def requirements(distributions: Iterable[str]) -> list[str]:
    """Return what pip would have to be told to install these, kernel-audio and torch once more.

    A line for each distribution, sorted by name: its version, or the place that it was installed
    from (PEP 610), which for an editable installation is a folder of this machine.
    """
    found = {name: _distribution(name) for name in {*distributions, *BASIS}}
    return [_requirement(name, each) for name, each in sorted(found.items()) if each is not None]


def _requirement(name: str, found: Distribution) -> str:
    given = _direct_url(found)
    url = given.get("url")
    if url is None:
        return f"{name}=={found.version}" if found.version else name
    if _editable(found):
        return f"-e {shlex.quote(url2pathname(urlsplit(url).path))}"
    if vcs := given.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    digest = given.get("archive_info", {}).get("hashes", {}).get("sha256")
    fragments = {"subdirectory": given.get("subdirectory"), "sha256": digest}
    fragment = "&".join(f"{key}={value}" for key, value in fragments.items() if value)
    return f"{name} @ {url}" + (f"#{fragment}" if fragment else "")


@cache
def _installed_hash(name: str) -> str:
    """Return the sha256 of what a distribution installed, as it is on the disk now.

    What an installer adds (scripts with the path of an interpreter, its own notes) is left out, so
    that the same wheel has the same hash everywhere. A file that is gone counts as empty.
    """
    found = _distribution(name)
    files = (found and found.files) or []
    return _hash(
        (file.as_posix(), Path(str(file.locate())))
        for file in files
        if file.hash is not None
        and ".." not in file.parts
        and (not file.parts[0].endswith(".dist-info") or file.name == "entry_points.txt")
    )


@cache
def _sources_hash(package: str) -> str | None:
    place = locate(package)
    return content_hash(place) if place else None


def _hash(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\0{_digest(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _digest(path: Path) -> str:
    if not path.is_file():
        return hashlib.sha256().hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _editable(found: Distribution | None) -> bool:
    """Return whether the code runs from its sources: PEP 610, or no RECORD as with egg-info."""
    if found is None or found.read_text("RECORD") is None:
        return True
    return bool(_direct_url(found).get("dir_info", {}).get("editable", False))


def _direct_url(found: Distribution) -> dict[str, Any]:
    """Return where an installer says that it got the distribution (PEP 610), {} for an index."""
    try:
        given = json.loads(found.read_text("direct_url.json") or "{}")
    except json.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}
