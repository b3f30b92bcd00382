"""Which noise levels are visited and trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kernel.hooks import hookspec
from kernel.kinds._component import Component
from kernel.values import LatentSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Schedule"]


@hookspec
def schedule(name: str) -> type[Schedule] | None:
    """Return the schedule called `name`, or None when the plugin has no such schedule."""


class Schedule(Component):
    """Which sigmas a sampler visits and which sigmas a network is trained at."""

    kind: ClassVar[str] = "schedule"

    if TYPE_CHECKING:  # options or properties, whichever suits a schedule

        @property
        def sigma_min(self) -> float:
            """Return the smallest sigma above 0."""

        @property
        def sigma_max(self) -> float:
            """Return the largest sigma."""

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
