"""`mine`: which sigmas are sampled at and trained at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from kernel import Schedule, UsageError, hookimpl

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Mine(Schedule):
    """Sample at equal steps of ln sigma; train where ln sigma is uniform.

    To make it your own, replace the grid, the draws or both. A grid owns its end: the last sigma is
    exactly 0, and draws stay in [sigma_min, sigma_max].
    """

    sigma_min: float = Field(0.02, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(100.0, gt=0, description="largest sigma")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} is not below sigma_max {self.sigma_max}")
        return self

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1."""
        if steps < 1:
            raise UsageError(f"schedule 'mine' cannot make {steps} steps; ask for one")
        ratio = (self.sigma_min / self.sigma_max) ** (1 / max(steps - 1, 1))
        # The first is sigma_max itself, and rounding must not carry the last below sigma_min.
        inside = (max(self.sigma_max * ratio**index, self.sigma_min) for index in range(steps))
        return [*inside, 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        import torch

        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        uniform = torch.rand(count, generator=generator)
        return (low + (high - low) * uniform).exp().clamp(self.sigma_min, self.sigma_max)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `mine`."""
    return Mine
