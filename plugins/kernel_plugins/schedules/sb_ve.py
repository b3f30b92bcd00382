"""`sb-ve`: equal steps of the time of the Schroedinger bridge with variance exploding."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.mathematics.sb_ve import STANDARD, SchroedingerBridge
from kernel_plugins.schedules._timed import Timed


class SbVeSchedule(Timed):
    """Sample at equal steps of t from `t_max` to `t_min`, and train where t is uniform.

    Jukic et al. 2024, section 3. k and c are the objective's, if it has this process, else 2.6 and
    0.4. sigma is infinite at t = 1, where the bridge is the origin, so the grid starts below 1.
    """

    process: ClassVar[str | None] = SchroedingerBridge.name
    standard: ClassVar[SchroedingerBridge] = STANDARD

    k: float | None = Field(
        None, gt=1, description="base of the growth of the noise; if not set, the process's"
    )
    c: float | None = Field(
        None, gt=0, description="scale of the variance; if not set, the process's"
    )
    t_min: float = Field(1e-4, gt=0, lt=1, description="smallest time")
    t_max: float = Field(0.999, gt=0, lt=1, description="largest time")


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `sb-ve`."""
    return SbVeSchedule
