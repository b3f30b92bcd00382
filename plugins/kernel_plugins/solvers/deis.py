"""`deis`: the exponential integrator of Zhang and Chen 2023."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.mathematics.vp import STANDARD
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Interval, Prediction, quadrature


class Deis(Linear):
    """Integrate the polynomial through the last evaluations of the noise, in another variable.

    Zhang and Chen 2023, eq. 14 and 15: x' = x + sum_k C_k e_k, C_k the integral of the Lagrange
    polynomial over sigma. The polynomial is one in ln sigma (integrated exactly; log-rho) or in the
    time t of the variance-preserving process with beta from 0.1 to 20 (by quadrature; tAB). In
    sigma itself it is `lms`. Order 2 at most, from the first step; later steps have the order
    `points`. One evaluation a step; the last, to 0, returns D.
    """

    prediction: ClassVar[Prediction] = "noise"

    points: int = Field(3, ge=1, le=4, description="how many evaluations a step uses")
    variable: Literal["log-sigma", "vp-time"] = Field(
        "log-sigma", description="what the noise is taken for a polynomial in"
    )

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step limits to 2."""
        return min(self.points, 2)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step."""
        rules = self._in_time if self.variable == "vp-time" else self._in_log_sigma
        yield from (Update(1.0, tuple(weights)) for weights in rules(sigmas[:-1]))
        yield None

    def _in_log_sigma(self, sigmas: Sequence[float]) -> Iterator[list[float]]:
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            interval = Interval("noise", sigma, following)
            nodes = [interval.node(sigmas[index - k]) for k in range(min(index + 1, self.points))]
            yield interval.weights(nodes, interval.moments(len(nodes)))

    def _in_time(self, sigmas: Sequence[float]) -> Iterator[list[float]]:
        times = [STANDARD.time(sigma) for sigma in sigmas]
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            t, *before = reversed(times[max(index + 1 - self.points, 0) : index + 1])
            step = times[index + 1] - t
            nodes = [0.0, *((each - t) / step for each in before)]
            yield quadrature(nodes, time_moments(sigma, following, len(nodes)))


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
