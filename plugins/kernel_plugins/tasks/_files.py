"""The sources of a folder task's sounds: the files of a folder, or of a manifest."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from kernel import InputError, did_you_mean, read_audio

if TYPE_CHECKING:
    from torch import Tensor


_SHOWN = 10


class Source(Protocol):
    """Numbered sounds in a fixed order."""

    @property
    def place(self) -> Path:
        """Return the folder or the manifest of the sounds."""

    @property
    def names(self) -> Sequence[str]:
        """Return the name of each sound below `place`."""

    @property
    def labels(self) -> Sequence[str] | None:
        """Return the label of each sound, or None if the source has no labels."""

    @property
    def facts(self) -> Facts | None:
        """Return the facts of an earlier check of the sounds, or None without one."""

    def load(self, index: int, channels: int) -> tuple[Tensor, int]:
        """Return audio [channels, L] at its own rate, and the rate. Raises InputError."""

    def lengths(self, rate: int) -> Sequence[int] | None:
        """Return the samples of each sound at a rate, or None if its file must be read for them."""


@attrs.frozen
class Files:
    """Sounds in files below a folder."""

    place: Path
    paths: Sequence[Path]
    labels: Sequence[str] | None = None
    facts: None = None
    names: list[str] = attrs.field(init=False)

    @names.default
    def _below(self) -> list[str]:
        """Return the path of each file relative to the folder, or its whole path outside of it."""
        folder = self.place
        return [
            (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
            for path in self.paths
        ]

    def load(self, index: int, channels: int) -> tuple[Tensor, int]:
        """Return the audio of a file and its rate. Raises InputError with the file's name."""
        return read_audio(self.paths[index], channels=channels)

    def lengths(self, rate: int) -> None:
        """Return None: a data set reads the files."""


@attrs.define
class Facts:
    """What was found of sounds as they were read; `rates` counts the sounds of each rate."""

    place: Path
    seconds: float = 0.0
    rates: Counter[int] = attrs.Factory(Counter)
    refused: list[str] = attrs.Factory(list)

    def add(self, seconds: float, rate: int) -> None:
        """Note a good sound."""
        self.seconds += seconds
        self.rates[rate] += 1

    def sentences(self, count: int) -> tuple[str, ...]:
        """Return the statistics of `count` sounds as a sentence."""
        hours = f"{self.seconds / 3600:.3g} hours, " if self.seconds else ""
        one = next(iter(self.rates)) if len(self.rates) == 1 else None
        rates = f"{one} Hz" if one else tally({f"{rate} Hz": n for rate, n in self.rates.items()})
        noun = "sound" if count == 1 else "sounds"
        said = f"{count} {noun} in {self.place}: {hours}{rates}".rstrip(" :,")
        bad = (f"refused: {each}" for each in shortened(self.refused))
        return (said, *bad)


def tally(counts: Mapping[str, int]) -> str:
    """Return `a 3, b 1 and 4 more` for counts, in their order."""
    shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:20])
    return shown + (f" and {len(counts) - 20} more" if len(counts) > 20 else "")


def listed(problems: Sequence[str], what: str, total: int) -> str:
    """Return one message for many problems: all, or the first ten and their number."""
    first = f"{len(problems)} of {total} {what} cannot be used:"
    return "\n  ".join([first, *shortened(problems)])


def shortened(problems: Sequence[str]) -> list[str]:
    """Return the first ten of sentences, and a count of the others."""
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return [*problems[:_SHOWN], *more]


def hashed(name: str) -> int:
    """Return a number of 64 bits that depends on a name alone."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def read_manifest(manifest: Path, folder: Path, path: str, label: str | None) -> Files:
    """Return the files in the rows of a CSV or JSONL file, sorted by their paths.

    path, label: the columns of paths (relative to `folder`, or absolute) and of labels. Raises
    InputError with the number of the line.
    """
    rows, columns = (_json_lines if manifest.suffix.lower() == ".jsonl" else _table)(manifest)
    wanted = {"manifest_path": path} | ({} if label is None else {"manifest_label": label})
    for option, column in wanted.items():
        if column not in columns:
            raise InputError(
                f"{manifest} has no column {column!r}, only {', '.join(columns) or 'none'};"
                f" set -o task.{option}{did_you_mean(column, columns)}"
            )
    found: dict[Path, str] = {}
    for number, row in rows:
        values = [row.get(column) for column in wanted.values()]
        if None in values or "" in values:
            missing = "a path" if label is None else "a path or a label"
            raise InputError(f"line {number} of {manifest} lacks {missing}; complete it")
        name, *told = map(str, values)
        if folder / name in found:
            raise InputError(
                f"line {number} of {manifest} names {name} again; remove one of the two"
            )
        found[folder / name] = "".join(told)
    if not found:
        raise InputError(
            f"{manifest} names no files; add a line for each or leave -o task.manifest out"
        )
    paths = sorted(found)
    return Files(folder, paths, None if label is None else [found[each] for each in paths])


Rows = tuple[list[tuple[int, dict[str, Any]]], list[str]]
"""The rows of a manifest beside the numbers of their lines, and its columns."""


def _table(manifest: Path) -> Rows:
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows: list[tuple[int, dict[str, Any]]] = [(reader.line_num, row) for row in reader]
            return rows, list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(manifest, error) from error


def _json_lines(manifest: Path) -> Rows:
    rows: list[tuple[int, dict[str, Any]]] = []
    number = 0
    try:
        with manifest.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InputError(
                            f"line {number} of {manifest} is not a JSON object; write"
                            ' {"path": "a.wav"}'
                        )
                    rows.append((number, row))
    except json.JSONDecodeError as error:
        raise InputError(
            f"line {number} of {manifest} is not JSON ({error.msg}); write an object a line"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(manifest, error) from error
    return rows, sorted({column for _, row in rows for column in row})


def _unreadable(manifest: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"cannot read the manifest {manifest}: {reason}; check -o task.manifest")
