"""`bbed`: equal steps of the time of the Brownian bridge with exponential diffusion."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kernel import Schedule, hookimpl, sqrt
from kernel_plugins._bbed import variance
from kernel_plugins.schedules._curve import Curve


class BbedSchedule(Curve):
    """Sample at equal steps of t from `t_max` to `t_min`, and train where t is uniform.

    Lay et al. 2023 (BBED); the map from t to sigma is that of the objective `bbed`, with the same
    two options. At t = 1, where the mean is the origin, sigma is infinite: the grid starts a little
    below.
    """

    k: float = Field(2.6, gt=1, le=20, description="base of the growth of the noise")
    theta: float = Field(0.52, gt=0, description="scale of the variance")
    t_min: float = Field(0.03, gt=0, lt=1, description="smallest time (their t_eps)")
    t_max: float = Field(0.999, gt=0, lt=1, description="largest time (their T)")

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
        return sqrt(variance(t / (1 - t), self.k) * self.theta)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `bbed`."""
    return BbedSchedule
