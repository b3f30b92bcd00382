"""`ouve`: equal steps of the time of SGMSE+'s process."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kernel import Schedule, UsageError, hookimpl
from kernel_plugins.mathematics.ouve import STANDARD, OrnsteinUhlenbeck
from kernel_plugins.schedules._timed import Timed


class OuveSchedule(Timed):
    """Sample at equal steps of t from 1 to `t_min`, and train where t is uniform.

    Richter et al. 2023 (SGMSE+), section II-A. theta, sigma_low and sigma_high are the objective's,
    if it has this process, else 1.5, 0.05 and 0.5.
    """

    process: ClassVar[str | None] = OrnsteinUhlenbeck.name
    standard: ClassVar[OrnsteinUhlenbeck] = STANDARD

    theta: float | None = Field(None, gt=0, description="stiffness; if not set, the process's")
    sigma_low: float | None = Field(
        None,
        gt=0,
        description="smallest noise scale (their sigma_min); if not set, the process's",
    )
    sigma_high: float | None = Field(
        None,
        gt=0,
        description="largest noise scale (their sigma_max); if not set, the process's",
    )
    t_min: float = Field(0.03, gt=0, lt=1, description="smallest time (their t_eps)")
    t_max: float = Field(1.0, gt=0, le=1, description="largest time")

    @property
    def own(self) -> OrnsteinUhlenbeck:
        """Return the process of the options. Raises UsageError if its noise does not grow."""
        process: OrnsteinUhlenbeck = super().own
        if process.sigma_high <= process.sigma_low:
            raise UsageError(
                f"schedule.sigma_high {process.sigma_high} is not above schedule.sigma_low "
                f"{process.sigma_low}; set both"
            )
        return process


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `ouve`."""
    return OuveSchedule
