"""The order of a training's items, and the lengths of its batches."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from kernel.assembly import Assembly
from kernel.errors import UsageError
from kernel.kinds.backbone import Backbone
from kernel.kinds.task import Dataset
from kernel.seeds import shuffled
from kernel_audio_training.config import TrainConfig

__all__ = ["Buckets", "Order", "order"]

WINDOW = 64
"""Batches whose items are sorted together. Longer windows leave less padding and less chance."""


class Order:
    """An endless sequence of shuffled epochs: place `step * batch + row` is a row of a step."""

    def __init__(self, count: int, config: TrainConfig) -> None:
        self._count, self._seed, self._batch = count, config.seed, config.batch

    def index(self, place: int) -> int:
        """Return the index in the data set of the item in a place."""
        epoch, position = divmod(place, self._count)
        return shuffled(position, self._count, self._seed, "epoch", epoch)

    def samples(self, step: int) -> int | None:
        """Return the samples that the items of a step are cut to, None where they are not."""
        return None


class Buckets(Order):
    """Shuffled epochs whose batches are of items of similar lengths, cut to one of a few lengths.

    known: the largest number of valid samples of each item. lengths: those of batches, ascending;
    no item is longer than the last. Within a window of an epoch the items are sorted by length and
    dealt out to batches, and the batches are shuffled. A batch that belongs to two epochs is of
    items of any length, so that each epoch has every item once.
    """

    def __init__(self, config: TrainConfig, known: Sequence[int], lengths: Sequence[int]) -> None:
        super().__init__(len(known), config)
        # An array: every worker that reads a list of numbers would copy it page by page.
        self._known, self.lengths = array("q", known), tuple(lengths)
        self._window: tuple[int, list[int]] = (-1, [])

    def index(self, place: int) -> int:
        """Return the index in the data set of the item in a place."""
        step, epoch = place // self._batch, place // self._count
        first = -(-epoch * self._count // self._batch)
        stop = (epoch + 1) * self._count // self._batch
        if not first <= step < stop:
            return super().index(place)
        begin = step - (step - first) % WINDOW
        if self._window[0] != begin:
            self._window = begin, self._sorted(range(begin, min(begin + WINDOW, stop)))
        return self._window[1][place - begin * self._batch]

    def samples(self, step: int) -> int:
        """Return the length of the bucket of a step's longest item."""
        places = range(step * self._batch, (step + 1) * self._batch)
        longest = max(self._known[self.index(place)] for place in places)
        return self.lengths[bisect_left(self.lengths, longest)]

    def _sorted(self, steps: range) -> list[int]:
        """Return the items of steps of one epoch, in the order of their places."""
        size = self._batch
        places = range(steps.start * size, steps.stop * size)
        drawn = [super(Buckets, self).index(place) for place in places]
        ranked = sorted(range(len(drawn)), key=lambda each: self._known[drawn[each]])
        found: list[int] = []
        for number in range(len(steps)):
            batch = shuffled(number, len(steps), self._seed, "window", steps.start)
            # The rows of a batch stay in the order of the epoch, which no length decides.
            found += [drawn[each] for each in sorted(ranked[batch * size : (batch + 1) * size])]
        return found


def order(assembly: Assembly, data: Dataset, config: TrainConfig) -> Order:
    """Return the order that a training asks for.

    The lengths of `buckets` divide the items into parts of equal numbers, and are the longest ones
    that the codec makes no more frames of. Raises UsageError for a task that knows no lengths, and
    for a backbone that cannot mask.
    """
    if config.buckets is None:
        return Order(len(data), config)
    if any(not each.masks for each in assembly.all(Backbone)):
        raise UsageError(
            f"buckets pads the items of a batch, and {assembly.spelling('backbone')} cannot mask; "
            f"choose a backbone that masks, or leave buckets out"
        )
    task, codec = assembly.task, assembly.codec
    if (known := task.lengths(data)) is None:
        raise UsageError(
            f"buckets needs the length of every item, and {assembly.spelling('task')} does not "
            f"tell it; leave buckets out"
        )

    def frames(samples: int) -> int:
        return codec.latent(task.audio, samples).size[-1]

    def filled(samples: int) -> int:
        longer = range(samples, task.samples + 1)
        return samples - 1 + bisect_right(longer, frames(samples), key=frames)

    ranked = sorted(known)
    ends = (-(-len(ranked) * part // config.buckets) - 1 for part in range(1, config.buckets + 1))
    return Buckets(config, known, sorted({filled(ranked[end]) for end in ends}))
