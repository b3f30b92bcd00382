"""`continuation`: continue a recording after its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import attrs
from pydantic import Field

from kernel import InputError, Making, Request, Task, UsageError, hookimpl
from kernel_plugins.tasks._edit import Cut, Edited, Recording
from kernel_plugins.tasks._gap_edit import CONTEXT, GapEdit

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(eq=False, kw_only=True)
class Continued(Edited):
    """A recording continued until `ends`, a sample at its own rate for each of its windows.

    context: seconds that a window hears before its addition.
    """

    recording: Recording
    context: float
    ends: tuple[int, ...]


class Continuation(GapEdit):
    """Continue a recording after its end, from its last seconds.

    "Continuation" of Levy et al. 2023, table 2: A keeps the first samples of the window. The file
    is returned as it was read, with `more` seconds after it. An addition too long for one window
    and its context is made in several windows, each from the sound of the window before.
    """

    context: float | None = Field(
        None,
        gt=0,
        description="seconds of the end that the model hears; by default half a window, less for a"
        " shorter recording; with `more`, the rest of the fewest windows",
    )
    more: float | None = Field(
        None, gt=0, description="seconds to add; by default the rest of the window"
    )

    def edit(self, recording: Recording) -> Edited:
        """Return the recording with a gap after its end, for the first window.

        Raises InputError for a recording shorter than the context and UsageError for a context that
        fills a window.
        """
        context, more, windows = self._lengths(recording)
        rate, length = recording.sample_rate, recording.audio.shape[-1]
        ends = [length + round(more * number / windows * rate) for number in range(1, windows + 1)]
        return self._extended(recording, recording.audio, context, tuple(ends))

    def make(self, request: Request) -> Making:
        """Make the windows one after the other, and join them to one sound."""
        from torch.nn.functional import pad

        edit = first = cast(Continued, request)
        for number in range(len(first.ends)):
            made = yield self.windows(edit, number)
            audio = self.finish(self.joined(made, edit), edit)
            if edit.ends[1:]:
                edit = self._extended(edit.recording, audio, edit.context, edit.ends[1:], edit.gain)
        assert first.known is not None
        known = pad(first.known, (0, audio.shape[-1] - first.known.shape[-1]))
        return [self.sound(audio, attrs.evolve(first, known=known))]

    def _extended(
        self,
        recording: Recording,
        audio: Tensor,
        context: float,
        ends: tuple[int, ...],
        gain: float | None = None,
    ) -> Continued:
        """Return the edit that continues `audio` [C, L] to the first of `ends`."""
        import torch
        from torch.nn.functional import pad

        from kernel_plugins.tasks._seams import mended

        rate, length, window = recording.sample_rate, audio.shape[-1], self.samples
        # The window is filled to its end: no part of it counts as known silence.
        beyond = max(ends[0] - length, math.ceil(window / self.sample_rate * rate))
        sound = pad(audio, (0, beyond))
        known = torch.arange(length + beyond)[None] < length
        heard = mended(sound, torch.zeros_like(sound), known, round(self.crossfade * rate))
        edit = self.edited(recording, heard, known[:, : ends[0]], sound[:, : ends[0]], gain)
        end = math.floor(length * (self.sample_rate / rate))
        edit.keep[end:] = False
        context = min(context, length / rate)
        cut = Cut(max(0, end - round(context * self.sample_rate)), torch.ones(window))
        span = recording.seconds, ends[-1] / rate
        fields = attrs.asdict(edit, recurse=False) | {"cuts": (cut,), "spans": (span,)}
        return Continued(**fields, recording=recording, context=context, ends=ends)

    def _lengths(self, recording: Recording) -> tuple[float, float, int]:
        """Return the seconds of context, the seconds to add, and the number of windows."""
        window = self.samples / self.sample_rate
        context, more = self.context, self.more
        if context is None:
            least = window / 2 if more is None else window / CONTEXT
        elif context > recording.seconds:
            raise InputError(
                f"{recording.path} is {recording.seconds:.3f} s long, shorter than the context of"
                f" {context:g} s; lower -o task.context"
            )
        elif context >= window:
            raise UsageError(
                f"a context of {context:g} s fills the model's window of {window:.4g} s and leaves"
                " nothing to add; lower -o task.context"
            )
        else:
            least = context
        if more is None:
            context = min(recording.seconds, least)
            return context, window - context, 1
        windows = math.ceil(more / (window - least) - 1e-9)
        return (window - more / windows if context is None else context), more, windows


@hookimpl
def task() -> type[Task]:
    """Offer `continuation`."""
    return Continuation
