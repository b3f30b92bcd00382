"""`x0`: data prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.scalars import log


class X0(Objective):
    """Predict the clean data from x scaled to unit variance.

    Salimans and Ho 2022, section 4: D is sigma_data times the network's output.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    preserves_variance: ClassVar[bool] = True

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        return Preconditioning(
            c_skip=0.0,
            c_out=self.sigma_data,
            c_in=(sigma**2 + self.sigma_data**2) ** -0.5,
            c_noise=log(sigma) / 4,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `x0`."""
    return X0
