"""One pass over the metadata of everything installed; nothing is imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from configparser import ConfigParser, DuplicateOptionError, DuplicateSectionError, Error
from pathlib import Path

import attrs

__all__ = ["Installed", "canonical", "installed"]

_GROUP = re.compile(r"kernel\.v([1-9][0-9]*)")
_REMOVED = "~"
"""How pip begins the names of folders that it was about to remove when it was interrupted."""


@attrs.frozen
class Installed:
    """A distribution that registers plugins: entries are (API major, entry name, entry value).

    `unreadable` says why there are no entries, or fewer than there should be.
    """

    distribution: str
    version: str
    place: str
    entries: tuple[tuple[int, str, str], ...] = ()
    unreadable: str = ""


def canonical(distribution: str) -> str:
    """Return the name of a distribution as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed(path: Sequence[str] | None = None) -> Iterator[Installed]:
    """Yield the distributions on `path` (default: `sys.path`) that register plugins, in its order.

    A distribution whose metadata is there twice is yielded twice. Metadata that cannot be read and
    does not mention us is nobody's business: it is passed over.
    """
    folders = dict.fromkeys(sys.path if path is None else path)
    for folder in folders:
        if not isinstance(folder, str):
            continue
        try:
            found = list(_quick(folder))
        except Exception:  # entrypoints gives up on all of them where one file is malformed
            found = list(_tolerant(folder))
        yield from sorted(found, key=_newest_first)


def _quick(folder: str) -> Iterator[Installed]:
    import entrypoints

    files = entrypoints.iter_files_distros([folder], repeated_distro="all")  # type: ignore[no-untyped-call]
    for parser, distribution in files:
        name, version = distribution.name, distribution.version
        if not name.startswith(_REMOVED) and (entries := _entries(parser)):
            yield Installed(canonical(name), version or _version(name, folder), folder, entries)


def _tolerant(folder: str) -> Iterator[Installed]:
    from importlib.metadata import distributions

    for distribution in distributions(path=[folder]):
        try:
            text = distribution.read_text("entry_points.txt") or ""
            place = Path(str(getattr(distribution, "_path", folder)))
            if not _GROUP.search(text) or place.name.startswith(_REMOVED):
                continue
            name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        except Exception:
            continue
        name, version = canonical(name or "unnamed"), version or "unknown"
        try:
            parser, doubt = _parse(text.removeprefix("\ufeff"))
        except Error as error:
            reason = " ".join(str(error).split())
            yield Installed(name, version, folder, unreadable=reason)
            continue
        if entries := _entries(parser):
            yield Installed(name, version, folder, entries, doubt)


def _parse(text: str) -> tuple[ConfigParser, str]:
    """Return the sections of a file, and what is wrong with ours although they can be read."""
    doubt = ""
    for strict in (True, False):
        parser = ConfigParser(delimiters=("=",), strict=strict, interpolation=None)
        parser.optionxform = str  # type: ignore[method-assign,assignment]
        try:
            parser.read_string(text)
            break
        except (DuplicateOptionError, DuplicateSectionError) as error:
            if isinstance(error, DuplicateOptionError) and _GROUP.fullmatch(error.section):
                doubt = f"{error.option!r} is there twice, and the last one counts"
    return parser, doubt


def _entries(parser: ConfigParser) -> tuple[tuple[int, str, str], ...]:
    return tuple(
        (int(match[1]), name, value)
        for section in parser.sections()
        if (match := _GROUP.fullmatch(section))
        for name, value in sorted(parser.items(section, raw=True))
    )


def _version(name: str, folder: str) -> str:
    from importlib.metadata import distributions

    for distribution in distributions(name=name, path=[folder]):
        return distribution.metadata["Version"] or "unknown"
    return "unknown"


def _newest_first(found: Installed) -> tuple[str, list[int]]:
    return found.distribution, [-int(number) for number in re.findall(r"\d+", found.version)]
