"""Where a component's code came from, so that a run can be repeated or told apart."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.locate import locate

if TYPE_CHECKING:
    from kernel.registry import PluginInfo, Registry

__all__ = ["describe", "folder_hash", "library_versions", "origin"]


def describe(info: PluginInfo, registry: Registry) -> dict[str, Any]:
    """Return what `run.json` says of a plugin: its name, whose it is, and the hash of its content.

    The hash covers what the distribution installed, or the Python sources of the plugin's
    top-level package when the installation is editable. `preferred` is there when the user's
    preference chose this distribution.
    """
    record = {"kind": info.kind, "name": info.name, **origin(info), "hash": _content_hash(info)}
    if registry.prefer.get(info.spelling) == info.distribution:
        record["preferred"] = True
    return record


def origin(info: PluginInfo) -> dict[str, Any]:
    """Return the distribution of a plugin, its version and whether the installation is editable."""
    distribution = _distribution(info.distribution)
    return {
        "distribution": info.distribution,
        "version": info.version,
        "editable": distribution is None or _editable(distribution),
    }


def folder_hash(folder: Path) -> str:
    """Return the sha256 of the names and contents of all files in a folder, caches left out."""
    return _hash(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of kernel-audio and of the libraries that it requires."""
    try:
        requirements = metadata.requires("kernel-audio") or []
    except metadata.PackageNotFoundError:
        requirements = []
    names = ["kernel-audio", *(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements)]
    versions = {"python": platform.python_version()}
    for name in sorted(set(names)):
        distribution = _distribution(name)
        if distribution is not None:
            versions[name] = distribution.version or "unknown"
    return versions


def _content_hash(info: PluginInfo) -> str | None:
    distribution = _distribution(info.distribution)
    if distribution is None or _editable(distribution):
        return _sources_hash(info.target.partition(".")[0])
    return _installed_hash(info.distribution)


@cache
def _installed_hash(name: str) -> str:
    """Return the sha256 of what a distribution installed, as it is on the disk now.

    What an installer adds (scripts with the path of an interpreter, its own notes) is left out, so
    that the same wheel has the same hash everywhere. A file that is gone counts as empty.
    """
    files = metadata.distribution(name).files or []
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
    if place is None:
        return None
    if place.is_file():
        return _hash([(place.name, place)])
    return _hash((path.relative_to(place).as_posix(), path) for path in place.rglob("*.py"))


def _hash(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        content = hashlib.sha256()
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
        digest.update(f"{name}\0{content.hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


@cache
def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _editable(distribution: metadata.Distribution) -> bool:
    """Return whether the code runs from its sources: PEP 610, or no RECORD as with egg-info."""
    if distribution.read_text("RECORD") is None:
        return True
    try:
        given = json.loads(distribution.read_text("direct_url.json") or "{}")
    except json.JSONDecodeError:
        return False
    return bool(given.get("dir_info", {}).get("editable", False))
