"""`optimised`: grids that minimise the error of one model with one solver."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from kernel import Schedule, hookimpl
from kernel_plugins.schedules._curve import checked
from kernel_plugins.schedules.edm import EdmSchedule


class OptimisedSchedule(EdmSchedule):
    """Sample on stored grids, found for one model and solver; train where ln sigma is normal.

    The idea of Align Your Steps (Sabour et al. 2024) with the error measured instead of bounded:
    `benchmarks/solvers/optimise.py` finds the grid whose samples are nearest to those of many
    steps. A number of steps without a stored grid follows the grid of the nearest number: linear in
    the share of the steps, in asinh(sigma / s) with s its last sigma, and towards sigma_min.
    Training, and sampling without any grid, are those of `edm`.
    """

    grids: tuple[tuple[float, ...], ...] = Field(
        (), description="for each grid its sigmas between sigma_max and 0, one fewer than its steps"
    )

    @model_validator(mode="after")
    def _descending(self) -> Self:
        for grid in self.grids:
            path = [self.sigma_max, *grid, self.sigma_min]
            if not grid or any(sigma <= following for sigma, following in pairwise(path)):
                raise ValueError(
                    f"grid {list(grid)} does not descend between sigma_max {self.sigma_max} and "
                    f"sigma_min {self.sigma_min}"
                )
        lengths = [len(grid) for grid in self.grids]
        for length in lengths:
            if lengths.count(length) > 1:
                raise ValueError(f"there are {lengths.count(length)} grids of {length + 1} steps")
        return self

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1."""
        if not self.grids:
            return super().sigmas(steps)
        checked(steps)
        nearest = min(self.grids, key=lambda grid: abs(math.log((len(grid) + 1) / steps)))
        if len(nearest) + 1 == steps:
            return [self.sigma_max, *nearest, 0.0]
        width = nearest[-1]
        nodes = [math.asinh(sigma / width) for sigma in (self.sigma_max, *nearest, self.sigma_min)]
        parts = (index / steps * (len(nodes) - 1) for index in range(1, steps))
        return [self.sigma_max, *(width * math.sinh(between(nodes, part)) for part in parts), 0.0]


def between(nodes: list[float], part: float) -> float:
    """Return the linear interpolation of `nodes` at `part`; the node `i` is at part i."""
    index = int(part)
    return nodes[index] + (part - index) * (nodes[index + 1] - nodes[index])


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `optimised`."""
    return OptimisedSchedule
