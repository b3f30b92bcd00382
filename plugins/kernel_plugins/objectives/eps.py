"""`eps`: noise prediction for every schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.scalars import log


class Eps(Objective):
    """Predict the noise from x scaled to unit variance.

    Ho et al. 2020, eq. 14, for any process: the network is given ln(sigma) / 4 instead of a time,
    so every schedule can train and sample it.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    preserves_variance: ClassVar[bool] = True

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        return Preconditioning(
            c_skip=1.0,
            c_out=-sigma,
            c_in=(sigma**2 + self.sigma_data**2) ** -0.5,
            c_noise=log(sigma) / 4,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `eps`."""
    return Eps
