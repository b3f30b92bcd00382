"""`quadratic`: equal steps of the square root of sigma."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.schedules._curve import Curve


class QuadraticSchedule(Curve):
    """Sample at equal steps of the root of sigma; train where the root is uniform.

    `edm` with rho 2 has the same grid.
    """

    sigma_min: float = Field(0.002, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(80.0, gt=0, description="largest sigma")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        high, low = self.sigma_max**0.5, self.sigma_min**0.5
        return (high + part * (low - high)) ** 2


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `quadratic`."""
    return QuadraticSchedule
