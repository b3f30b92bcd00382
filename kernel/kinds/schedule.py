"""Which noise levels are visited and trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from kernel.errors import UsageError
from kernel.kinds._component import Component
from kernel.values import LatentSpec, NativePath

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Schedule(Component):
    """Which sigmas a sampler visits and which sigmas a network is trained at.

    A schedule may be written in the time of a process, `process`, the `name` of an objective's
    path. The numbers of the process stand in the objective; options for the same numbers have the
    same names and default to None, and `adopted` is the path to take the time of.
    """

    kind: ClassVar[str] = "schedule"

    process: ClassVar[str | None] = None
    """The process in whose time the schedule is written; None for one that knows sigma alone."""

    _adopted: NativePath | None = None

    if TYPE_CHECKING:  # options or properties, whichever suits a schedule

        @property
        def sigma_min(self) -> float:
            """Return the smallest sigma above 0."""

        @property
        def sigma_max(self) -> float:
            """Return the largest sigma."""

    @property
    def adopted(self) -> NativePath | None:
        """Return the objective's path where it is of the schedule's process, else None."""
        return self._adopted

    def along(self, path: NativePath | None) -> Self:
        """Return the schedule that has adopted `path`, or none where that is of another process.

        Raises UsageError when an option contradicts a number of the path.
        """
        schedule = self.model_copy()
        schedule._adopted = path if path is not None and path.name == self.process else None
        for name, number in schedule._adopted.numbers.items() if schedule._adopted else ():
            own = getattr(self, name, None)
            if own not in (None, number):
                raise UsageError(
                    f"schedule.{name} is {own:g}, but objective.{name}, a number of the same "
                    f"process {self.process!r}, is {number:g}; leave schedule.{name} out, or "
                    f"train with -o objective.{name}={own:g}"
                )
        return schedule

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 strictly descending sigmas, from sigma_max down to exactly 0.

        Those before the last lie in [sigma_min, sigma_max].

        Raises UsageError when `steps` < 1.
        """
        raise NotImplementedError

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas in [sigma_min, sigma_max], float32 on the CPU."""
        raise NotImplementedError

    def sized(self, latent: LatentSpec) -> Schedule:
        """Return the schedule for latents of such a size; most are the same for every size."""
        return self
