"""`rf`: rectified flow, the straight path from data to noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.rf import RectifiedFlow


class Rf(Objective):
    """Predict the velocity v = n - x0 / sigma_data of the path (1 - t) x0 / sigma_data + t n.

    With sigma_data 1 this is rectified flow as published (Liu et al. 2022, eq. 1; the weight 1 on v
    and the network's time t are Esser et al. 2024, section 2). In x = x0 + sigma n the path is
    sigma = sigma_data t / (1 - t), and one division turns v into D = x0.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    @property
    def path(self) -> RectifiedFlow:
        """Return the process."""
        return RectifiedFlow(self.sigma_data)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions at `sigma`, a float > 0 or a tensor [B]."""
        total = sigma + self.sigma_data
        return Preconditioning(
            c_skip=self.sigma_data / total,
            c_out=-sigma * self.sigma_data / total,
            c_in=1 / total,
            c_noise=sigma / total,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `rf`."""
    return Rf
