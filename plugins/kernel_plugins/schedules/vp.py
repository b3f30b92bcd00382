"""`vp`: equal steps of the time of a linear beta."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from kernel import Schedule, expm1, hookimpl, sqrt
from kernel_plugins.schedules._curve import Curve


class VpSchedule(Curve):
    """Sample at equal steps of the time t of a linear beta, and train where t is uniform.

    Song et al. 2021 (score SDE), eq. 33: with the slope b = beta_max - beta_min,
    sigma^2 = exp(beta_min t + b t^2 / 2) - 1. The default range is that of t from 1 to 0.001.
    """

    sigma_min: float = Field(0.0105, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(152.1, gt=0, description="largest sigma")
    beta_min: float = Field(0.1, gt=0, description="beta at t = 0")
    beta_max: float = Field(20.0, gt=0, description="beta at t = 1")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        high, low = self._time(self.sigma_max), self._time(self.sigma_min)
        t = high + part * (low - high)
        slope = self.beta_max - self.beta_min
        return sqrt(expm1(t * (self.beta_min + t * slope / 2)))

    def _time(self, sigma: float) -> float:
        exponent = math.log1p(sigma**2)
        root = math.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * exponent)
        return 2 * exponent / (self.beta_min + root)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `vp`."""
    return VpSchedule
