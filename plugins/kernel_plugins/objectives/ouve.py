"""`ouve`: the Ornstein-Uhlenbeck process towards noisy speech of SGMSE+."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.ouve import STANDARD, OrnsteinUhlenbeck


class Ouve(Objective):
    """Predict the noise of a process that drifts to the origin y while its noise grows.

    Richter et al. 2023 (SGMSE+), eq. 2 to 6: x_t = a x0 + (1 - a) y + s n with a = exp(-theta t).
    The noise grows from sigma_low to sigma_high. The network is given x_t and t. The paper's noise
    is complex with variance 1, so 1/2 in each real channel: divide its sigmas by sqrt(2).
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    theta: float = Field(
        STANDARD.theta, gt=0, description="stiffness: how fast the mean moves to y"
    )
    sigma_low: float = Field(
        STANDARD.sigma_low, gt=0, description="smallest noise scale (sigma_min)"
    )
    sigma_high: float = Field(
        STANDARD.sigma_high, gt=0, description="largest noise scale (sigma_max)"
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.sigma_high <= self.sigma_low:
            raise ValueError(
                f"sigma_high {self.sigma_high} is not above sigma_low {self.sigma_low}"
            )
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Return `origin`, which the task must give."""
        return frozenset({"origin"})

    @property
    def path(self) -> OrnsteinUhlenbeck:
        """Return the process."""
        return OrnsteinUhlenbeck(self.theta, self.sigma_low, self.sigma_high)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        path = self.path
        time = path.time(sigma)
        a, b = path.coefficients(time)
        return Preconditioning(c_skip=1.0, c_out=-sigma, c_in=a, c_noise=time, c_origin=b)


@hookimpl
def objective() -> type[Objective]:
    """Offer `ouve`."""
    return Ouve
