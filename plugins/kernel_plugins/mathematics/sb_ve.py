"""The Schroedinger bridge from noisy to clean speech, with variance exploding.

Jukic et al. 2024, Table 1, column VE: sigma_t^2 = c (k^(2t) - 1) / (2 ln k), sigma_T^2 is its value
at t = 1, and

    x_t = (1 - q) x0 + q y + sigma_T sqrt(q (1 - q)) n,    q = sigma_t^2 / sigma_T^2,
    sigma^2 = sigma_T^2 q / (1 - q).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process
from kernel_plugins.mathematics.scalars import expm1, log1p, sqrt

__all__ = ["STANDARD", "SchroedingerBridge"]


@attrs.frozen
class SchroedingerBridge(Process):
    """The process of the head of this module, t < 1. Its methods take floats or tensors."""

    name: ClassVar[str] = "sb-ve"

    k: float
    c: float

    @property
    def end_variance(self) -> float:
        """Return sigma_T^2."""
        return self.c * (self.k**2 - 1) / (2 * math.log(self.k))

    def time(self, sigma: Any) -> Any:
        """Return the t at which the bridge has this sigma."""
        share = sigma**2 / (sigma**2 + self.end_variance)
        return log1p(share * (self.k**2 - 1)) / (2 * math.log(self.k))

    def sigma(self, time: Any) -> Any:
        """Return sigma at t."""
        a, b = self.coefficients(time)
        return sqrt(b / a * self.end_variance)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t."""
        share = expm1(2 * math.log(self.k) * time) / (self.k**2 - 1)
        return 1 - share, share

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        rise = 2 * math.log(self.k) * self.k ** (2 * time) / (self.k**2 - 1)
        a, _ = self.coefficients(time)
        return -rise, rise, self.end_variance * rise / a**2


STANDARD = SchroedingerBridge(k=2.6, c=0.4)
"""The numbers of Jukic et al. 2024, section 4."""
