"""`continuation`: make a recording go on."""

from __future__ import annotations

import math

import attrs
from pydantic import Field

from kernel import InputError, Task, UsageError, hookimpl
from kernel_plugins.tasks._edit import CONTEXT, Cut, Edited, GapEdit, Recording


class Continuation(GapEdit):
    """Make a recording go on after its end, from the last of it.

    "Continuation" of Levy et al. 2023, table 2: A keeps the first samples of the window. The file
    is returned as it was read with `more` seconds after it, as many as a window has room for beside
    its context.
    """

    context: float | None = Field(
        None,
        gt=0,
        description="seconds at the recording's end that are listened to; by default"
        " half a window, or less where the recording is shorter or `more` needs the room",
    )
    more: float | None = Field(
        None, gt=0, description="seconds to add; by default what the window has left"
    )

    def edit(self, recording: Recording) -> Edited:
        """Return the recording with a gap after its end.

        Raises InputError for a recording shorter than the context and UsageError for a window that
        is too short for context and addition.
        """
        import torch
        from torch.nn.functional import pad

        from kernel_plugins.tasks._seams import mended

        rate, length = recording.sample_rate, recording.audio.shape[-1]
        context, more = self._lengths(recording)
        window = self.samples
        total = length + round(more * rate)
        # The window is filled to its end, so that nothing is taken for known silence.
        beyond = max(total - length, math.ceil(window / self.sample_rate * rate))
        sound = pad(recording.audio, (0, beyond))
        known = torch.arange(length + beyond)[None] < length
        heard = mended(sound, torch.zeros_like(sound), known, round(self.crossfade * rate))
        edit = self.edited(recording, heard, known[:, :total], sound[:, :total])
        ratio = self.sample_rate / rate
        end = math.floor(length * ratio)
        edit.keep[end:] = False
        cut = Cut(max(0, end - round(context * self.sample_rate)), torch.ones(window))
        return attrs.evolve(edit, cuts=(cut,), spans=((length / rate, total / rate),))

    def _lengths(self, recording: Recording) -> tuple[float, float]:
        """Return the seconds that are listened to and those that are added."""
        window = self.samples / self.sample_rate
        asked, more = self.context, self.more
        if asked is not None and asked > recording.seconds:
            raise InputError(
                f"{recording.path} is {recording.seconds:.3f} s long, shorter than the context of"
                f" {asked:g} s; lower -o task.context"
            )
        free = window / 2 if more is None else max(window - more, window / CONTEXT)
        context = min(recording.seconds, free) if asked is None else asked
        most = window - context
        if most <= 0:
            raise UsageError(
                f"a context of {context:g} s fills the model's window of {window:.4g} s and leaves"
                " nothing to add; lower -o task.context"
            )
        if more is not None and more > most + 1e-9:
            raise UsageError(
                f"{more:g} s cannot be added to {recording.path}: of the model's window of"
                f" {window:.4g} s, {context:.4g} s are listened to, which leaves room for"
                f" {most:.4g} s; lower -o task.more and continue the result again"
            )
        return context, most if more is None else more


@hookimpl
def task() -> type[Task]:
    """Offer `continuation`."""
    return Continuation
