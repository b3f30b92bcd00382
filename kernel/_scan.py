"""One pass over the metadata of everything installed; nothing is imported.

Every listing waits for this pass: it reads the bytes of each `entry_points.txt` and parses those
that mention us, line by line as `importlib.metadata` does. The `entrypoints` library, which loads
what was selected, would parse all of them: with 300 distributions it takes 29 ms of CPU in place of
3, and it gives up where one file of a stranger is malformed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_GROUP = re.compile(r"kernel\.v([1-9][0-9]{0,8})")
_FIELD = re.compile(rb"^(Name|Version):[ \t]*([A-Za-z0-9][\w.+!-]{0,99})[ \t\r]*$", re.MULTILINE)
_REMOVED = "~"
"""How pip begins the names of folders that it was about to remove when it was interrupted."""


class Installed(NamedTuple):
    """A distribution that registers plugins: entries are (API major, entry name, entry value).

    `doubt` says why there are no entries, or fewer than there should be.
    """

    distribution: str
    version: str
    place: str
    entries: tuple[tuple[int, str, str], ...]
    doubt: str


def canonical(distribution: str) -> str:
    """Return the name of a distribution as PEP 503 normalises it.

    `packaging.utils.canonicalize_name` does the same; its import would cost every listing 12 ms.
    """
    return re.sub(r"[-_.]+", "-", distribution).lower()


def distribution(name: str) -> Distribution | None:
    """Return what is known of an installed distribution, None where it is not installed.

    A file of its metadata that cannot be read counts as missing.
    """
    from importlib import metadata
    from pathlib import Path

    class Readable(metadata.PathDistribution):
        def read_text(self, filename: str | os.PathLike[str]) -> str | None:
            found = content(f"{self._path}/{filename}")
            return found.decode("utf-8", "replace") if found else None

    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    path = getattr(found, "_path", None)
    return Readable(path) if isinstance(path, Path) else found


def content(path: str) -> bytes | None:
    """Return the bytes of a file, none for a missing one; None for what cannot be read as one."""
    try:
        with FileIO(path, opener=_at_once) as file:
            return file.readall() if S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except FileNotFoundError:
        return b""
    except OSError:
        return None


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO waits for a writer


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
    root, archive = folder or ".", None
    try:
        places = {entry.name for entry in os.scandir(root)}
    except NotADirectoryError:
        archive = _archived(root)
        places = {name.partition("/")[0] for name in archive}
    except OSError:
        return

    def read(name: str) -> bytes | None:
        return content(f"{root}/{name}") if archive is None else archive.get(name, b"")

    for place in places:
        if not place.endswith((".dist-info", ".egg-info", "EGG-INFO")) or place[:1] == _REMOVED:
            continue
        given = read(f"{place}/entry_points.txt")
        try:
            text = None if given is None or b"\0" in given else given.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = None
        if text is None or "kernel.v" in text.lower():
            metadata = read(f"{place}/METADATA") or read(f"{place}/PKG-INFO") or b""
            # Without the NULs, text in UTF-16 and UTF-32 reads as in ASCII.
            seen = (given or b"").replace(b"\0", b"").lower()
            if b"kernel.v" in seen or b"kernel-audio" in metadata.replace(b"\0", b""):
                yield from _read(place, metadata, text, folder)


def _archived(path: str) -> dict[str, bytes]:
    """Return the metadata in a ZIP archive by name, nothing of what is no such archive."""
    from zipfile import ZipFile

    wanted = ("/entry_points.txt", "/METADATA", "/PKG-INFO")
    try:
        with ZipFile(path) as archive:
            return {
                each: archive.read(each) for each in archive.namelist() if each.endswith(wanted)
            }
    except Exception:  # encrypted, damaged, or no archive
        return {}


def _read(place: str, metadata: bytes, text: str | None, folder: str) -> Iterator[Installed]:
    """Yield a distribution if its entry points are for us, with the faults in them."""
    # A folder's name says both, NAME-VERSION.dist-info, where the metadata does not.
    stem = place.rpartition(".")[0].strip("-") or place
    stem = "".join(letter if letter.isprintable() else "?" for letter in stem)
    name, _, version = stem.rpartition("-")
    # The first of each counts: what follows the fields may look like one.
    fields = {key: value.decode() for key, value in reversed(_FIELD.findall(metadata))}
    name = canonical(fields.get(b"Name") or name or version)
    version = fields.get(b"Version") or (version if version != stem else "unknown")
    entries: dict[tuple[int, str], str] = {}
    doubts = [] if text is not None else ["it is no UTF-8 text"]
    section, major = "", 0
    for line in map(str.strip, (text or "").splitlines()):
        if line.startswith("["):
            section = line[1:].removesuffix("]").strip()
            match = _GROUP.fullmatch(section) if line.endswith("]") else None
            major = int(match[1]) if match else 0
            if not match and section.lower().startswith("kernel.v"):
                doubts.append(f"{line!r:.80} is no group of plugins; write '[kernel.v1]'")
        elif (major or not section) and line and line[0] not in "#;":
            key, equals, value = map(str.strip, line.partition("="))
            if not section:
                doubts.append(f"{line!r:.80} stands in no group")
            elif not equals:
                doubts.append(f"{line!r:.80} is not of the form KIND.NAME = MODULE")
            else:
                if (major, key) in entries:
                    doubts.append(f"{key!r:.80} is there twice, and the last one counts")
                entries[major, key] = value
    if entries or doubts:
        every = tuple((major, key, value) for (major, key), value in sorted(entries.items()))
        yield Installed(name, version, folder, every, "; ".join(doubts[:3]))
