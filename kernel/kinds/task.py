"""An application: data, conditions, requests and sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from kernel.errors import UsageError
from kernel.items import Item, Making, Request
from kernel.kinds._component import Component
from kernel.values import AudioSpec, Condition, ConditionSpec, LatentSpace, Measurement

if TYPE_CHECKING:
    import torch


class Dataset(Protocol):
    """A task's data, in an order that never changes."""

    def __len__(self) -> int: ...

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return item `index`; every random choice (a crop) comes from `generator`."""


class Task(Component):
    """An application: its data, its condition, its requests and the sounds made of them.

    A task that a model was not made for takes over the options of the model's own task that it has
    too: the sample rate, say, and how loud the training's sounds were.
    """

    kind: ClassVar[str] = "task"

    @property
    def audio(self) -> AudioSpec:
        """Return what audio the model works in."""
        raise NotImplementedError

    @property
    def samples(self) -> int:
        """Return the length of a training item in samples."""
        raise NotImplementedError

    @property
    def condition(self) -> ConditionSpec:
        """Return how wide the parts of the condition are."""
        return ConditionSpec()

    def resolve(self) -> Self:
        """Return the task with what its data decides (labels found in a folder) filled in."""
        return self

    def dataset(self, split: str) -> Dataset:
        """Return the data of a split, `train` or `valid`.

        Raises InputError naming the bad files, or the folder that has none.
        """
        raise NotImplementedError

    def describe(self, data: Dataset) -> tuple[str, ...]:
        """Return sentences on what a data set of this task holds, told when a training begins."""
        return (f"{len(data)} items",)

    def lengths(self, data: Dataset) -> Sequence[int] | None:
        """Return the largest number of valid samples of each item, None where it is not known.

        No item is read. A training with `buckets` cuts a batch to the longest that it has.
        """
        return None

    def collate(self, items: Sequence[Item], space: LatentSpace) -> Condition:
        """Return the condition of a batch of items, in a training as in a run.

        Vectors are stacked; sequences are padded to the longest and get their mask; `aligned` and
        `origin` are encoded, at the scale of x0; `valid` is what the items say of their padding. A
        part is null for the items that lack it, and None where all of them do.
        """
        from kernel.kinds._collate import collate

        return collate(items, space)

    def usual_count(self, inputs: Sequence[Path]) -> int:
        """Return how many sounds are made where the user does not say."""
        return len(inputs) or 10

    def requests(self, inputs: Sequence[Path], count: int) -> Sequence[Request]:
        """Return `count` requests, made from the files in `inputs` if the task takes any.

        The first of many requests are those of few. Raises UsageError for inputs that the task does
        not take and InputError, naming it, for a file that cannot be read.
        """
        raise NotImplementedError

    def named(self, word: str) -> Item:
        """Return an item of what `word` stands for, such as a label, as a condition tells it.

        Raises UsageError for a word that stands for none.
        """
        raise UsageError(f"the task has no words for conditions, so that {word!r} stands for none")

    def make(self, request: Request) -> Making:
        """Make a request: yield windows, be sent what was made of them, return the sounds.

        Each list that is yielded holds windows that do not depend on each other; a list of their
        audio, [C, samples] on the CPU in the same order, is the answer. The sounds have names that
        no other sound of the run has. By default the request's window is its one sound.
        """
        (audio,) = yield [request.window]
        return [request.finished(audio, self.audio.sample_rate)]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return what is known about the latents of a batch of items, or None.

        In a run the items are windows, as `make` has yielded them, of one or of many requests.
        """
        return None
