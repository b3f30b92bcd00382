"""The Ornstein-Uhlenbeck process towards noisy speech, with variance exploding.

Richter et al. 2023 (SGMSE+), eq. 2 to 6: x_t = a x0 + (1 - a) y + s n with a = exp(-theta t). With
l = ln(sigma_high / sigma_low),

    sigma = s / a = sigma_low sqrt(l / (theta + l) (exp(2 (theta + l) t) - 1)).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process
from kernel_plugins.mathematics.scalars import exp, expm1, log1p, sqrt

__all__ = ["STANDARD", "OrnsteinUhlenbeck"]


@attrs.frozen
class OrnsteinUhlenbeck(Process):
    """The process of the head of this module. Its methods take floats or tensors."""

    name: ClassVar[str] = "ouve"

    theta: float
    sigma_low: float
    sigma_high: float

    @property
    def growth(self) -> float:
        """Return l."""
        return math.log(self.sigma_high / self.sigma_low)

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma."""
        rate = self.theta + self.growth
        return log1p(sigma**2 * (rate / (self.growth * self.sigma_low**2))) / (2 * rate)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t."""
        rate = self.theta + self.growth
        return sqrt(expm1(2 * rate * time) * (self.growth / rate)) * self.sigma_low

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t."""
        return exp(-self.theta * time), -expm1(-self.theta * time)

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        fall = -self.theta * exp(-self.theta * time)
        rise = exp(2 * (self.theta + self.growth) * time)
        return fall, -fall, 2 * self.growth * self.sigma_low**2 * rise


STANDARD = OrnsteinUhlenbeck(theta=1.5, sigma_low=0.05, sigma_high=0.5)
"""The numbers of Richter et al. 2023, section III-C."""
