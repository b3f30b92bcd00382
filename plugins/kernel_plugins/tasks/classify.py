"""`classify`: new sounds that a classifier assigns to a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from kernel import Item, LatentSpace, Measurement, Request, Task, UsageError, Window, hookimpl
from kernel_plugins.tasks._folder import check_requests, numbered
from kernel_plugins.tasks._heard import HeardTask

if TYPE_CHECKING:
    from torch import Tensor


class Classify(HeardTask):
    """Make new sounds to which a classifier gives chosen probabilities.

    "Classifier guidance" of Levy et al. 2023, table 2: A gives the probabilities of the classes;
    the distance is their summed binary cross-entropy. The encoder returns logits.
    """

    target: int | tuple[float, ...] | None = Field(
        None, description="the class, counted from 0, or the probability of every class"
    )
    exclusive: bool = Field(True, description="one class a sound (softmax) or several (sigmoid)")

    @field_validator("target")
    @classmethod
    def _possible(cls, target: int | tuple[float, ...] | None) -> int | tuple[float, ...] | None:
        if isinstance(target, int) and target < 0:
            raise ValueError("classes are counted from 0")
        if isinstance(target, tuple) and not all(0 <= each <= 1 for each in target):
            raise ValueError("probabilities are between 0 and 1")
        return target

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests named 00, 01, ...

        Raises UsageError when `inputs` is not empty, `count` < 1, or no encoder or no target is
        named.
        """
        check_requests("classify", inputs, count)
        self.spelling()
        if self.target is None:
            raise UsageError(
                "task 'classify' has no class to make; set -o task.target=N, counted from 0"
            )
        return [
            Request(numbered(index, count), Window(self.samples, vector=self.told), self.label)
            for index in range(count)
        ]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the classes' probabilities."""
        import torch

        from kernel_plugins.mathematics.losses import bce
        from kernel_plugins.tasks._measure import on_device

        hear = self.heard(space)

        def chances(x0: Tensor) -> Tensor:
            logits = hear(space.decode(x0, space.samples))
            return logits.softmax(1) if self.exclusive else logits.sigmoid()

        silence = on_device(space, torch.zeros(1, space.audio.channels, space.samples))
        wanted = self._wanted(hear(silence).shape[1])
        target = on_device(space, torch.tensor(wanted).expand(len(items), -1))
        return Measurement(chances, target, bce)

    def _wanted(self, classes: int) -> tuple[float, ...]:
        target = self.target
        if isinstance(target, int) and target < classes:
            return tuple(float(each == target) for each in range(classes))
        if isinstance(target, tuple) and len(target) == classes:
            return target
        asked = f"class {target}" if isinstance(target, int) else f"{len(target or ())} of them"
        raise UsageError(
            f"{self.encoder} knows {classes} classes, counted from 0, and the target is {asked};"
            " set -o task.target to one of them or to the probability of each"
        )


@hookimpl
def task() -> type[Task]:
    """Offer `classify`."""
    return Classify
