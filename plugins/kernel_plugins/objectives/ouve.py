"""`ouve`: the Ornstein-Uhlenbeck process towards noisy speech of SGMSE+."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, model_validator

from kernel import Objective, Preconditioning, exp, expm1, hookimpl, log1p, sqrt


class Ouve(Objective):
    """Predict the noise of a process that drifts to the origin y while its noise grows.

    Richter et al. 2023 (SGMSE+), eq. 2 to 6: x_t = a x0 + (1 - a) y + s n with a = exp(-theta t)
    and, l = ln(sigma_high / sigma_low),

        sigma = s / a = sigma_low sqrt(l / (theta + l) (exp(2 (theta + l) t) - 1)).

    The network is given x_t itself and its time t. Unit-variance complex noise, as theirs is, has
    a variance of 1/2 in each real channel: divide their sigmas by sqrt(2).
    """

    theta: float = Field(1.5, gt=0, description="stiffness: how fast the mean moves to y")
    sigma_low: float = Field(0.05, gt=0, description="smallest noise scale (sigma_min)")
    sigma_high: float = Field(0.5, gt=0, description="largest noise scale (sigma_max)")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.sigma_high <= self.sigma_low:
            raise ValueError(
                f"sigma_high {self.sigma_high} is not above sigma_low {self.sigma_low}"
            )
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Return that the task must give an origin."""
        return frozenset({"origin"})

    @property
    def path(self) -> Self:
        """Return the objective itself, which knows its time."""
        return self

    @property
    def growth(self) -> float:
        """Return l."""
        return math.log(self.sigma_high / self.sigma_low)

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma, a float or a tensor."""
        rate = self.theta + self.growth
        return log1p(sigma**2 * (rate / (self.growth * self.sigma_low**2))) / (2 * rate)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t, a float or a tensor."""
        rate = self.theta + self.growth
        return sqrt(expm1(2 * rate * time) * (self.growth / rate)) * self.sigma_low

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t, a float or a tensor."""
        return exp(-self.theta * time), -expm1(-self.theta * time)

    def rates(self, time: float) -> tuple[float, float, float]:
        """Return the derivatives of a, of b and of sigma^2."""
        fall = -self.theta * math.exp(-self.theta * time)
        rise = math.exp(2 * (self.theta + self.growth) * time)
        return fall, -fall, 2 * self.growth * self.sigma_low**2 * rise

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        time = self.time(sigma)
        a, b = self.coefficients(time)
        return Preconditioning(c_skip=1.0, c_out=-sigma, c_in=a, c_noise=time, c_origin=b)


@hookimpl
def objective() -> type[Objective]:
    """Offer `ouve`."""
    return Ouve
