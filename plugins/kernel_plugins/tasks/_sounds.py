"""The sounds of a folder task, decoded once and cut to length."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import torch

from kernel import InputError, Item, resample
from kernel_plugins.tasks._augment import crop
from kernel_plugins.tasks._augmented import Augmenter
from kernel_plugins.tasks._files import Facts, listed

if TYPE_CHECKING:
    from torch import Tensor

    from kernel_plugins.tasks._files import Source
    from kernel_plugins.tasks._folder import FolderTask

_IN_A_ROW = 10  # so many bad sounds in a row mean that the folder is gone


class Sounds:
    """A data set of the sounds of a source with the numbers `chosen`, in their order.

    codes: for each sound of the source its row of `vectors` [K, V], or None. The data set reads
    every sound at construction, unless the source was checked: bad sounds are known before the
    training. Raises InputError with the names of all bad sounds, or, with `task.bad_files` `skip`,
    when no sound is left.
    """

    def __init__(
        self,
        task: FolderTask,
        source: Source,
        chosen: Sequence[int],
        codes: Sequence[int] | None = None,
        vectors: Tensor | None = None,
    ) -> None:
        # Arrays: every worker that reads a list of numbers would copy it page by page.
        self._task, self._source, self._chosen = task, source, array("q", chosen)
        self._codes, self._vectors = array("q", codes or ()), vectors
        self._kept: dict[int, Tensor] = {}
        self._read = array("q")
        self._augmenter = Augmenter(task, task.extensions)
        self._facts = source.facts or Facts(source.place)
        if source.facts is None:
            self._chosen = array("q", self._read_all())

    def __len__(self) -> int:
        return len(self._chosen)

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return item `index`: a random stretch of a long sound, a short sound padded at its end.

        With `task.bad_files` `skip`, an item drawn from `generator` replaces one that has become
        unreadable.
        """
        skipped: list[str] = []
        while True:
            try:
                return attrs.evolve(self._item(index, generator), skipped=tuple(skipped))
            except InputError as error:
                if self._task.bad_files == "stop":
                    raise
                skipped.append(str(error))
            if len(skipped) == _IN_A_ROW:
                raise InputError(
                    f"{_IN_A_ROW} sounds in a row cannot be read, the last because {skipped[-1]}"
                )
            index = int(torch.randint(len(self), (), generator=generator))

    def found(self) -> tuple[str, ...]:
        """Return sentences on the sounds: their number, length and rates; refused files."""
        return self._facts.sentences(len(self))

    def lengths(self) -> Sequence[int]:
        """Return the largest number of samples of each item: a slower sound is a longer one.

        Raises InputError if the sounds were not read and their source has no lengths.
        """
        task, found = self._task, self._read
        if self._source.facts is not None:
            if (every := self._source.lengths(task.sample_rate)) is None:
                raise InputError(
                    f"the index of {self._source.place} lacks the lengths of the sounds; put them"
                    " into new shards with kernel shards --out"
                )
            found = array("q", (every[number] for number in self._chosen))
        slowest = 100 - task.augment_speed
        return array("q", (min(task.samples, -(-each * 100 // slowest)) for each in found))

    def counts(self) -> Counter[int]:
        """Return the number of sounds of each vector, by the place of its 1."""
        codes = Counter(self._codes[each] for each in self._chosen)
        vectors = self._vectors
        return Counter(
            {int(vectors[c].argmax()): n for c, n in codes.items() if vectors is not None}
        )

    def _item(self, index: int, generator: torch.Generator) -> Item:
        number = self._chosen[index]
        sound = self._kept.get(number)
        if sound is None:
            sound = self._load(number)[0]
        wanted = self._task.samples
        sound = crop(self._augmenter.sped(sound, generator), wanted, generator)
        length = sound.shape[-1]
        audio = sound.new_zeros(len(sound), wanted)
        audio[:, :length] = self._augmenter.changed(sound, generator)
        valid = length if self._task.mask_padding else None
        vectors = self._vectors
        vector = None if vectors is None else vectors[self._codes[number]].clone()
        return Item(wanted, audio, valid, vector, name=self._source.names[number])

    def _load(self, number: int) -> tuple[Tensor, float, int]:
        """Return a sound at the task's rate and level, and the seconds and the rate of its file."""
        task = self._task
        sound, rate = self._source.load(number, task.channels)
        seconds = sound.shape[-1] / rate
        sound = resample(sound, rate, task.sample_rate)
        if task.trim is not None:
            sound = _trimmed(sound, task.trim)
        gain = task.gain(sound)
        if math.isinf(gain):
            raise InputError(
                f"{self._source.place / self._source.names[number]} is silent and has no level to"
                " normalize; remove it or set -o task.normalize=none"
            )
        return sound * gain, seconds, rate

    def _read_all(self) -> list[int]:
        """Read every sound and keep what fits into memory; return the numbers of the good ones."""
        room, good = self._task.cache * 1e9, []
        problems = self._facts.refused
        for number in self._chosen:
            try:
                sound, seconds, rate = self._load(number)
            except InputError as error:
                problems.append(str(error))
                continue
            good.append(number)
            self._read.append(sound.shape[-1])
            self._facts.add(seconds, rate)
            room -= sound.nbytes
            if room >= 0:
                self._kept[number] = sound
        if problems and (self._task.bad_files == "stop" or not good):
            what = f"sounds in {self._source.place}"
            raise InputError(listed(problems, what, len(self._chosen)))
        return good


def _trimmed(sound: Tensor, below: float) -> Tensor:
    """Return the part of `sound` [C, L] between its first and last samples near the peak."""
    loudness = sound.abs().amax(0)
    loud = (loudness >= loudness.max() * 10 ** (-below / 20)).nonzero()
    return sound[:, int(loud[0]) : int(loud[-1]) + 1].clone()
