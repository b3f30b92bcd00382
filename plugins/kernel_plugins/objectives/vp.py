"""`vp`: variance preserving, noise prediction in the time of a linear beta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.vp import STANDARD, VariancePreserving


class Vp(Objective):
    """Predict the noise from x scaled to unit variance and from the time of a linear beta.

    Song et al. 2021 (score SDE), as completed by Karras et al. 2022, Table 1, column VP. With
    beta(t) = beta_min + t (beta_max - beta_min), t in [0, 1],

        (sigma(t) / sigma_data)^2 = exp(beta_min t + (beta_max - beta_min) t^2 / 2) - 1.

    The network is given t. Theirs is given 999 t; their time embedding expects that scale.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    preserves_variance: ClassVar[bool] = True

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")
    beta_min: float = Field(STANDARD.beta_min, gt=0, description="beta at t = 0")
    beta_max: float = Field(STANDARD.beta_max, gt=0, description="beta at t = 1")

    @property
    def path(self) -> VariancePreserving:
        """Return the process."""
        return VariancePreserving(self.beta_min, self.beta_max, self.sigma_data)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        return Preconditioning(
            c_skip=1.0,
            c_out=-sigma,
            c_in=(sigma**2 + self.sigma_data**2) ** -0.5,
            c_noise=self.path.time(sigma),
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `vp`."""
    return Vp
