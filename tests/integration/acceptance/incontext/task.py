"""`voice`: go on like a prompt of audio, which stands beside the latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs
from pydantic import Field

from kernel import (
    AudioSpec,
    ConditionSpec,
    Dataset,
    InputError,
    Item,
    Making,
    Request,
    Task,
    UsageError,
    Window,
    hookimpl,
    read_audio,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Voice(Task):
    """Learn to go on like the start of a recording, and go on like a prompt for `windows` windows.

    The prompt is the first half of an item, `aligned`: audio that goes through the codec as the
    item does, with silence beside it. Each window goes on from the one before.
    """

    path: Path | None = Field(None, description="folder of recordings, for training only")
    sample_rate: int = Field(16000, description="samples a second")
    seconds: float = Field(2.0, gt=0, description="length of an item")
    windows: int = Field(2, ge=1, description="how many windows follow a prompt")

    @property
    def audio(self) -> AudioSpec:
        """Return mono audio."""
        return AudioSpec(self.sample_rate)

    @property
    def samples(self) -> int:
        """Return the length of an item, an even number."""
        return 2 * round(self.seconds * self.sample_rate / 2)

    @property
    def condition(self) -> ConditionSpec:
        """Return that the prompt is as wide as the latent."""
        return ConditionSpec(aligned=ConditionSpec.LATENT)

    def portable(self) -> Self:
        """Return the task without its folder."""
        return self.model_copy(update={"path": None})

    def dataset(self, split: str) -> Dataset:
        """Return all recordings, for both splits. Raises InputError for none, or a bad one."""
        if self.path is None:
            raise UsageError("the task learns from recordings; set -o task.path")
        files = sorted(self.path.glob("*.wav"))
        if not files:
            raise InputError(f"there are no recordings in {self.path}; check -o task.path")
        return Recordings(self, [read_audio(file, self.sample_rate, 1)[0] for file in files])

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return a request for each of `count` prompts, in turn."""
        if not inputs or count < 1:
            raise UsageError("the task goes on like a prompt and was given none; add -i FILE")
        prompts = [read_audio(file, self.sample_rate, 1)[0] for file in inputs]
        return [
            Request(
                f"{index:02d}-{inputs[index % len(inputs)].stem}",
                Window(self.samples),
                given=prompts[index % len(inputs)],
            )
            for index in range(count)
        ]

    def make(self, request: Request) -> Making:
        """Make one window after another, each from the end of what there is."""
        import torch

        whole = request.given
        assert whole is not None
        for _ in range(self.windows):
            heard = self.prompt(whole[:, -(self.samples // 2) :])
            (audio,) = yield [attrs.evolve(request.window, aligned=heard)]
            whole = torch.cat([whole, audio[:, self.samples // 2 :]], -1)
        return [request.finished(whole, self.sample_rate)]

    def prompt(self, audio: Tensor) -> Tensor:
        """Return [1, samples], whose first half ends with `audio` [1, L], L at most a half."""
        from torch.nn.functional import pad

        half = self.samples // 2
        return pad(audio, (half - audio.shape[-1], self.samples - half))


@attrs.frozen
class Recordings:
    """Stretches of recordings, each prompted by its first half, in a Dataset."""

    task: Voice
    sounds: Sequence[Tensor]

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.sounds)

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return a random stretch of recording `index`, padded where it is too short."""
        import torch
        from torch.nn.functional import pad

        audio, samples = self.sounds[index], self.task.samples
        start = int(torch.randint(max(1, audio.shape[-1] - samples), (), generator=generator))
        audio = audio[:, start : start + samples]
        valid = audio.shape[-1]
        audio = pad(audio, (0, samples - valid))
        return Item(samples, audio, valid, aligned=self.task.prompt(audio[:, : samples // 2]))


@hookimpl
def task() -> type[Task]:
    """Offer `voice`."""
    return Voice
