"""The Brownian bridge with exponential diffusion, from noisy to clean speech.

Lay et al. 2023 (BBED), section 3, where x_t = (1 - t) x0 + t y + s n has the diffusion
sqrt(theta) k^t. With sigma = s / (1 - t), c = 2 ln k, v = 1 / (1 - t) and E1 the exponential
integral,

    sigma^2 / theta = int_0^t k^(2u) / (1 - u)^2 du = exp(c) int_1^v exp(-c / z) dz
                    = v exp(c t) - 1 - c exp(c) (E1(c / v) - E1(c)),
    E1(c / v) - E1(c) = ln v - sum_{m >= 0} h_m t^(m+1) / (m + 1),
    h_m = 1 - exp(-c) sum_{j <= m} c^j / j!,

where all terms are positive. The functions take w = t / (1 - t), which is exact at both ends.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process
from kernel_plugins.mathematics.scalars import exp, expm1, log1p, sqrt

__all__ = ["STANDARD", "BrownianBridge", "odds", "variance"]

_ITERATIONS = 8
"""Steps of Newton's method, from above the root of a convex function; enough to converge."""


@attrs.frozen
class BrownianBridge(Process):
    """The process of the head of this module, t < 1. Its methods take floats or tensors."""

    name: ClassVar[str] = "bbed"

    k: float
    theta: float

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma."""
        w = self.odds(sigma)
        return w / (1 + w)

    def odds(self, sigma: Any) -> Any:
        """Return w = t / (1 - t) at sigma."""
        return odds(sigma**2 / self.theta, self.k)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t."""
        return sqrt(variance(time / (1 - time), self.k) * self.theta)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t."""
        return 1 - time, time

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        return -1.0, 1.0, self.theta * self.k ** (2 * time) / (1 - time) ** 2


def variance(odds: Any, k: float) -> Any:
    """Return sigma^2 / theta at w = t / (1 - t), a float or a tensor."""
    c = 2 * math.log(k)
    logarithm, t = log1p(odds), odds / (1 + odds)
    series = 0.0
    for coefficient in _coefficients(c):
        series = (series + coefficient) * t
    return expm1(logarithm + c * t) - (logarithm - series) * (c * math.exp(c))


def odds(variance_: Any, k: float) -> Any:
    """Return the w = t / (1 - t) at which sigma^2 / theta is `variance_`, a float or a tensor."""
    c = 2 * math.log(k)
    # The slope exp(c t) is at least 1: the root is at most the value itself.
    found = variance_
    for _ in range(_ITERATIONS):
        slope = exp(c * found / (1 + found))
        found = found - (variance(found, k) - variance_) / slope
    return found


STANDARD = BrownianBridge(k=2.6, theta=0.52)
"""The numbers of Lay et al. 2023, section 4."""


@lru_cache(maxsize=8)
def _coefficients(c: float) -> tuple[float, ...]:
    """Return h_m / (m + 1) from the last m to the first, to the precision of a float64."""
    terms = [math.exp(-c)]
    while len(terms) < c or terms[-1] > 1e-18:
        terms.append(terms[-1] * c / len(terms))
    tails, tail = [], 0.0
    for m in range(len(terms) - 2, -1, -1):
        tail += terms[m + 1]
        tails.append(tail / (m + 1))
    return tuple(tails)
