"""`melody`: tunes made of words, learnt from prompts of any length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from pydantic import Field

from kernel import (
    AudioSpec,
    ConditionSpec,
    Dataset,
    Item,
    Request,
    Task,
    UsageError,
    Window,
    hookimpl,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PITCHES = {"low": 200.0, "mid": 400.0, "high": 800.0, "rest": 0.0}


class Melody(Task):
    """Learn tunes of one tone a word, and make those that are asked for.

    The sequence of a prompt has a row for each of its words: which word it is, and where it stands.
    """

    sample_rate: int = Field(4000, description="samples a second")
    seconds: float = Field(0.128, gt=0, description="length of a tune")
    prompts: tuple[str, ...] = Field(
        ("low", "high mid", "mid low rest high"), description="tunes to make, in turn"
    )

    @property
    def audio(self) -> AudioSpec:
        """Return mono audio."""
        return AudioSpec(self.sample_rate)

    @property
    def samples(self) -> int:
        """Return the length of a tune."""
        return round(self.seconds * self.sample_rate)

    @property
    def condition(self) -> ConditionSpec:
        """Return a sequence with a value for each word and two for its place."""
        return ConditionSpec(sequence=len(PITCHES) + 2)

    def dataset(self, split: str) -> Dataset:
        """Return tunes of one word to five."""
        return Tunes(self)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return a request for each of `count` prompts, in turn."""
        if inputs:
            raise UsageError(f"the task makes tunes of words alone; leave {inputs[0]} out")
        if count < 1:
            raise UsageError(f"the task cannot make {count} tunes; ask for one")
        told = [self.prompts[index % len(self.prompts)] for index in range(count)]
        return [
            Request(f"{index:02d}", Window(self.samples, sequence=self.rows(prompt)), prompt)
            for index, prompt in enumerate(told)
        ]

    def named(self, word: str) -> Item:
        """Return an item of a prompt. Raises UsageError for a word that is none."""
        return Item(self.samples, sequence=self.rows(word))

    def rows(self, prompt: str) -> Tensor:
        """Return the rows of a prompt's words."""
        import torch

        words = prompt.split()
        if unknown := set(words) - set(PITCHES):
            raise UsageError(f"{unknown.pop()!r} is no word; the words are {', '.join(PITCHES)}")
        which = torch.eye(len(PITCHES))[[list(PITCHES).index(word) for word in words]]
        angle = torch.arange(len(words)) / 2
        return torch.cat([which, angle.cos()[:, None], angle.sin()[:, None]], dim=1)


@attrs.frozen
class Tunes:
    """Tunes of random words, in a Dataset."""

    task: Melody

    def __len__(self) -> int:
        """Return the number of tunes."""
        return 16

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return a tune of 1 + index % 5 words."""
        import torch

        drawn = torch.randint(len(PITCHES), (1 + index % 5,), generator=generator)
        words = [list(PITCHES)[number] for number in drawn]
        time = torch.arange(self.task.samples)
        pitch = torch.tensor([PITCHES[word] for word in words])[
            time * len(words) // self.task.samples
        ]
        phase = (2 * math.pi * pitch / self.task.sample_rate).cumsum(0)
        tune = 0.3 * phase.sin()[None]
        return Item(self.task.samples, tune, sequence=self.task.rows(" ".join(words)))


@hookimpl
def task() -> type[Task]:
    """Offer `melody`."""
    return Melody
