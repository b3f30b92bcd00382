"""One pass over the metadata of everything installed; nothing is imported.

Every listing waits for this pass, so that it reads the bytes of each `entry_points.txt` and parses
those that mention us. The `entrypoints` library, which loads what was selected, would parse all of
them: with 300 distributions it takes 29 ms of CPU in place of 3, and it gives up where one file of
a stranger is malformed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_GROUP = re.compile(r"kernel\.v([1-9][0-9]*)")
_FIELD = re.compile(rb"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_REMOVED = "~"
"""How pip begins the names of folders that it was about to remove when it was interrupted."""


class Installed(NamedTuple):
    """A distribution that registers plugins: entries are (API major, entry name, entry value).

    `unreadable` says why there are no entries, or fewer than there should be.
    """

    distribution: str
    version: str
    place: str
    entries: tuple[tuple[int, str, str], ...] = ()
    unreadable: str = ""


def canonical(distribution: str) -> str:
    """Return the name of a distribution as PEP 503 normalises it.

    `packaging.utils.canonicalize_name` does the same; its import would cost every listing 12 ms.
    """
    return re.sub(r"[-_.]+", "-", distribution).lower()


def distribution(name: str) -> Distribution | None:
    """Return what is known of an installed distribution, None where it is not installed."""
    from importlib import metadata

    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def installed(path: Sequence[str] | None = None) -> Iterator[Installed]:
    """Yield the distributions on `path` (default: `sys.path`) that register plugins, in its order.

    A distribution whose metadata is there twice is yielded twice. Metadata that cannot be read and
    does not mention us is nobody's business: it is passed over.
    """
    for folder in dict.fromkeys(sys.path if path is None else path):
        if isinstance(folder, str):
            # Newest first.
            yield from sorted(
                _inside(folder),
                key=lambda found: (
                    found.distribution,
                    [-int(number) for number in re.findall(r"\d+", found.version)],
                ),
            )


def _inside(folder: str) -> Iterator[Installed]:
    try:
        places = [entry.name for entry in os.scandir(folder or ".")]
    except NotADirectoryError:
        yield from _archived(folder)
        return
    except OSError:
        return
    for place in places:
        if place.endswith((".dist-info", ".egg-info", "EGG-INFO")) and place[:1] != _REMOVED:
            inside = f"{folder or '.'}/{place}"
            entry_points = _bytes(f"{inside}/entry_points.txt")
            if b"kernel.v" in entry_points:
                metadata = _bytes(f"{inside}/METADATA") or _bytes(f"{inside}/PKG-INFO")
                # Without metadata, a folder's name says both: NAME-VERSION.dist-info.
                name, _, version = place.rpartition(".")[0].rpartition("-")
                fields = f"\nName: {name}\nVersion: {version}".encode()
                yield from _read(entry_points, metadata + fields, folder)


def _archived(folder: str) -> Iterator[Installed]:
    from importlib.metadata import distributions

    for distribution in distributions(path=[folder]):
        try:
            entry_points = (distribution.read_text("entry_points.txt") or "").encode()
            fields = [f"{name}: {distribution.metadata[name]}" for name in ("Name", "Version")]
        except Exception:
            continue
        yield from _read(entry_points, "\n".join(fields).encode(), folder)


def _read(entry_points: bytes, metadata: bytes, folder: str) -> Iterator[Installed]:
    """Yield a distribution if its entry points are for us; what is there twice in it is told."""
    # The first of each counts: what follows the fields may look like one.
    fields = dict(reversed(_FIELD.findall(metadata)))
    name = canonical(fields.get(b"Name", b"").decode("utf-8", "replace") or "unnamed")
    version = fields.get(b"Version", b"").decode("utf-8", "replace") or "unknown"
    text = entry_points.decode("utf-8-sig", "replace")
    if not _GROUP.search(text):
        return
    from configparser import ConfigParser, DuplicateOptionError, DuplicateSectionError, Error

    doubt = ""
    for strict in (True, False):
        parser = ConfigParser(delimiters=("=",), strict=strict, interpolation=None)
        parser.optionxform = str  # type: ignore[method-assign,assignment]
        try:
            parser.read_string(text)
            break
        except DuplicateSectionError:
            continue
        except DuplicateOptionError as error:
            if _GROUP.fullmatch(error.section):
                doubt = f"{error.option!r} is there twice, and the last one counts"
        except Error as error:
            yield Installed(name, version, folder, unreadable=" ".join(str(error).split()))
            return
    entries = tuple(
        (int(match[1]), name, value)
        for section in parser.sections()
        if (match := _GROUP.fullmatch(section))
        for name, value in sorted(parser.items(section, raw=True))
    )
    if entries:
        yield Installed(name, version, folder, entries, doubt)


def _bytes(path: str) -> bytes:
    """Return the content of a file, nothing for one that cannot be read."""
    try:
        with FileIO(path) as file:
            return file.readall()
    except OSError:
        return b""
