"""`vp`: variance preserving, noise prediction in the time of a linear beta."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl, log1p, sqrt


class Vp(Objective):
    """Predict the noise from x scaled to unit variance, told the time of a linear beta.

    Song et al. 2021 (score SDE), as completed by Karras et al. 2022, Table 1, column VP. With
    beta(t) = beta_min + t (beta_max - beta_min), t in [0, 1],

        sigma(t)^2 = exp(beta_min t + (beta_max - beta_min) t^2 / 2) - 1.

    The network is told t; theirs is told 999 t, which is a matter of its embedding.
    """

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")
    beta_min: float = Field(0.1, gt=0, description="beta at t = 0")
    beta_max: float = Field(20.0, gt=0, description="beta at t = 1")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        variance = sigma**2
        slope = self.beta_max - self.beta_min
        # The root of the quadratic in t that loses no digits where sigma is small.
        exponent = log1p(variance)
        root = sqrt(self.beta_min**2 + 2 * slope * exponent)
        return Preconditioning(
            c_skip=1.0,
            c_out=-sigma,
            c_in=(variance + self.sigma_data**2) ** -0.5,
            c_noise=2 * exponent / (self.beta_min + root),
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `vp`."""
    return Vp
