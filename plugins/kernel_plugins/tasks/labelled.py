"""`labelled`: sounds of named classes, each made on request."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator

from kernel import (
    ConditionSpec,
    Dataset,
    InputError,
    Item,
    Request,
    Task,
    UsageError,
    Window,
    did_you_mean,
    hookimpl,
)
from kernel_plugins.tasks._folder import FolderTask, check_requests, numbered

if TYPE_CHECKING:
    from torch import Tensor


class Labelled(FolderTask):
    """Learn sounds that have labels and make the label that is asked for.

    The condition is the label as a one-hot vector [K], in the order of `labels`.
    """

    labels: tuple[str, ...] = Field((), description="the labels; by default those that are found")
    label_from: Literal["name", "folder"] = Field(
        "name", description="where a label is read: the file's name or the name of its folder"
    )
    label_pattern: str = Field(
        r"^([^_]+)_",
        description="regular expression whose first group is the label in a file's name"
        " (without its ending)",
    )
    csv: Path | None = Field(
        None, description="table of the files and their labels, in place of `label_from`"
    )
    csv_path: str = Field("path", description="column of file names, relative to `path`")
    csv_label: str = Field("label", description="column of labels")
    label: str | None = Field(None, description="make only this label; by default each in turn")

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels) or "" in labels:
            raise ValueError("labels are distinct and not empty")
        return labels

    @field_validator("label_pattern")
    @classmethod
    def _grouped(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if not groups:
            raise ValueError(f"{pattern!r} needs a group (...) around the label")
        return pattern

    @property
    def condition(self) -> ConditionSpec:
        """Return a vector with one value for each label."""
        return ConditionSpec(vector=len(self.labels))

    def resolve(self) -> Self:
        """Return the task with the labels that are found in the data, sorted, numbers by value.

        Raises InputError when there is no data or a file has no label.
        """
        if self.labels:
            return self
        found = {label for _, label in self._table()}
        return self.model_copy(update={"labels": tuple(sorted(found, key=_natural))})

    def portable(self) -> Self:
        """Return the task without its paths."""
        return super().portable().model_copy(update={"csv": None})

    def dataset(self, split: str) -> Dataset:
        """Return the split `train` or `valid`. Raises InputError naming every bad file."""
        from kernel_plugins.tasks._sounds import listed

        table = self._table()
        labels = self.resolve().labels
        vectors = dict(zip(labels, _one_hot(len(labels)), strict=True))
        strange = [
            f"{file} has the label {label!r}; add it to task.labels or remove the file"
            for file, label in table
            if label not in vectors
        ]
        if strange:
            raise InputError(listed(strange, f"files in {self.path}", len(table)))
        return self.read([(file, vectors[label]) for file, label in table], split)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests, named 00-LABEL and so on: each label in turn, or `label`.

        Raises UsageError when `inputs` is not empty, `count` < 1, or the label is unknown.
        """
        check_requests("labelled", inputs, count)
        self._check_labels()
        turns = range(len(self.labels)) if self.label is None else [self._place(self.label)]
        vectors = _one_hot(len(self.labels))
        requests = []
        for index in range(count):
            turn = turns[index % len(turns)]
            label = self.labels[turn]
            name = numbered(index, count, label)
            requests.append(Request(name, Window(self.samples, vector=vectors[turn]), label))
        return requests

    def named(self, word: str) -> Item:
        """Return an item of a label. Raises UsageError when it is unknown."""
        self._check_labels()
        return Item(self.samples, vector=_one_hot(len(self.labels))[self._place(word)])

    def _check_labels(self) -> None:
        if not self.labels:
            raise UsageError(
                "task 'labelled' knows no labels; name a folder with -o task.path=FOLDER or list"
                " them in task.labels"
            )

    def _place(self, label: str) -> int:
        if label not in self.labels:
            raise UsageError(
                f"there is no label {label!r} among {', '.join(self.labels)};"
                f" choose one of them{did_you_mean(label, self.labels)}"
            )
        return self.labels.index(label)

    def _table(self) -> list[tuple[Path, str]]:
        """Return every file and its label, sorted by file."""
        if self.csv is not None:
            return self._csv_table(self.csv.expanduser())
        folder, files = self.folder(), self.files()
        if self.label_from == "folder":
            loose = [file for file in files if file.parent == folder]
            if loose:
                _refuse(loose, len(files), f"lie directly in {folder}, not in a folder of a label")
            return [(file, file.parent.name) for file in files]
        matches = [re.search(self.label_pattern, file.stem) for file in files]
        labels = [match and match.group(1) for match in matches]
        unnamed = [file for file, label in zip(files, labels, strict=True) if not label]
        if unnamed:
            _refuse(unnamed, len(files), f"in {folder} do not match {self.label_pattern!r}")
        return [(file, label) for file, label in zip(files, labels, strict=True) if label]

    def _csv_table(self, table: Path) -> list[tuple[Path, str]]:
        folder = self.folder()
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                rows = [(reader.line_num, row) for row in reader]
                columns = list(reader.fieldnames or ())
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot read the table {table}: {reason}; check -o task.csv"
            ) from error
        for column, option in ((self.csv_path, "csv_path"), (self.csv_label, "csv_label")):
            if column not in columns:
                raise InputError(
                    f"{table} has no column {column!r}, only {', '.join(columns) or 'none'};"
                    f" set -o task.{option}{did_you_mean(column, columns)}"
                )
        pairs: dict[Path, str] = {}
        for number, row in rows:
            name, label = row[self.csv_path], row[self.csv_label]
            if not name or not label:
                raise InputError(f"line {number} of {table} lacks a path or a label; complete it")
            if folder / name in pairs:
                raise InputError(
                    f"line {number} of {table} names {name} again; remove one of the two"
                )
            pairs[folder / name] = label
        if not pairs:
            raise InputError(
                f"{table} names no files; add a line for each or leave -o task.csv out"
            )
        return sorted(pairs.items())


def _refuse(files: Sequence[Path], total: int, why: str) -> None:
    names = ", ".join(file.name for file in files[:10])
    more = f" and {len(files) - 10} more" if len(files) > 10 else ""
    raise InputError(
        f"{len(files)} of {total} files {why}, so they have no label: {names}{more};"
        " set -o task.label_from, task.label_pattern or task.csv"
    )


def _natural(label: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", label)
    numbers = parts[1::2]
    return [(int(part), "") if part in numbers else (-1, part) for part in parts], label


def _one_hot(count: int) -> Sequence[Tensor]:
    import torch

    return torch.eye(count).unbind()


@hookimpl
def task() -> type[Task]:
    """Offer `labelled`."""
    return Labelled
