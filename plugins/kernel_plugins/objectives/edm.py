"""`edm`: the preconditioned denoiser of Karras et al. 2022."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.scalars import log


class Edm(Objective):
    """Predict a mixture of x0 and noise whose input and target have unit variance at every sigma.

    Karras et al. 2022, Table 1, last column; `sigma_data` 0.5 is theirs.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    sigma_data: float = Field(0.5, gt=0, description="standard deviation of the data in x")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        data = self.sigma_data
        total = sigma**2 + data**2
        return Preconditioning(
            c_skip=data**2 / total,
            c_out=sigma * data / total**0.5,
            c_in=total**-0.5,
            c_noise=log(sigma) / 4,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `edm`."""
    return Edm
