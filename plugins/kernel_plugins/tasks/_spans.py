"""Spans of a recording, as text and in samples, and their option."""

from __future__ import annotations

import attrs
from pydantic import Field, field_validator

from kernel import UsageError
from kernel_plugins.tasks._edit import Recording
from kernel_plugins.tasks._gap_edit import GapEdit

_ROUNDING = 0.0005
"""Seconds by which a span may exceed a recording: players show rounded ends."""


@attrs.frozen
class Span:
    """A stretch in seconds; a `stop` of None is the end of the recording."""

    start: float
    stop: float | None

    @classmethod
    def parse(cls, text: str) -> Span:
        """Return the span of the text `START:STOP`. Raises ValueError."""
        start, colon, stop = (part.strip() for part in text.partition(":"))
        try:
            span = cls(float(start or 0), float(stop) if stop else None)
        except ValueError:
            colon = ""
        if not colon:
            raise ValueError(f"{text!r} is not a span; write START:STOP in seconds, like 2.0:4.0")
        if not 0 <= span.start < float("inf"):
            raise ValueError(f"the span {text!r} is outside every recording; count from 0 s")
        if span.stop is not None and not span.stop > span.start:
            raise ValueError(
                f"the span {text!r} is empty or reversed; its first number is where it starts, its"
                " second where it stops"
            )
        return span

    def samples(self, recording: Recording) -> tuple[int, int]:
        """Return the first sample and the one after the last. Raises UsageError beyond the end."""
        length, rate = recording.audio.shape[-1], recording.sample_rate
        stop = recording.seconds if self.stop is None else self.stop
        if self.start >= recording.seconds or stop > recording.seconds + _ROUNDING:
            raise UsageError(
                f"the span {self} is not inside {recording.path}, which is"
                f" {recording.seconds:.3f} s long; change -o task.span"
            )
        first = min(round(self.start * rate), length - 1)
        return first, max(first + 1, min(round(stop * rate), length))

    def __str__(self) -> str:
        return f"{self.start:g}:{'' if self.stop is None else f'{self.stop:g}'}"


class SpanEdit(GapEdit):
    """Make spans of a recording anew. Samples outside stay as they were read."""

    span: str | None = Field(
        None, description="spans to make, START:STOP in seconds, separated by commas"
    )

    @field_validator("span")
    @classmethod
    def _readable(cls, span: str | None) -> str | None:
        for part in () if span is None else span.split(","):
            Span.parse(part)
        return span

    def spans(self, recording: Recording) -> list[tuple[int, int]]:
        """Return the spans in samples. Raises UsageError when none is named or one is outside."""
        if self.span is None:
            raise UsageError(
                f"the task makes a part of {recording.path} anew and no part is named; name it"
                " in seconds, like -o task.span=2.0:4.0"
            )
        return [Span.parse(part).samples(recording) for part in self.span.split(",")]
