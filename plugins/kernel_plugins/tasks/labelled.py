"""`labelled`: sounds of named classes."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, Self, cast

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
from kernel_plugins.tasks._files import Source, listed, tally
from kernel_plugins.tasks._folder import FolderTask, check_requests, numbered

if TYPE_CHECKING:
    from torch import Tensor

    from kernel_plugins.tasks._sounds import Sounds


class Labelled(FolderTask):
    """Learn sounds with labels, and make sounds of a label.

    The condition is the label as a one-hot vector [K], in the order of `labels`.
    """

    labels: tuple[str, ...] = Field((), description="the labels; by default those of the data")
    label_from: Literal["name", "folder"] | None = Field(
        None,
        description="source of a label: the file's name or the name of its folder;"
        " by default the name; must be set if folders and names disagree",
    )
    label_pattern: str = Field(
        r"^([^_]+)_",
        description="regular expression whose first group is the label in a file's name"
        " (without its ending)",
    )
    manifest_label: str = Field("label", description="the manifest's column of labels")
    label: str | None = Field(
        None, description="make only this label; by default all labels in turn"
    )

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
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if not groups:
            raise ValueError(f"{pattern!r} needs a group (...) around the label")
        return pattern

    @property
    def condition(self) -> ConditionSpec:
        """Return a vector with one value for each label."""
        return ConditionSpec(vector=len(self.labels))

    @property
    def label_column(self) -> str:
        """Return the manifest's column of labels."""
        return self.manifest_label

    def resolve(self) -> Self:
        """Return the task with the labels of the data, sorted, numbers by value.

        Raises InputError when there is no data, or when a file has no label or an unclear one.
        """
        if self.labels:
            return self
        found, _ = self._coded(self.source())
        return self.model_copy(update={"labels": tuple(sorted(found, key=_natural))})

    def dataset(self, split: str) -> Dataset:
        """Return the split `train` or `valid`. Raises InputError with every bad file's name."""
        import torch

        source = self.source()
        if split == "valid" and not self.valid_fraction:
            return self.read(source, split)
        found, codes = self._coded(source)
        labels = self.labels or tuple(sorted(found, key=_natural))
        if set(found) - set(labels):
            every = list(found)
            strange = [
                f"{source.place / name} has the label {every[code]!r}; add it to task.labels or"
                " remove the file"
                for name, code in zip(source.names, codes, strict=True)
                if every[code] not in labels
            ]
            raise InputError(listed(strange, f"files in {source.place}", len(codes)))
        vectors = torch.eye(len(labels))[[labels.index(label) for label in found]]
        return self.read(source, split, codes, vectors)

    def describe(self, data: Dataset) -> tuple[str, ...]:
        """Return sentences on the data, with the number of sounds of each label."""
        labels = self.resolve().labels
        counts = cast("Sounds", data).counts()
        told = tally({label: counts.get(place, 0) for place, label in enumerate(labels)})
        return (*super().describe(data), f"{len(labels)} labels: {told}")

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests, named 00-LABEL and so on: all labels in turn, or `label`.

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

    def _coded(self, source: Source) -> tuple[list[str], array[int]]:
        """Return the labels that there are, and for each sound the number of its label.

        There may be millions of sounds; no label is in memory twice.
        """
        numbers: dict[str, int] = {}
        codes = array("l")
        for label in self._labels(source):
            codes.append(numbers.setdefault(label, len(numbers)))
        if "" in numbers:
            missing = numbers[""]
            bad = [name for name, code in zip(source.names, codes, strict=True) if code == missing]
            if self.label_from == "folder":
                why = f"lie directly in {source.place}, not in a folder of a label"
            else:
                why = f"in {source.place} do not match {self.label_pattern!r}"
            _refuse(bad, len(codes), why)
        return list(numbers), codes

    def _labels(self, source: Source) -> Iterable[str]:
        """Return the label of each sound, empty where there is none."""
        if source.labels is not None:
            return source.labels
        if self.label_from == "folder":
            return map(_folder, source.names)
        find = re.compile(self.label_pattern).search
        if self.label_from is None and not self.labels:
            self._compare(source, find)
        return (match[1] or "" if (match := find(_stem(name))) else "" for name in source.names)

    def _compare(self, source: Source, find: Callable[[str], re.Match[str] | None]) -> None:
        """Raise InputError when folders and file names give different labels."""
        names = (name for name in source.names if "/" in name)
        pairs = {
            (_folder(name), match[1] if (match := find(_stem(name))) else "") for name in names
        }
        if any(folder != label for folder, label in pairs):
            folders, labels = zip(*pairs, strict=True)
            raise InputError(
                f"the labels in {source.place} are not clear: its folders are {_some(folders)},"
                f" and the names of the files begin with {_some(labels)}; set -o"
                " task.label_from=folder, or -o task.label_from=name"
            )


def _stem(name: str) -> str:
    """Return a file's name without folders and ending."""
    return name.rpartition("/")[2].rpartition(".")[0]


def _folder(name: str) -> str:
    """Return the name of the folder that a file lies in, empty for the outermost."""
    return name.rpartition("/")[0].rpartition("/")[2]


def _some(labels: Sequence[str]) -> str:
    """Return the first few labels, without the empty one."""
    found = sorted(set(labels) - {""}, key=_natural)
    return ", ".join(found[:6]) + (", ..." if len(found) > 6 else "") or "no label"


def _refuse(files: Sequence[str], total: int, why: str) -> None:
    names = ", ".join(PurePosixPath(file).name for file in files[:10])
    more = f" and {len(files) - 10} more" if len(files) > 10 else ""
    raise InputError(
        f"{len(files)} of {total} files {why}, so they have no label: {names}{more};"
        " set -o task.label_from, task.label_pattern or task.manifest"
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
