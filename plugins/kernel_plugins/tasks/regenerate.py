"""`regenerate`: make a part of a recording again, like the original."""

from __future__ import annotations

from pydantic import Field

from kernel import Task, hookimpl
from kernel_plugins.tasks._edit import Edited, Recording, start_from
from kernel_plugins.tasks._spans import SpanEdit


class Regenerate(SpanEdit):
    """Make `span` again from its samples mixed with noise, and from the sound around it.

    "Regenerate" of Levy et al. 2023, table 2. Its start k z + (1 - k) x0 is the state x0 + sigma z
    at sigma = k / (1 - k) standard deviations of the data, and sampling starts at that sigma.
    """

    k: float = Field(0.85, gt=0, lt=1, description="share of noise at the start; larger is freer")

    @property
    def start(self) -> float | None:
        """Return k / (1 - k)."""
        return start_from(self.k)

    def edit(self, recording: Recording) -> Edited:
        """Return the parts to make. Raises UsageError for spans that are missing or do not fit."""
        return self.gapped(recording, self.spans(recording), recording.audio)


@hookimpl
def task() -> type[Task]:
    """Offer `regenerate`."""
    return Regenerate
