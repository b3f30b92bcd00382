"""`bbed`: equal steps of the time of the Brownian bridge with exponential diffusion."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.mathematics.bbed import STANDARD, BrownianBridge
from kernel_plugins.schedules._timed import Timed


class BbedSchedule(Timed):
    """Sample at equal steps of t from `t_max` to `t_min`, and train where t is uniform.

    Lay et al. 2023 (BBED). k and theta are the objective's, if it has this process, else 2.6 and
    0.52. sigma is infinite at t = 1, where the mean is the origin, so the grid starts below 1.
    """

    process: ClassVar[str | None] = BrownianBridge.name
    standard: ClassVar[BrownianBridge] = STANDARD

    k: float | None = Field(
        None,
        gt=1,
        le=20,
        description="base of the growth of the noise; if not set, the process's",
    )
    theta: float | None = Field(
        None, gt=0, description="scale of the variance; if not set, the process's"
    )
    t_min: float = Field(0.03, gt=0, lt=1, description="smallest time (their t_eps)")
    t_max: float = Field(0.999, gt=0, lt=1, description="largest time (their T)")


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `bbed`."""
    return BbedSchedule
