"""`v`: velocity prediction on the circle of signal and noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.cosine import Circle


class V(Objective):
    """Predict the velocity v = alpha n - beta x0 / sigma_data on the circle of signal and noise.

    Salimans and Ho 2022, section 4, with alpha = cos(phi), beta = sin(phi) and
    tan(phi) = sigma / sigma_data; simple diffusion (Hoogeboom et al. 2023) trains it. The network
    is given the angle as phi / (pi / 2), from 0 to 1.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    preserves_variance: ClassVar[bool] = True

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    @property
    def path(self) -> Circle:
        """Return the process; its time is the angle."""
        return Circle(self.sigma_data)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        data = self.sigma_data
        total = sigma**2 + data**2
        return Preconditioning(
            c_skip=data**2 / total,
            c_out=-sigma * data / total**0.5,
            c_in=total**-0.5,
            c_noise=self.path.time(sigma) * (2 / math.pi),
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `v`."""
    return V
