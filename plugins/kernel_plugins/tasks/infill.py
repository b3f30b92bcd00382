"""`infill`: fill a gap inside a recording."""

from __future__ import annotations

from kernel import Task, hookimpl
from kernel_plugins.tasks._edit import Edited, Recording
from kernel_plugins.tasks._spans import SpanEdit


class Infill(SpanEdit):
    """Fill `span` from the sound before and after it.

    The samples of the file in the span are not used. "Infill" of Levy et al. 2023, table 2: A keeps
    the samples outside of the span.
    """

    def edit(self, recording: Recording) -> Edited:
        """Return the gaps to fill. Raises UsageError for spans that are missing or do not fit."""
        return self.gapped(recording, self.spans(recording))


@hookimpl
def task() -> type[Task]:
    """Offer `infill`."""
    return Infill
