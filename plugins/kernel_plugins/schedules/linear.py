"""`linear`: equal steps of sigma."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.schedules._curve import Curve


class LinearSchedule(Curve):
    """Sample at equal steps of sigma, and train where sigma is uniform.

    A baseline for the other schedules; `edm` with rho 1 has the same grid.
    """

    sigma_min: float = Field(0.002, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(80.0, gt=0, description="largest sigma")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        return self.sigma_max + part * (self.sigma_min - self.sigma_max)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `linear`."""
    return LinearSchedule
