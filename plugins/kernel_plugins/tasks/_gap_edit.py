"""The base of the tasks that fill gaps of recordings: known samples stay as they were read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import attrs
from pydantic import Field

from kernel import Item, LatentSpace, Measurement, Sound, UsageError
from kernel_plugins.tasks._applied import EXACTLY
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor

CONTEXT = 8
"""A gap leaves 1 / CONTEXT of its window known on each side that has sound."""


class GapEdit(Edit):
    """Keep a recording as it is except for some gaps, and fill the gaps.

    The known samples are measured in the audio if the codec reproduces it, else in the frames of
    the latent that do not depend on a gap.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    crossfade: float = Field(
        0.01, ge=0, le=1, description="seconds over which new sound is fitted to known sound"
    )
    domain: Literal["auto", "audio", "latent"] = Field(
        "auto", description="domain in which known samples are measured; auto: by the codec"
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def gapped(
        self,
        recording: Recording,
        gaps: Sequence[tuple[int, int]],
        heard: Tensor | None = None,
    ) -> Edited:
        """Return the edit of a recording with gaps, each a first sample and one after the last.

        Without `heard` [C, L] the model hears silence in the gaps. Raises UsageError for a gap that
        does not fit into a window with known samples beside it.
        """
        import torch

        from kernel_plugins.tasks._seams import mended, runs
        from kernel_plugins.tasks._windows import around

        sound = recording.audio
        known = torch.ones(1, sound.shape[-1], dtype=torch.bool)
        for start, stop in gaps:
            known[:, start:stop] = False
        if not known.any():
            raise UsageError(
                f"the gaps cover all of {recording.path}; leave a part as it is,"
                " or use the task 'variation'"
            )
        if heard is None:
            fade = round(self.crossfade * recording.sample_rate)
            heard = mended(sound, torch.zeros_like(sound), known, fade)
        edit = self.edited(recording, heard, known, sound)
        ratio = self.sample_rate / recording.sample_rate
        for start, stop in gaps:
            edit.keep[math.floor(start * ratio) : math.ceil(stop * ratio)] = False
        for start, stop in runs(~edit.keep):
            self._fits(recording, start, stop, edit.samples)
        rate = recording.sample_rate
        spans = tuple((start / rate, stop / rate) for start, stop in gaps)
        return attrs.evolve(edit, cuts=around(edit.keep, self.samples), spans=spans)

    def _fits(self, recording: Recording, start: int, stop: int, samples: int) -> None:
        """Raise UsageError unless a gap fits into a window; all in samples of the model."""
        from kernel_plugins.tasks._windows import room

        rate, window = self.sample_rate, self.samples
        sides = (start > 0) + (stop < samples)
        most = room(window, sides)
        if stop - start > most:
            raise UsageError(
                f"the gap {start / rate:.3g}:{stop / rate:.3g} of {recording.path} is too long: of"
                f" the model's window of {window / rate:.3g} s,"
                f" {(window - most) / rate:.3g} s stay as context, which leaves room for"
                f" {most / rate:.3g} s"
            )

    def finish(self, audio: Tensor, edit: Edited) -> Tensor:
        """Return the audio [C, L] at the file's own rate and level, known samples as read.

        New samples join the known ones without a step, and may exceed full scale.
        """
        from kernel_plugins.tasks._seams import mended

        assert edit.known is not None and edit.sample_rate is not None
        fade = round(self.crossfade * edit.sample_rate)
        return mended(edit.sound, self.made(audio, edit), edit.known, fade)

    def sound(self, audio: Tensor, edit: Edited) -> Sound:
        """Return finished audio [C, L] as the sound, its new samples clipped at full scale.

        The known samples keep their level, so the whole cannot be scaled down. A note gives the
        number of clipped samples.
        """
        import torch

        assert edit.known is not None
        new = ~edit.known.expand(audio.shape)
        above = new & (audio.abs() > 1)
        if not (count := int(above.sum())):
            return super().sound(audio, edit)
        decibels = 20 * math.log10(float(audio[above].abs().max()))
        note = (
            f"{count} of {int(new.sum())} new samples exceed full scale, by up to {decibels:.1f}"
            f" dB, and were clipped because known samples keep their level; lower the recording by"
            f" {decibels:.1f} dB and edit it again"
        )
        return edit.finished(torch.where(new, audio.clamp(-1, 1), audio), self.sample_rate, (note,))

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the windows' known samples."""
        import torch

        from kernel_plugins.tasks._known import known_samples

        windows = cast("Sequence[Part]", items)
        sound = torch.stack([window.sound for window in windows])
        keep = torch.stack([window.keep for window in windows])
        return known_samples(space, sound, keep, self.domain)
