"""`sb-ve`: the Schroedinger bridge from noisy to clean speech, with variance exploding."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field

from kernel import Objective, Preconditioning, expm1, hookimpl, log1p, sqrt


class SbVe(Objective):
    """Predict the data on a bridge that ends in the origin y without any noise.

    Jukic et al. 2024, Table 1, column VE: with sigma_t^2 = c (k^(2t) - 1) / (2 ln k) and its value
    sigma_T^2 at t = 1,

        x_t = (1 - q) x0 + q y + sigma_T sqrt(q (1 - q)) n,    q = sigma_t^2 / sigma_T^2.

    In x = x0 + sigma n that is sigma^2 = sigma_T^2 q / (1 - q): y is reached as sigma goes to
    infinity. The network is given x_t itself and its time t.
    """

    k: float = Field(2.6, gt=1, description="base of the growth of the noise")
    c: float = Field(0.4, gt=0, description="scale of the variance")

    @property
    def needs(self) -> frozenset[str]:
        """Return that the task must give an origin."""
        return frozenset({"origin"})

    @property
    def end_variance(self) -> float:
        """Return sigma_T^2."""
        return self.c * (self.k**2 - 1) / (2 * math.log(self.k))

    @property
    def path(self) -> Self:
        """Return the objective itself, which knows its time."""
        return self

    def time(self, sigma: Any) -> Any:
        """Return the t at which the bridge has this sigma, a float or a tensor."""
        share = sigma**2 / (sigma**2 + self.end_variance)
        return log1p(share * (self.k**2 - 1)) / (2 * math.log(self.k))

    def sigma(self, time: Any) -> Any:
        """Return sigma at t < 1, a float or a tensor."""
        a, b = self.coefficients(time)
        return sqrt(self.end_variance * b / a)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t, a float or a tensor."""
        share = expm1(2 * math.log(self.k) * time) / (self.k**2 - 1)
        return 1 - share, share

    def rates(self, time: float) -> tuple[float, float, float]:
        """Return the derivatives of a, of b and of sigma^2."""
        rise = 2 * math.log(self.k) * self.k ** (2 * time) / (self.k**2 - 1)
        a, _ = self.coefficients(time)
        return -rise, rise, self.end_variance * rise / a**2

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        total = sigma**2 + self.end_variance
        return Preconditioning(
            c_skip=0.0,
            c_out=self.sigma_data,
            c_in=self.end_variance / total,
            c_noise=self.time(sigma),
            c_origin=sigma**2 / total,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `sb-ve`."""
    return SbVe
