"""`enhance`: recordings without their noise, learnt from pairs of a noisy and a clean one."""

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


class Enhance(Task):
    """Learn from two folders of files with the same names, and enhance recordings.

    The noisy recording is the origin, where sampling starts and which the process drifts to.
    """

    clean: Path | None = Field(None, description="folder of clean recordings, for training only")
    noisy: Path | None = Field(None, description="folder of the same ones with noise")
    sample_rate: int = Field(16000, description="samples a second")
    seconds: float = Field(2.0, gt=0, description="length of an item")
    shown: bool = Field(False, description="show the network the noisy recording beside x")

    @property
    def offers(self) -> frozenset[str]:
        """Return that every item has an origin."""
        return frozenset({"origin"})

    @property
    def audio(self) -> AudioSpec:
        """Return mono audio."""
        return AudioSpec(self.sample_rate)

    @property
    def samples(self) -> int:
        """Return the length of an item."""
        return round(self.seconds * self.sample_rate)

    @property
    def condition(self) -> ConditionSpec:
        """Return that the origin is shown, where it is."""
        return ConditionSpec(origin=ConditionSpec.LATENT if self.shown else 0)

    def portable(self) -> Self:
        """Return the task without its folders."""
        return self.model_copy(update={"clean": None, "noisy": None})

    def dataset(self, split: str) -> Dataset:
        """Return all pairs, for both splits. Raises InputError for a file without its noisy one."""
        if self.clean is None or self.noisy is None:
            raise UsageError("the task learns from pairs; set -o task.clean and -o task.noisy")
        files = sorted(self.clean.glob("*.wav"))
        missing = [file.name for file in files if not (self.noisy / file.name).is_file()]
        if missing or not files:
            raise InputError(f"{self.noisy} lacks {', '.join(missing) or 'recordings'}; add them")
        return Pairs(self, [(file, self.noisy / file.name) for file in files])

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return a request for each of `count` inputs, in turn."""
        if not inputs or count < 1:
            raise UsageError("the task enhances recordings and was given none; add -i FILE")
        files = [inputs[index % len(inputs)] for index in range(count)]
        return [self.request(f"{index:02d}-{file.stem}", file) for index, file in enumerate(files)]

    def request(self, name: str, file: Path) -> Request:
        """Return the request to enhance a whole recording, at the model's rate."""
        audio = read_audio(file, self.sample_rate, 1)[0]
        return Request(name, Window(self.samples), file.stem, given=audio)

    def make(self, request: Request) -> Making:
        """Make a recording of any length in windows, one beside the other."""
        import torch

        audio = request.given
        assert audio is not None
        starts = range(0, audio.shape[-1], self.samples)
        made = yield [
            attrs.evolve(request.window, origin=self.padded(audio[:, start : start + self.samples]))
            for start in starts
        ]
        return [request.finished(torch.cat(made, -1)[:, : audio.shape[-1]], self.sample_rate)]

    def padded(self, audio: Tensor) -> Tensor:
        """Return audio [1, L] as [1, samples], with silence at its end."""
        from torch.nn.functional import pad

        return pad(audio, (0, self.samples - audio.shape[-1]))


@attrs.frozen
class Pairs:
    """Pairs of a clean and a noisy recording, in a Dataset."""

    task: Enhance
    files: Sequence[tuple[Path, Path]]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.files)

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return a random stretch of pair `index`, padded where it is too short."""
        import torch

        task = self.task
        clean, noisy = (read_audio(file, task.sample_rate, 1)[0] for file in self.files[index])
        room = max(0, clean.shape[-1] - task.samples)
        start = int(torch.randint(room + 1, (), generator=generator))
        clean, noisy = (each[:, start : start + task.samples] for each in (clean, noisy))
        return Item(task.samples, task.padded(clean), origin=task.padded(noisy))


@hookimpl
def task() -> type[Task]:
    """Offer `enhance`."""
    return Enhance
