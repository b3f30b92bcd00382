"""`deis`: the exponential integrator of Zhang and Chen 2023."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.mathematics.vp import STANDARD
from kernel_plugins.solvers._leap import carried
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Interval, Prediction, quadrature


class Deis(Linear):
    """Integrate the polynomial through the last evaluations of the noise, in another variable.

    Zhang and Chen 2023, eq. 14 and 15: x' = x + sum_k C_k e_k, C_k the integral of the Lagrange
    polynomial over sigma. The variable is ln sigma (integrated exactly; log-rho) or the time t of
    the variance-preserving process with beta from 0.1 to 20 (by quadrature; tAB). With sigma as the
    variable it would be `lms`. The first step limits the order to 2; later steps have the order
    `points`. One evaluation a step; the last step, to 0, returns D.
    """

    prediction: ClassVar[Prediction] = "noise"

    points: int = Field(3, ge=1, le=4, description="number of evaluations that a step uses")
    variable: Literal["log-sigma", "vp-time"] = Field(
        "log-sigma", description="variable of the noise's polynomial"
    )

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step limits to 2."""
        return min(self.points, 2)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step."""
        in_time = self.variable == "vp-time"
        past: list[float] = []
        for sigma, following in pairwise(sigmas[:-1]):
            past = [sigma, *past[: self.points - 1]]
            nodes, rule = (_in_time if in_time else _in_log_sigma)(past, following)
            yield Update(1.0, tuple(rule(nodes[: carried(rule, nodes, self.leap_ratio)])))
        yield None


Rule = Callable[[Sequence[float]], list[float]]


def _in_log_sigma(past: Sequence[float], following: float) -> tuple[list[float], Rule]:
    """Return the nodes of past sigmas in the step, newest first, and the rule for them."""
    interval = Interval("noise", past[0], following)
    nodes = [interval.node(sigma) for sigma in past]
    return nodes, lambda nodes: interval.weights(nodes, interval.moments(len(nodes)))


def _in_time(past: Sequence[float], following: float) -> tuple[list[float], Rule]:
    """Return the same in the time of the process."""
    first, end = STANDARD.time(past[0]), STANDARD.time(following)
    nodes = [(STANDARD.time(sigma) - first) / (end - first) for sigma in past]
    moments = time_moments(past[0], following, len(past))
    return nodes, lambda nodes: quadrature(nodes, moments[: len(nodes)])


@cache
def legendre() -> list[tuple[float, float]]:
    """Return the nodes in [-1, 1] and the weights of Gauss's rule with 20 points."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(20)
    return list(zip(nodes.tolist(), weights.tolist(), strict=True))


def time_moments(start: float, end: float, count: int) -> list[float]:
    """Return the integrals over sigma of 1, u, u^2, ..., u being the share of the step in t.

    Taken in ln sigma, where these functions are smooth.
    """
    first, last = STANDARD.time(start), STANDARD.time(end)
    half = math.log(end / start) / 2
    moments = [0.0] * count
    for node, weight in legendre():
        sigma = start * math.exp(half * (1 + node))
        term, u = half * weight * sigma, (STANDARD.time(sigma) - first) / (last - first)
        for j in range(count):
            moments[j] += term
            term *= u
    return moments


@hookimpl
def solver() -> type[Solver]:
    """Offer `deis`."""
    return Deis
