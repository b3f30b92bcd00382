"""Sounds in tar files with an index: millions of sounds in little memory, in any order.

The tar files are those of webdataset. `shards.json` has their sizes and the facts of their making;
`shards.index` has a row of numbers for each sound, `shards.names` its name. `shards.lengths` has
its samples and its rate; the file is missing if no sound was read.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import attrs

from kernel import InputError, OutputError, read_audio
from kernel_plugins.tasks._files import Facts, listed

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

    from kernel_plugins.tasks._files import Files

FACTS, INDEX, NAMES, LENGTHS = "shards.json", "shards.index", "shards.names", "shards.lengths"
_ROW = [("shard", "<u4"), ("size", "<u4"), ("start", "<u8"), ("name", "<u8")]
_LENGTH = [("samples", "<u8"), ("rate", "<u4")]
_BLOCK = 512  # bytes of a tar file, which its members are padded to


class Shards:
    """A source of the sounds in a folder of shards. Raises InputError for damaged shards."""

    labels = None

    def __init__(self, folder: Path) -> None:
        import numpy

        self.place = folder
        remedy = f"write it anew with kernel shards --index {folder}"
        try:
            facts = json.loads((folder / FACTS).read_text("utf-8"))
            self._shards = [(str(each["name"]), int(each["bytes"])) for each in facts["shards"]]
            self._index = numpy.memmap(folder / INDEX, _ROW, "r")
            self.names = Names(self._index, numpy.memmap(folder / NAMES, "u1", "r"))
            known = (folder / LENGTHS).exists()
            self._lengths = numpy.memmap(folder / LENGTHS, _LENGTH, "r") if known else None
            rates = Counter({int(rate): int(n) for rate, n in facts["rates"].items()})
            self.facts = Facts(folder, float(facts["seconds"]), rates, list(facts["refused"]))
            count = int(facts["items"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the index of {folder} is damaged ({error}); {remedy}") from error
        for rows in (self._index, self._lengths):
            if rows is not None and len(rows) != count:
                raise InputError(
                    f"the index of {folder} is damaged ({len(rows)} of {count} rows); {remedy}"
                )
        for name, size in self._shards:
            there = (folder / name).stat().st_size if (folder / name).is_file() else None
            if there != size:
                raise self._cut(name, "missing" if there is None else f"{there} bytes long")

    def lengths(self, rate: int) -> Sequence[int] | None:
        """Return the samples of each sound at a rate, or None if the index lacks them."""
        if self._lengths is None:
            return None
        samples, own = (self._lengths[name].astype("i8") for name in ("samples", "rate"))
        found: list[int] = (-(-samples * rate // own)).tolist()
        return found

    def load(self, index: int, channels: int) -> tuple[Tensor, int]:
        """Return the audio of a sound and its rate. Raises InputError with the sound's name."""
        row = self._index[index]
        name, _ = self._shards[row["shard"]]
        # Nothing stays open: a place in an open file would be shared by the worker processes.
        try:
            file = os.open(self.place / name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                os.lseek(file, int(row["start"]), os.SEEK_SET)
                data = os.read(file, int(row["size"]))
            finally:
                os.close(file)
        except OSError as error:
            raise self._cut(name, f"unreadable ({error.strerror})") from error
        if len(data) < row["size"]:
            raise self._cut(name, "cut off")
        return read_audio(self.place / name / self.names[index], channels=channels, data=data)

    def _cut(self, name: str, state: str) -> InputError:
        size = dict(self._shards)[name]
        return InputError(
            f"the shard {self.place / name} is {state}, and it had {size} bytes when it was made;"
            " copy it again"
        )


@attrs.frozen(eq=False)
class Names(Sequence[str]):
    """The names of the sounds, read as they are asked for."""

    _index: numpy.ndarray[Any, Any]
    _bytes: numpy.ndarray[Any, Any]

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return the name of a sound."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        last = index + 1 == len(self._index)
        stop = len(self._bytes) if last else int(self._index["name"][index + 1])
        return bytes(self._bytes[int(self._index["name"][index]) : stop]).decode()

    def __iter__(self) -> Iterator[str]:
        """Yield all names, a thousandth of them in memory at a time."""
        size = max(1000, len(self) // 1000)
        for first in range(0, len(self), size):
            starts = self._index["name"][first : first + size + 1].tolist()
            if first + size >= len(self):
                starts.append(len(self._bytes))
            text = bytes(self._bytes[starts[0] : starts[-1]])
            for start, stop in pairwise(starts):
                yield text[start - starts[0] : stop - starts[0]].decode()


@attrs.define
class Writer:
    """Gathers the index of the shards in a folder, and writes it."""

    facts: Facts
    rows: list[tuple[int, int, int, int]] = attrs.Factory(list)
    names: bytearray = attrs.Factory(bytearray)
    lengths: list[tuple[int, int]] = attrs.Factory(list)
    shards: list[str] = attrs.Factory(list)

    def add(self, name: str, start: int, size: int) -> None:
        """Note a sound of the last shard."""
        self.rows.append((len(self.shards) - 1, size, start, len(self.names)))
        self.names += name.encode()

    def write(self) -> str:
        """Write the index, the facts last; return a sentence on it."""
        import numpy

        folder, found = self.facts.place, self.facts
        sizes = [(folder / name).stat().st_size for name in self.shards]
        facts = {
            "items": len(self.rows),
            "shards": [
                {"name": name, "bytes": size} for name, size in zip(self.shards, sizes, strict=True)
            ],
            "seconds": found.seconds,
            "rates": found.rates,
            "refused": found.refused,
        }
        (folder / INDEX).write_bytes(numpy.array(self.rows, _ROW).tobytes())
        (folder / NAMES).write_bytes(self.names)
        (folder / LENGTHS).unlink(missing_ok=True)
        if self.lengths:
            (folder / LENGTHS).write_bytes(numpy.array(self.lengths, _LENGTH).tobytes())
        (folder / FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
        return f"sounds: {len(self.rows)}; shards: {len(sizes)}, together {sum(sizes) / 1e6:.4g} MB"


def write_shards(source: Files, out: Path, size: int, skip: bool) -> tuple[str, ...]:
    """Write the files of a source into shards of about `size` bytes in a new folder.

    Every sound is read; skip: leave bad ones out. Returns sentences on the written and the refused
    sounds. Raises InputError with the name of a bad file, OutputError when `out` cannot be written.
    """
    partial = out.with_name(f".{out.name}.partial")
    writer = Writer(Facts(partial))
    try:
        if out.exists():
            raise OutputError(f"{out} exists already; choose another --out or remove it first")
        partial.mkdir(parents=True)
        files = iter(zip(source.names, source.paths, strict=True))
        following = next(files, None)
        while following is not None:
            writer.shards.append(f"{len(writer.shards):06d}.tar")
            with tarfile.open(partial / writer.shards[-1], "w") as tar:
                while following is not None and tar.offset < size:
                    _put(writer, tar, *following, skip=skip)
                    following = next(files, None)
        if not writer.rows:
            bad = writer.facts.refused
            raise InputError(listed(bad, f"sounds in {source.place}", len(bad)))
        said = writer.write()
        partial.rename(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}; choose another --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    writer.facts.place = out
    return (said, *writer.facts.sentences(len(writer.rows)))


def _put(writer: Writer, tar: tarfile.TarFile, name: str, path: Path, skip: bool) -> None:
    try:
        audio, rate = read_audio(path)
    except InputError as error:
        if not skip:
            raise
        writer.facts.refused.append(str(error))
        return
    data = path.read_bytes()
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
    writer.add(name.lstrip("/"), tar.offset - -(-len(data) // _BLOCK) * _BLOCK, len(data))
    writer.lengths.append((audio.shape[-1], rate))
    writer.facts.add(audio.shape[-1] / rate, rate)


def index_shards(folder: Path, extensions: Sequence[str]) -> str:
    """Write the index of tar files that lie in a folder; return a sentence on it.

    Their sounds are not read. Raises InputError for a damaged tar file, and OutputError.
    """
    writer = Writer(Facts(folder))
    for path in sorted(folder.glob("*.tar")):
        writer.shards.append(path.name)
        try:
            with tarfile.open(path, "r:") as tar:
                every: Any = tar
                while (member := tar.next()) is not None:
                    # It would keep them all.
                    every.members.clear()
                    if member.isfile() and Path(member.name).suffix.lower() in extensions:
                        writer.add(member.name, member.offset_data, member.size)
        except (tarfile.TarError, OSError) as error:
            raise InputError(
                f"{path} cannot be read as a tar file ({error}); copy it again"
            ) from error
    if not writer.rows:
        raise InputError(f"no audio in tar files in {folder}; name a folder of webdataset shards")
    try:
        return writer.write()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; copy it elsewhere") from error
