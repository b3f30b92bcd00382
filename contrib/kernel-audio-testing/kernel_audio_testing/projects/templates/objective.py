"""`mine`: what the network predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl


class Mine(Objective):
    """Predict v, which is x0 where there is only noise and the noise where there is hardly any.

    Salimans and Ho 2022, appendix D, with the angle atan(sigma / sigma_data). To make it your own,
    replace the four functions. The checks want the input c_in x and the target (x0 - c_skip x) /
    c_out of about unit variance at every sigma, and a c_noise that goes one way.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        ratio = sigma / self.sigma_data
        angle = math.atan(ratio) if isinstance(ratio, float) else ratio.atan()
        total = sigma**2 + self.sigma_data**2
        return Preconditioning(
            c_skip=self.sigma_data**2 / total,
            c_out=-sigma * self.sigma_data / total**0.5,
            c_in=total**-0.5,
            c_noise=angle * (2 / math.pi),
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `mine`."""
    return Mine
