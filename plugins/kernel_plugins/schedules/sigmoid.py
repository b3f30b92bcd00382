"""`sigmoid`: the sigmoid curve of Jabri et al. 2023."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, model_validator

from kernel import Schedule, hookimpl
from kernel_plugins.mathematics.scalars import exp, sqrt
from kernel_plugins.schedules._curve import Curve


class SigmoidSchedule(Curve):
    """Sample at equal steps of the t of a sigmoid curve, and train where t is uniform.

    Jabri et al. 2023, algorithm 1: with S the sigmoid and S_t = S((start + t (end - start)) / tau),
    the signal's share alpha^2 = 1 / (1 + sigma^2) is (S_1 - S_t) / (S_1 - S_0). A larger `tau`
    gives more noise levels in the middle.
    """

    sigma_min: float = Field(0.01, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(100.0, gt=0, description="largest sigma")
    start: float = Field(-3.0, description="place of the data on the sigmoid")
    end: float = Field(3.0, description="place of the noise on the sigmoid")
    tau: float = Field(1.0, gt=0, description="temperature of the sigmoid")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start} is not below end {self.end}")
        return self

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        high, low = self._time(self.sigma_max), self._time(self.sigma_min)
        t = high + part * (low - high)
        level = 1 / (1 + exp(-(self.start + t * (self.end - self.start)) / self.tau))
        first, last = self._ends()
        share = (last - level) / (last - first)
        return sqrt((1 - share) / share)

    def _ends(self) -> tuple[float, float]:
        """Return the sigmoid at t = 0 and at t = 1."""
        first, last = (1 / (1 + math.exp(-end / self.tau)) for end in (self.start, self.end))
        return first, last

    def _time(self, sigma: float) -> float:
        first, last = self._ends()
        level = last - (last - first) / (1 + sigma**2)
        return (self.tau * math.log(level / (1 - level)) - self.start) / (self.end - self.start)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `sigmoid`."""
    return SigmoidSchedule
