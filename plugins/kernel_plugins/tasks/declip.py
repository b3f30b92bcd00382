"""`declip`: recordings without the clipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

import attrs
from pydantic import Field

from kernel import InputError, Item, LatentSpace, Measurement, Task, hookimpl
from kernel_plugins.tasks._applied import EXACTLY
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.05
"""Least share of the samples within the bounds."""


@attrs.frozen(eq=False, kw_only=True)
class Clipped(Edited):
    """A clipped recording.

    low, high: [C, 1], the bounds of clipping, infinite on an unclipped side; bounds: both for each
    channel of each lane, [G, channels, 1], at the model's level.
    """

    low: Tensor
    high: Tensor
    bounds: tuple[Tensor, Tensor]


class Declip(Edit):
    """Make only the clipped samples of a recording anew.

    A clipped sample was at or beyond the bound. The others stay as they were read, unless a
    restored peak exceeds full scale: the file is then scaled down, and the record of the run has
    the gain.

    Clipping lowers the level of a recording: its RMS is brought to a level `lost` dB below that of
    the model's training.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    threshold: float | None = Field(
        None, gt=0, description="level of clipping, 1 is full scale; by default estimated"
    )
    lost: float | None = Field(
        None,
        ge=0,
        le=20,
        description="fall of the RMS by clipping in dB; by default that of speech with the"
        " same share of clipped samples",
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit of the clipped samples.

        Raises InputError when no sample is clipped, or nearly all are.
        """
        audio = recording.audio
        low, high = self._bounds(audio)
        above, below = audio >= high, audio <= low
        known = ~(above | below)
        if known.all():
            value = "" if self.threshold is None else f" at {self.threshold}"
            raise InputError(
                f"nothing in {recording.path} is clipped{value}; name the value where it is with"
                " -o task.threshold, or leave it as it is"
            )
        if (share := float(known.float().mean(1).min())) < LEAST:
            raise InputError(
                f"{recording.path} is clipped everywhere, in {1 - share:.0%} of its samples; give a"
                " recording that is clipped at its peaks only"
            )
        edit = self.edited(recording, audio)
        lower = 10 ** (-self._lost(1 - float(known.float().mean())) / 20)
        gain, lanes = edit.gain * lower, edit.lanes * lower
        bounds = []
        for bound, side in ((low, below), (high, above)):
            # After a change of rate, a sample beside a clipped one counts as clipped.
            clipped = self.lanes(side.float(), recording.sample_rate) > 0.1
            bounds.append(self.lanes(bound * gain, self.sample_rate))
            lanes = bounds[-1].where(clipped, lanes)
        return Clipped(
            **{
                **attrs.asdict(edit, recurse=False),
                "known": known,
                "lanes": lanes,
                "gain": gain,
            },
            low=low,
            high=high,
            bounds=(bounds[0], bounds[1]),
        )

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the windows after clipping."""
        import torch

        from kernel_plugins.tasks._measure import measure
        from kernel_plugins.tasks._operators import Clip

        windows = cast("Sequence[Part]", items)
        bounds = [cast(Clipped, window.whole).bounds for window in windows]
        low, high = (
            torch.stack(
                [each[side][window.lane] for each, window in zip(bounds, windows, strict=True)]
            )
            for side in (0, 1)
        )
        clip = Clip(low, high)
        return measure(space, clip, clip(torch.stack([window.sound for window in windows])))

    def finish(self, audio: Tensor, edit: Edited) -> Tensor:
        """Return the audio [C, L] at the file's own rate and level, unclipped samples as read."""
        from kernel_plugins.tasks._bridge import bridged

        clipped = cast(Clipped, edit)
        assert edit.known is not None
        whole = bridged(edit.sound, self.made(audio, edit), edit.known)
        whole = whole.maximum(clipped.high).where(edit.sound >= clipped.high, whole)
        return whole.minimum(clipped.low).where(edit.sound <= clipped.low, whole)

    def _lost(self, share: float) -> float:
        from kernel_plugins.tasks._estimates import clip_loss

        if self.lost is not None:
            return self.lost
        return clip_loss(share) if self.normalize == "rms" else 0.0

    def _bounds(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        from kernel_plugins.tasks._estimates import clip_bounds

        if self.threshold is None:
            return clip_bounds(audio)
        bound = audio.new_full((len(audio), 1), self.threshold)
        return -bound, bound


@hookimpl
def task() -> type[Task]:
    """Offer `declip`."""
    return Declip
