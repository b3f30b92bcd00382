"""Exponential Adams methods: the model is extrapolated from the last evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from kernel_plugins.solvers._leap import carried
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Interval, Prediction

__all__ = ["Adams", "Line", "Parabola", "StochasticAdams"]


class Adams(Linear):
    """Step by the quadrature of the last `points` evaluations, one of them new.

    The first steps use the few evaluations before them; the last step, to sigma 0, returns D. The
    order of a whole run is therefore at most 2, although later steps have the order `points`. At a
    leap a parabola becomes a line, integrated by the rule that extrapolates it less: the half rule
    for x0, the exact rule for the noise.
    """

    prediction: ClassVar[Prediction]
    points: ClassVar[int]

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step limits to 2."""
        return min(self.points, 2)

    def evaluations(self, remaining: int) -> int:
        """Return the most evaluations for a step; `remaining`: steps to go, with this one."""
        return self.points

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the exact weights of the evaluations at `nodes`, newest first."""
        return interval.weights(nodes, interval.moments(len(nodes)))

    def interval(self, sigma: float, following: float) -> Interval:
        """Return the step from sigma to following > 0."""
        return Interval(self.prediction, sigma, following)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            if following == 0:
                yield None
                continue
            interval = self.interval(sigma, following)
            count = min(index + 1, self.evaluations(len(sigmas) - 1 - index))
            nodes = [interval.node(sigmas[index - k]) for k in range(count)]
            kept = carried(partial(self.weights, interval), nodes, self.leap_ratio)
            if kept == count:
                weights = self.weights(interval, nodes)
            else:
                moments = interval.line_moments(kept, exact=self.prediction == "noise")
                weights = interval.weights(nodes[:kept], moments)
            yield Update(interval.scale, tuple(weights), interval.up)


class StochasticAdams(Adams):
    """An Adams method for x0 that can follow the reverse SDE instead of its ODE."""

    prediction: ClassVar[Prediction] = "x0"

    eta: float = Field(0.0, ge=0, description="share of the reverse SDE's noise; 0 is the ODE")

    @property
    def stochastic(self) -> bool:
        """Return whether noise is added."""
        return self.eta > 0

    def interval(self, sigma: float, following: float) -> Interval:
        """Return the step from sigma to following > 0."""
        return Interval(self.prediction, sigma, following, self.eta)


class Line(Adams):
    """Extrapolate by the line through the last two evaluations."""

    points: ClassVar[int] = 2

    exact: bool = Field(False, description="integrate a line exactly, not by the half rule")

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the weights of the half rule, or the exact ones."""
        return interval.weights(nodes, interval.line_moments(len(nodes), self.exact))


class Parabola(Adams):
    """Extrapolate by the parabola through the last three evaluations."""

    points: ClassVar[int] = 3

    published: bool = Field(
        False, description="halve the curvature, as public 3M codes do; the order is then 2"
    )
    lower_order_final: bool = Field(
        False, description="use 2 evaluations in the step before the last, a leap in ln sigma"
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
