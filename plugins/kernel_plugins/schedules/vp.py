"""`vp`: equal steps of the time of a linear beta."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.mathematics.vp import STANDARD, VariancePreserving
from kernel_plugins.schedules._timed import Timed


class VpSchedule(Timed):
    """Sample at equal steps of the time t of a linear beta, and train where t is uniform.

    Song et al. 2021 (score SDE), eq. 33. beta_min and beta_max are the objective's, if it has this
    process, else 0.1 and 20.
    """

    process: ClassVar[str | None] = VariancePreserving.name
    standard: ClassVar[VariancePreserving] = STANDARD

    beta_min: float | None = Field(
        None, gt=0, description="beta at t = 0; if not set, the process's"
    )
    beta_max: float | None = Field(
        None, gt=0, description="beta at t = 1; if not set, the process's"
    )
    t_min: float = Field(1e-3, gt=0, lt=1, description="smallest time (their epsilon)")
    t_max: float = Field(1.0, gt=0, le=1, description="largest time")


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `vp`."""
    return VpSchedule
