"""`ve`: sigmas in geometric progression."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.mathematics.scalars import exp
from kernel_plugins.schedules._curve import Curve


class VeSchedule(Curve):
    """Sample on a geometric grid; train where ln sigma is uniform.

    Song et al. 2021 (score SDE), appendix C; also called linear log-SNR or log-linear.
    """

    sigma_min: float = Field(0.02, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(100.0, gt=0, description="largest sigma")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        return self.sigma_max * exp(part * math.log(self.sigma_min / self.sigma_max))


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `ve`."""
    return VeSchedule
