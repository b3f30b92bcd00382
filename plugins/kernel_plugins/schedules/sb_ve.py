"""`sb-ve`: equal steps of the time of the Schroedinger bridge with variance exploding."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from kernel import Schedule, expm1, hookimpl, sqrt
from kernel_plugins.schedules._curve import Curve


class SbVeSchedule(Curve):
    """Sample at equal steps of t from `t_max` to `t_min`, and train where t is uniform.

    Jukic et al. 2024, section 3; the map from t to sigma is that of the objective `sb-ve`, with the
    same two options. At t = 1, where the bridge is the origin itself, sigma is infinite: the grid
    starts a little below.
    """

    k: float = Field(2.6, gt=1, description="base of the growth of the noise")
    c: float = Field(0.4, gt=0, description="scale of the variance")
    t_min: float = Field(1e-4, gt=0, lt=1, description="smallest time")
    t_max: float = Field(0.999, gt=0, lt=1, description="largest time")

    @property
    def sigma_min(self) -> float:
        """Return the sigma at t_min."""
        return float(self._at(self.t_min))

    @property
    def sigma_max(self) -> float:
        """Return the sigma at t_max."""
        return float(self._at(self.t_max))

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        return self._at(self.t_max + part * (self.t_min - self.t_max))

    def _at(self, t: Any) -> Any:
        rate = 2 * math.log(self.k)
        whole = math.expm1(rate)
        variance = expm1(rate * t)
        return sqrt(variance * whole / (whole - variance) * (self.c / rate))


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `sb-ve`."""
    return SbVeSchedule
