"""`transition`: a passage from one recording to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from pydantic import Field

from kernel import InputError, Task, UsageError, hookimpl, resample
from kernel_plugins.tasks._edit import Edited, Recording, start_from
from kernel_plugins.tasks._gap_edit import CONTEXT, GapEdit

if TYPE_CHECKING:
    from torch import Tensor


class Transition(GapEdit):
    """Join two recordings by a passage that leads from the first to the second.

    "Transition" of Levy et al. 2023, table 2: a regeneration with `k` starts from the end of the
    first and the start of the second, cross-faded with constant power (f_out^2 + f_in^2 = 1). The
    sound before and after stays as it was read; a second file of another rate is resampled to the
    rate of the first.
    """

    length: float | None = Field(
        None,
        gt=0,
        description="length of the passage in seconds; by default 2.5, or less"
        " if the model's window or a recording is too short",
    )
    k: float = Field(0.85, gt=0, lt=1, description="share of noise at the start; larger is freer")

    @property
    def start(self) -> float | None:
        """Return k / (1 - k)."""
        return start_from(self.k)

    def usual_count(self, inputs: Sequence[Path]) -> int:
        """Return the one edit of two recordings."""
        return 1

    def edits(self, recordings: Sequence[Recording]) -> list[Edited]:
        """Return the one passage. Raises UsageError unless there are two recordings."""
        if len(recordings) != 2:
            raise UsageError(
                f"a transition needs two recordings and got"
                f" {len(recordings)}; name two, like -i FIRST -i SECOND"
            )
        return [self._passage(*recordings)]

    def _passage(self, first: Recording, second: Recording) -> Edited:
        import torch

        rate, channels = first.sample_rate, max(len(first.audio), len(second.audio))
        before, after = _widened(first, channels), _widened(second, channels)
        if second.sample_rate != rate:
            after = resample(after, second.sample_rate, rate)
            after = after / max(1.0, float(after.abs().max()))
        fade = round(self._seconds(first, second) * rate)
        angle = (torch.arange(fade) + 0.5) * (math.pi / 2 / fade)
        middle = before[:, -fade:] * angle.cos() + after[:, :fade] * angle.sin()
        start = before.shape[-1] - fade
        both = torch.cat([before[:, :start], middle, after[:, fade:]], 1)
        subtype = first.subtype if first.subtype == second.subtype else "FLOAT"
        whole = attrs.evolve(first, audio=both, subtype=subtype)
        edit = self.gapped(whole, [(start, start + fade)], both)
        return attrs.evolve(edit, name=f"{first.path.stem}-{second.path.stem}")

    def _seconds(self, first: Recording, second: Recording) -> float:
        """Return the length of the passage. Raises UsageError for a recording too short for it."""
        shortest = min(first, second, key=lambda recording: recording.seconds)
        window = self.samples / self.sample_rate
        if self.length is None:
            return min(2.5, window * (1 - 2 / CONTEXT), shortest.seconds * (1 - 1 / CONTEXT))
        if self.length >= shortest.seconds:
            raise UsageError(
                f"a transition of {self.length:g} s needs more than that of both recordings, and"
                f" {shortest.path} is {shortest.seconds:.3f} s long; lower -o task.length"
            )
        return self.length


def _widened(recording: Recording, channels: int) -> Tensor:
    """Return the audio with so many channels. Raises InputError unless it has them or is mono."""
    if len(recording.audio) not in (1, channels):
        raise InputError(
            f"{recording.path} has {len(recording.audio)} channels and the other recording"
            f" {channels}; convert one of them"
        )
    return recording.audio.expand(channels, -1)


@hookimpl
def task() -> type[Task]:
    """Offer `transition`."""
    return Transition
