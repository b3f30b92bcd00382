"""The variance-preserving process of a linear beta.

Song et al. 2021 (score SDE), eq. 32 and 33: with beta(t) = beta_min + t (beta_max - beta_min),
t in [0, 1], and B(t) = beta_min t + (beta_max - beta_min) t^2 / 2 its integral, the state
x_t = exp(-B / 2) x0 / sigma_data + sqrt(1 - exp(-B)) n has

    sigma = sigma_data sqrt(exp(B) - 1).
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process
from kernel_plugins.mathematics.scalars import exp, expm1, log1p, sqrt

__all__ = ["STANDARD", "VariancePreserving"]


@attrs.frozen
class VariancePreserving(Process):
    """The process of the head of this module. Its methods take floats or tensors."""

    name: ClassVar[str] = "vp"

    beta_min: float
    beta_max: float
    sigma_data: float = 1.0

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma."""
        exponent = log1p((sigma / self.sigma_data) ** 2)
        slope = self.beta_max - self.beta_min
        # This form of the quadratic's root loses no digits where sigma is small.
        root = sqrt(self.beta_min**2 + 2 * slope * exponent)
        return 2 * exponent / (self.beta_min + root)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t."""
        return sqrt(expm1(self._exponent(time))) * self.sigma_data

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t; b is 0."""
        return exp(-self._exponent(time) / 2) / self.sigma_data, 0.0

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        beta = self.beta_min + time * (self.beta_max - self.beta_min)
        a, _ = self.coefficients(time)
        return -a * beta / 2, 0.0, exp(self._exponent(time)) * beta * self.sigma_data**2

    def _exponent(self, time: Any) -> Any:
        slope = self.beta_max - self.beta_min
        return time * (self.beta_min + time * slope / 2)


STANDARD = VariancePreserving(beta_min=0.1, beta_max=20.0)
"""The numbers of Song et al. 2021, appendix C."""
