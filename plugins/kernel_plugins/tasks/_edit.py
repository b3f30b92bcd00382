"""The base of the tasks that change recordings: reading, windows, levels, known samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
from pydantic import Field

from kernel import (
    InputError,
    Making,
    Request,
    Sound,
    UsageError,
    Window,
    read_audio,
    resample,
)
from kernel_plugins.tasks._applied import AppliedTask

if TYPE_CHECKING:
    from torch import Tensor

_EXACT = ("PCM_16", "PCM_24")
"""Subtypes that a float32 holds exactly; the kernel writes their samples as they were read."""


@attrs.frozen(eq=False)
class Recording:
    """A file as it was read: audio [C, L] at its own rate, and the subtype for writing."""

    path: Path
    audio: Tensor
    sample_rate: int
    subtype: str

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.audio.shape[-1] / self.sample_rate


@attrs.frozen(eq=False)
class Cut:
    """A window into a sound: its start, and its weight in the whole.

    weight: [W], divided by the sum of all windows' weights where they overlap; 0 where the window's
    sound is not used.
    """

    start: int
    weight: Tensor


@attrs.frozen(eq=False, kw_only=True)
class Edited(Request):
    """A recording to change, in samples of the model's rate except for `sound` and `known`.

    window: the common part of all windows.
    sound: [C, L], the sound to write, at the file's rate. known: [C or 1, L], true for samples of
    `sound` that are returned as they are; None without such samples.
    lanes: [G, channels, samples], the same sound at the model's rate and level, in groups of as
    many channels as the model takes. keep: [samples], true for known samples.
    gain: the model's level over the file's.
    """

    sound: Tensor
    known: Tensor | None
    lanes: Tensor
    keep: Tensor
    gain: float
    cuts: tuple[Cut, ...]

    @property
    def samples(self) -> int:
        """Return the number of samples of a lane."""
        return self.lanes.shape[-1]


@attrs.frozen(eq=False, kw_only=True)
class Part(Window):
    """A window on one lane of an edit.

    sound: [channels, samples]. keep: [1, samples], true where the sound is known. Beyond the end of
    the recording the sound is silence, and it is known.
    """

    whole: Edited
    cut: Cut
    lane: int
    sound: Tensor
    keep: Tensor


class Edit(AppliedTask):
    """Change recordings, each at its own rate, with all of its channels.

    A recording is resampled to the model's rate and brought to the level of the training. If it has
    other channels than the model, each channel is made alone, with the same noise. A long recording
    is made in windows as long as a training item. The result has the file's rate, level and
    channels.
    """

    seconds: float = Field(1.0, gt=0, description="length of a window, as of a training item")
    overlap: float = Field(
        0.25, ge=0, le=0.5, description="share of a window that is cross-faded with the next window"
    )

    @property
    def start(self) -> float | None:
        """Return the start of sampling from the recording, sigma / sigma_data; None: from noise."""
        return None

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests, named after their files; the edits take turns.

        Raises UsageError when there are no inputs or `count` < 1, or for options that do not fit a
        file, and InputError with the name of a file that cannot be read or is silent.
        """
        if count < 1:
            raise UsageError(f"the task cannot make {count} sounds; ask for at least 1")
        if not inputs:
            raise UsageError("the task changes recordings and got none; add -i FILE")
        edits = self.edits([self.read(path) for path in inputs])
        taken: set[str] = set()
        return [
            attrs.evolve(edit, name=_unused(edit.name, taken))
            for edit in (edits[index % len(edits)] for index in range(count))
        ]

    def read(self, path: Path) -> Recording:
        """Return a recording. Raises InputError when it is silent or cannot be read."""
        import soundfile

        audio, rate = read_audio(path)
        if not audio.any():
            raise InputError(f"{path} is silent from start to end; give a recording with sound")
        subtype = soundfile.info(path).subtype
        return Recording(path, audio, rate, subtype if subtype in _EXACT else "FLOAT")

    def edits(self, recordings: Sequence[Recording]) -> list[Edited]:
        """Return the edits of the recordings: by default one `edit` for each."""
        return [self.edit(recording) for recording in recordings]

    def edit(self, recording: Recording) -> Edited:
        """Return the edit of a recording: by default all of it anew, in overlapping windows."""
        return self.edited(recording, recording.audio)

    def edited(
        self,
        recording: Recording,
        heard: Tensor,
        known: Tensor | None = None,
        sound: Tensor | None = None,
        gain: float | None = None,
    ) -> Edited:
        """Return the edit of a recording that the model hears as `heard` [C, L], at its own rate.

        `known` and `sound` (by default `heard`, which may be longer) are those of an Edited. The
        windows cover the whole sound, and `keep` is true everywhere. `gain` is by default that of
        the known part. Raises InputError when the known part is silent.
        """
        import torch

        from kernel_plugins.tasks._windows import cover

        certain = heard if known is None else heard[:, : known.shape[-1]][:, known.all(0)]
        gain = self.gain(certain) if gain is None else gain
        if math.isinf(gain):
            raise InputError(
                f"{recording.path} is silent outside the part to make; give a recording with sound"
                " there"
            )
        lanes = self.lanes(heard * gain, recording.sample_rate)
        samples = lanes.shape[-1]
        return Edited(
            name=recording.path.stem,
            window=Window(self.samples, vector=self.told, start=self.start),
            text=self.label,
            given=recording.audio,
            sample_rate=recording.sample_rate,
            subtype=recording.subtype,
            sound=heard if sound is None else sound,
            known=known,
            lanes=lanes,
            keep=torch.ones(samples, dtype=torch.bool),
            gain=gain,
            cuts=cover(samples, self.samples, round(self.overlap * self.samples)),
        )

    def lanes(self, audio: Tensor, sample_rate: int) -> Tensor:
        """Return `audio` [C, L] at the model's rate, in lanes of its channels: [G, channels, M]."""
        heard = resample(audio, sample_rate, self.sample_rate)
        if len(heard) == self.channels:
            return heard[None]
        return heard[:, None].repeat(1, self.channels, 1)

    def make(self, request: Request) -> Making:
        """Make all windows of a recording, and join them to one sound."""
        edit = cast(Edited, request)
        made = yield self.windows(edit)
        return [self.sound(self.finish(self.joined(made, edit), edit), edit)]

    def windows(self, edit: Edited, first: int = 0) -> list[Window]:
        """Return the windows of each cut, lane after lane, all lanes with the same noise.

        first: the number of the first cut's noise.
        """
        return [
            self.part(edit, cut, lane, stream)
            for stream, cut in enumerate(edit.cuts, first)
            for lane in range(len(edit.lanes))
        ]

    def part(self, edit: Edited, cut: Cut, lane: int, stream: int) -> Part:
        """Return one window on one lane; its origin is the recording if sampling starts there."""
        from torch.nn.functional import pad

        length = min(self.samples, edit.samples - cut.start)
        place, missing = slice(cut.start, cut.start + length), (0, self.samples - length)
        sound = pad(edit.lanes[lane][:, place], missing)
        window = attrs.evolve(
            edit.window, origin=None if edit.window.start is None else sound, stream=stream
        )
        return Part(
            **attrs.asdict(window, recurse=False),
            whole=edit,
            cut=cut,
            lane=lane,
            sound=sound,
            keep=pad(edit.keep[None, place], missing, value=True),
        )

    def joined(self, windows: Sequence[Tensor], edit: Edited) -> Tensor:
        """Return the audio [C, samples], at the model's rate and level, of all windows together."""
        from kernel_plugins.tasks._windows import joined

        lanes = joined(windows, edit.cuts, edit.lanes)
        return lanes[0] if len(edit.sound) == self.channels else lanes.mean(1)

    def finish(self, audio: Tensor, edit: Edited) -> Tensor:
        """Return the audio [C, L] at the file's own rate and level, which may exceed full scale."""
        return self.made(audio, edit)

    def sound(self, audio: Tensor, edit: Edited) -> Sound:
        """Return finished audio [C, L] as a sound; the kernel scales it down to full scale."""
        return edit.finished(audio, self.sample_rate)

    def made(self, audio: Tensor, edit: Edited) -> Tensor:
        """Return the made audio [C, L] at the file's own rate and level."""
        assert edit.sample_rate is not None
        audio = resample(audio / edit.gain, self.sample_rate, edit.sample_rate)
        return audio[:, : edit.sound.shape[-1]]


def start_from(share: float) -> float:
    """Return sigma / sigma_data of the mix share z + (1 - share) x0 of noise and data.

    The mix is (1 - share) times x0 + sigma z.
    """
    return share / (1 - share)


def _unused(stem: str, taken: set[str]) -> str:
    """Return a name like `stem`, unused by sounds and by the files beside them; note both."""
    stem = stem.lstrip(".") or "sound"
    number, name = 1, stem
    while {name, f"{name}-given"} & taken:
        number += 1
        name = f"{stem}-{number}"
    taken |= {name, f"{name}-given"}
    return name
