"""`dpmpp-3m`: the third-order multistep solver DPM-Solver++(3M), with all of its third order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import StochasticAdams
from kernel_plugins.solvers._multistep import Interval


class DpmPP3M(StochasticAdams):
    """Extrapolate x0 in lam = -ln sigma by the parabola through the last three evaluations.

    The third-order multistep form of DPM-Solver++ (Lu et al. 2022), whose public codes give the
    parabola's curvature half its weight (`published`). Steps with all three evaluations have order
    3. With `eta` 1 it is the SDE form. One evaluation a step.
    """

    points: ClassVar[int] = 3

    published: bool = Field(
        False, description="halve the curvature, as public 3M codes do, which then are of order 2"
    )

    lower_order_final: bool = Field(
        False, description="use 2 evaluations in the step before the last, where ln sigma leaps"
    )

    def evaluations(self, remaining: int) -> int:
        """Return 3, or 2 in the step before the last."""
        return min(self.points, remaining) if self.lower_order_final else self.points

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the exact weights, or those of the public codes."""
        moments = interval.moments(len(nodes))
        if len(nodes) == 3 and self.published:
            moments[2] /= 2
        return interval.weights(nodes, moments)


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-3m`."""
    return DpmPP3M
