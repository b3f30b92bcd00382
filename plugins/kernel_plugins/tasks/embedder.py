"""`embedder`: new sounds that resemble a recording to an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs

from kernel import (
    InputError,
    Item,
    LatentSpace,
    Measurement,
    Request,
    Task,
    UsageError,
    Window,
    hookimpl,
    read_audio,
)
from kernel_plugins.tasks._folder import check_requests, numbered
from kernel_plugins.tasks._heard import HeardTask

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(eq=False, kw_only=True)
class Likeness(Window):
    """A window for a sound like `example` [channels, L], at the model's rate and level."""

    example: Tensor


class Embedder(HeardTask):
    """Make new sounds whose embedding is near that of a recording.

    "Embedder guidance" of Levy et al. 2023, table 2: A is the embedding, the distance Euclidean.
    The sounds have the length and the level of the model's training, not of the recording.
    """

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests; the files take turns as examples.

        Raises UsageError when there are no inputs, `count` < 1 or no encoder is named, and
        InputError with the name of a file that is silent or cannot be read.
        """
        check_requests("embedder", (), count)
        if not inputs:
            raise UsageError("task 'embedder' makes sounds like a recording; name one with -i FILE")
        examples = [self._example(path) for path in inputs]
        self.spelling()
        windows = [
            Likeness(samples=self.samples, vector=self.told, example=example)
            for example in examples
        ]
        requests: list[Request] = []
        for index in range(count):
            turn = index % len(inputs)
            name = numbered(index, count, inputs[turn].stem)
            requests.append(Request(name, windows[turn], self.label, given=examples[turn]))
        return requests

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the embeddings."""
        import torch

        from kernel_plugins.mathematics.losses import l2
        from kernel_plugins.tasks._measure import on_device

        hear = self.heard(space)
        examples = [cast(Likeness, item).example for item in items]
        target = torch.cat([hear(on_device(space, each[None])) for each in examples])
        return Measurement(lambda x0: hear(space.decode(x0, space.samples)), target, l2)

    def _example(self, path: Path) -> Tensor:
        audio, _ = read_audio(path, self.sample_rate, self.channels)
        if not audio.any():
            raise InputError(f"{path} is silent from start to end; give a recording with sound")
        return audio * self.gain(audio)


@hookimpl
def task() -> type[Task]:
    """Offer `embedder`."""
    return Embedder
