"""`deis`: the exponential integrator of Zhang and Chen 2023."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._multistep import Interval, combine, quadrature

if TYPE_CHECKING:
    from torch import Tensor

BETA_MIN, BETA_SLOPE = 0.1, 19.9


class Deis(Solver):
    """Integrate the polynomial through the last evaluations of the noise, in another variable.

    Zhang and Chen 2023, eq. 14 and 15: x' = x + sum_k C_k e_k, C_k the integral of the Lagrange
    polynomial over sigma. The polynomial is one in ln sigma (integrated exactly; log-rho) or in the
    time t of the variance-preserving process with beta from 0.1 to 20 (by quadrature; tAB). In
    sigma itself it is `lms`. Order 2 at most, from the first step; later steps have the order
    `points`. One evaluation a step; the last, to 0, returns D.
    """

    points: int = Field(3, ge=1, le=4, description="how many evaluations a step uses")
    variable: Literal["log-sigma", "vp-time"] = Field(
        "log-sigma", description="what the noise is taken for a polynomial in"
    )

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step limits to 2."""
        return min(self.points, 2)

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        models: list[Tensor] = []  # newest first
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            else:
                models = [(x - x0).div_(sigma), *models[: self.points - 1]]
                past = [sigmas[index - k] for k in range(len(models))]
                x = combine(x, 1.0, models, self._weights(sigma, following, past))
            x = yield Step(index, following, x, x0)

    def _weights(self, sigma: float, following: float, past: Sequence[float]) -> list[float]:
        if self.variable == "log-sigma":
            interval = Interval("noise", sigma, following)
            nodes = [interval.node(each) for each in past]
            return interval.weights(nodes, interval.moments(len(nodes)))
        t, *before = (vp_time(each) for each in past)
        step = vp_time(following) - t
        nodes = [0.0, *((each - t) / step for each in before)]
        return quadrature(nodes, time_moments(sigma, following, len(nodes)))


def vp_time(sigma: float) -> float:
    """Return the t at which the variance-preserving process has this sigma (Song et al. 2021)."""
    exponent = math.log1p(sigma**2)
    return 2 * exponent / (BETA_MIN + math.sqrt(BETA_MIN**2 + 2 * BETA_SLOPE * exponent))


@cache
def legendre() -> tuple[list[float], list[float]]:
    """Return the nodes in [-1, 1] and the weights of Gauss's rule with 20 points."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(20)
    return nodes.tolist(), weights.tolist()


def time_moments(start: float, end: float, count: int) -> list[float]:
    """Return the integrals over sigma of 1, u, u^2, ..., u being the share of the step in t.

    Taken in ln sigma, where these functions are smooth.
    """
    first, last = vp_time(start), vp_time(end)
    half = math.log(end / start) / 2
    moments = [0.0] * count
    for node, weight in zip(*legendre(), strict=True):
        sigma = start * math.exp(half * (1 + node))
        term, u = half * weight * sigma, (vp_time(sigma) - first) / (last - first)
        for j in range(count):
            moments[j] += term
            term *= u
    return moments


@hookimpl
def solver() -> type[Solver]:
    """Offer `deis`."""
    return Deis
