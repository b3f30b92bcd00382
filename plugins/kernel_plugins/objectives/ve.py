"""`ve`: variance exploding, the score network of Song et al. 2021."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.scalars import log


class Ve(Objective):
    """Predict minus the noise from the unscaled x, as variance-exploding score networks do.

    Song et al. 2021 (score SDE), as completed by Karras et al. 2022, Table 1, column VE. The
    network's input has values as large as sigma.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        return Preconditioning(c_skip=1.0, c_out=sigma, c_in=1.0, c_noise=log(sigma / 2))


@hookimpl
def objective() -> type[Objective]:
    """Offer `ve`."""
    return Ve
