"""`ouve`: equal steps of the time of SGMSE+'s process."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from kernel import Schedule, expm1, hookimpl, sqrt
from kernel_plugins.schedules._curve import Curve


class OuveSchedule(Curve):
    """Sample at equal steps of t from 1 to `t_min`, and train where t is uniform.

    Richter et al. 2023 (SGMSE+), section II-A; the map from t to sigma is that of the objective
    `ouve`, with the same three options.
    """

    theta: float = Field(1.5, gt=0, description="stiffness: how fast the mean moves to y")
    sigma_low: float = Field(0.05, gt=0, description="smallest noise scale (their sigma_min)")
    sigma_high: float = Field(0.5, gt=0, description="largest noise scale (their sigma_max)")
    t_min: float = Field(0.03, gt=0, lt=1, description="smallest time (their t_eps)")

    @property
    def sigma_min(self) -> float:
        """Return the sigma at t_min."""
        return float(self._at(self.t_min))

    @property
    def sigma_max(self) -> float:
        """Return the sigma at t = 1."""
        return float(self._at(1.0))

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        return self._at(1 + part * (self.t_min - 1))

    def _at(self, t: Any) -> Any:
        growth = math.log(self.sigma_high / self.sigma_low)
        rate = self.theta + growth
        return sqrt(expm1(2 * rate * t) * (growth / rate)) * self.sigma_low


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `ouve`."""
    return OuveSchedule
