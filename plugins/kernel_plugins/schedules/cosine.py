"""`cosine`: equal steps of the angle whose tangent is sigma."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from kernel import NativePath, Schedule, hookimpl
from kernel_plugins.mathematics.cosine import STANDARD, Circle
from kernel_plugins.schedules._curve import Curve


class CosineSchedule(Curve):
    """Sample at equal steps of the angle phi, and train where phi is uniform.

    tan(phi) = sigma / sigma_data; sigma_data is the objective's, if it is on this circle, else 1.

    The cosine schedule of Nichol and Dhariwal 2021 in continuous time, with the ends cut off
    (Salimans and Ho 2022, section 4). `shift` S multiplies every sigma except the ends, as simple
    diffusion does for larger signals (Hoogeboom et al. 2023, eq. 4): log-SNR - 2 ln S.
    """

    process: ClassVar[str | None] = Circle.name

    sigma_min: float = Field(0.002, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(100.0, gt=0, description="largest sigma")
    shift: float = Field(1.0, gt=0, description="factor on sigma; above 1 for larger signals")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        path: NativePath = self.adopted or STANDARD
        high, low = (path.time(end / self.shift) for end in (self.sigma_max, self.sigma_min))
        return self.shift * path.sigma(high + part * (low - high))


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `cosine`."""
    return CosineSchedule
