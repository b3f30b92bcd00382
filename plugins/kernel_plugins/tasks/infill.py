"""`infill`: make what is missing inside a recording."""

from __future__ import annotations

from kernel import Task, hookimpl
from kernel_plugins.tasks._edit import Edited, Recording
from kernel_plugins.tasks._spans import SpanEdit


class Infill(SpanEdit):
    """Make what is missing in `span` from what is before and after it.

    What the file holds there is not looked at. "Infill" of Levy et al. 2023, table 2: A keeps the
    samples outside of the span.
    """

    def edit(self, recording: Recording) -> Edited:
        """Return the gaps to fill. Raises UsageError for spans that are missing or do not fit."""
        return self.gapped(recording, self.spans(recording))


@hookimpl
def task() -> type[Task]:
    """Offer `infill`."""
    return Infill
