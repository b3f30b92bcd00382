"""`mine`: what is learnt, what is asked for, and what becomes of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs
from pydantic import Field, model_validator

from kernel import (
    AudioSpec,
    ConditionSpec,
    Dataset,
    Item,
    Request,
    Task,
    UsageError,
    Window,
    did_you_mean,
    hookimpl,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LOWEST = 220.0
"""The lowest note in Hz."""

SCALE = (0, 2, 4, 7, 9)
"""Semitones of a major pentatonic scale, in which the requests go up."""


class Mine(Task):
    """Learn decaying tones that it makes itself, and make the note that is asked for.

    The condition is a one-hot vector, a value for each semitone: never zero, because zero means no
    condition. To make it your own, replace the condition, the data and the requests; read files in
    `dataset` and name every bad one in an InputError. A data set is the same each time it is made,
    and what is random in an item comes from the generator that it is given.
    """

    sample_rate: int = Field(8000, ge=1000, description="samples in a second")
    seconds: float = Field(0.5, gt=0, description="length of a sound")
    octaves: int = Field(2, ge=1, le=3, description="octaves that the notes span, from 220 Hz up")
    takes: int = Field(8, ge=1, description="items of each note in the data")
    note: int | None = Field(
        None, ge=0, description="semitones above 220 Hz to make; none: up a pentatonic scale"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.note is not None and self.note >= 12 * self.octaves:
            raise ValueError(f"note {self.note} is not among 0 to {12 * self.octaves - 1}")
        return self

    @property
    def audio(self) -> AudioSpec:
        """Return mono audio at the sample rate."""
        return AudioSpec(self.sample_rate)

    @property
    def samples(self) -> int:
        """Return the length of a sound in samples."""
        return max(1, round(self.seconds * self.sample_rate))

    @property
    def condition(self) -> ConditionSpec:
        """Return a vector with one value for each note."""
        return ConditionSpec(vector=12 * self.octaves)

    def dataset(self, split: str) -> Dataset:
        """Return the data, which has no end and therefore is the same for both splits."""
        if split not in ("train", "valid"):
            near = did_you_mean(split, ("train", "valid")) or "; take train or valid"
            raise UsageError(f"task 'mine' has no split {split!r}{near}")
        return Tones(self)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests. Raises UsageError when `inputs` is not empty or `count` < 1."""
        if inputs:
            raise UsageError(f"task 'mine' takes no input files; leave {inputs[0]} out")
        if count < 1:
            raise UsageError(f"task 'mine' cannot make {count} sounds; ask for one")
        scale = [12 * octave + step for octave in range(self.octaves) for step in SCALE]
        notes = scale if self.note is None else [self.note]
        return [self._request(index, notes[index % len(notes)]) for index in range(count)]

    def vector(self, note: int) -> Tensor:
        """Return what the model is told of a note: [V]."""
        import torch

        return torch.eye(self.condition.vector)[note]

    def _request(self, index: int, note: int) -> Request:
        name = f"{index:02d}-{_pitch(note):.0f}hz"
        label = f"{_pitch(note):.0f} Hz"
        return Request(name, Window(self.samples, vector=self.vector(note)), label)


@attrs.frozen
class Tones:
    """Every note of the task, `takes` times, in a Dataset."""

    task: Mine

    def __len__(self) -> int:
        """Return the number of items."""
        return self.task.condition.vector * self.task.takes

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return item `index`; phases, decay and level come from `generator`."""
        note = index // self.task.takes
        audio = self._tone(_pitch(note), generator)
        return Item(self.task.samples, audio, vector=self.task.vector(note))

    def _tone(self, pitch: float, generator: torch.Generator) -> Tensor:
        """Return [1, samples]: three partials, each softer and shorter than the one below."""
        import torch

        partials = torch.arange(1.0, 4.0)[:, None]
        phase = torch.rand(3, 1, generator=generator)
        decay, level = torch.rand(2, generator=generator).unbind()
        time = torch.arange(self.task.samples) / self.task.sample_rate
        waves = (2 * math.pi * (pitch * partials * time + phase)).sin()
        envelopes = (-(3 + 3 * decay) * partials * time).exp() / partials**2
        attack = (time / 0.005).clamp(max=1)
        tone = (waves * envelopes).sum(0, keepdim=True) * attack
        return tone * (0.3 + 0.2 * level)


def _pitch(note: int) -> float:
    return LOWEST * math.exp2(note / 12)


@hookimpl
def task() -> type[Task]:
    """Offer `mine`."""
    return Mine
