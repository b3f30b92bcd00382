"""`variation`: a new sound like a recording."""

from __future__ import annotations

from pydantic import Field

from kernel import Task, hookimpl
from kernel_plugins.tasks._edit import Edit, start_from


class Variation(Edit):
    """Make a whole recording anew from itself mixed with noise; more noise is freer.

    Meng et al. 2022 (SDEdit), algorithm 1. Sampling starts from a mix of noise and recording in the
    ratio of `strength` to 1 - strength: the state at sigma = strength / (1 - strength) standard
    deviations of the data.
    """

    strength: float = Field(
        0.5, gt=0, lt=1, description="share of noise at the start; near 0 nothing changes"
    )

    @property
    def start(self) -> float | None:
        """Return strength / (1 - strength)."""
        return start_from(self.strength)


@hookimpl
def task() -> type[Task]:
    """Offer `variation`."""
    return Variation
