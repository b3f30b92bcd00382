"""`bbed`: the Brownian bridge with exponential diffusion, from noisy to clean speech."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl, sqrt
from kernel_plugins._bbed import odds, variance


class Bbed(Objective):
    """Predict the noise of a process that moves to the origin y at a steady pace.

    Lay et al. 2023 (BBED): x_t = (1 - t) x0 + t y + s n with the diffusion sqrt(theta) k^t, so that
    sigma = s / (1 - t) grows without bound as t goes to 1. The network is given x_t itself and its
    time t. Unit-variance complex noise, as theirs is, has a variance of 1/2 in each real channel:
    halve their theta.
    """

    k: float = Field(2.6, gt=1, le=20, description="base of the growth of the noise")
    theta: float = Field(0.52, gt=0, description="scale of the variance")

    @property
    def needs(self) -> frozenset[str]:
        """Return that the task must give an origin."""
        return frozenset({"origin"})

    @property
    def path(self) -> Self:
        """Return the objective itself, which knows its time."""
        return self

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma, a float or a tensor."""
        w = odds(sigma**2 / self.theta, self.k)
        return w / (1 + w)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t < 1, a float or a tensor."""
        return sqrt(variance(time / (1 - time), self.k) * self.theta)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t, a float or a tensor."""
        return 1 - time, time

    def rates(self, time: float) -> tuple[float, float, float]:
        """Return the derivatives of a, of b and of sigma^2."""
        return -1.0, 1.0, self.theta * self.k ** (2 * time) / (1 - time) ** 2

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        w = odds(sigma**2 / self.theta, self.k)
        time = w / (1 + w)
        return Preconditioning(
            c_skip=1.0, c_out=-sigma, c_in=1 / (1 + w), c_noise=time, c_origin=time
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `bbed`."""
    return Bbed
