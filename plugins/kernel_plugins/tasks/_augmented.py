"""The options of a folder task for random changes of its sounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs
from pydantic import Field, model_validator

from kernel import InputError, read_audio
from kernel_plugins.tasks._audio import AudioTask

if TYPE_CHECKING:
    from torch import Generator, Tensor


class AugmentedTask(AudioTask):
    """Random changes of every item, from its own generator, in the order of the options."""

    augment_speed: int = Field(
        0, ge=0, le=50, description="largest change of speed and pitch in percent, up or down"
    )
    augment_room: Path | None = Field(None, description="folder of impulse responses of rooms")
    augment_noise: Path | None = Field(None, description="folder of noises to add")
    augment_snr: tuple[float, float] = Field(
        (0.0, 20.0), description="least and greatest ratio of sound to noise, in dB"
    )
    augment_band: float | None = Field(
        None, gt=0, description="lowest cutoff in Hz; the highest is half the sample rate"
    )
    augment_share: float = Field(
        0.5, gt=0, le=1, description="share of items for each of room, noise and cutoff"
    )
    augment_gain: float = Field(
        0.0, ge=0, le=60, description="largest change of the level in dB, up or down"
    )
    augment_polarity: float = Field(
        0.0, ge=0, le=1, description="share of items with inverted polarity"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.augment_snr[0] > self.augment_snr[1]:
            raise ValueError("augment_snr is the least ratio, then the greatest, like [0, 20]")
        if self.augment_band is not None and self.augment_band > self.sample_rate / 2:
            raise ValueError(
                f"augment_band lies above {self.sample_rate / 2:g} Hz, half the sample rate"
            )
        return self


class Augmenter:
    """Makes the random changes of an item's sound. Raises InputError for a folder without audio.

    extensions: the endings of audio files.
    """

    def __init__(self, task: AugmentedTask, extensions: Sequence[str]) -> None:
        self._task = task
        self._rooms, self._noises = (
            None if folder is None else Recordings.below(folder, option, task, extensions)
            for folder, option in (
                (task.augment_room, "augment_room"),
                (task.augment_noise, "augment_noise"),
            )
        )

    def sped(self, sound: Tensor, generator: Generator) -> Tensor:
        """Return the sound [C, L] at a random speed; call it before the cut to length."""
        import torch

        from kernel_plugins.tasks._augment import faster

        if not (most := self._task.augment_speed):
            return sound
        return faster(sound, int(torch.randint(-most, most + 1, (), generator=generator)))

    def changed(self, sound: Tensor, generator: Generator) -> Tensor:
        """Return the sound [C, L], already cut to length, after the other random changes."""
        from kernel_plugins.tasks import _augment as augment

        task = self._task

        def lot(share: float) -> bool:
            return augment.uniform(0, 1, generator) < share

        if self._rooms is not None and lot(task.augment_share):
            sound = augment.reverberated(sound, self._rooms.draw(generator))
        if self._noises is not None and lot(task.augment_share):
            noise = self._noises.draw(generator)
            start = int(augment.uniform(0, noise.shape[-1], generator))
            ratio = augment.uniform(*task.augment_snr, generator)
            noise = augment.looped(noise, sound.shape[-1], start)
            sound = augment.mixed(sound, noise, ratio)
        if task.augment_band is not None and lot(task.augment_share):
            ends = math.log(task.augment_band), math.log(task.sample_rate / 2)
            cutoff = math.exp(augment.uniform(*ends, generator))
            sound = augment.low_passed(sound, task.sample_rate, cutoff)
        if most := task.augment_gain:
            sound = augment.gain(sound, augment.uniform(-most, most, generator))
        if task.augment_polarity and lot(task.augment_polarity):
            sound = -sound
        return sound


@attrs.define
class Recordings:
    """Files to draw from, one at a time; up to a gigabyte of decoded audio stays in memory."""

    paths: list[Path]
    sample_rate: int
    channels: int
    kept: dict[Path, Tensor] = attrs.Factory(dict)
    room: float = 1e9

    @classmethod
    def below(
        cls, folder: Path, option: str, task: AugmentedTask, extensions: Sequence[str]
    ) -> Self:
        """Return the audio files below a folder. Raises InputError when there are none."""
        found = folder.expanduser().rglob("*")
        paths = [each for each in found if each.suffix.lower() in extensions]
        if not paths:
            raise InputError(f"no audio in the folder {folder}; check -o task.{option}")
        return cls(sorted(paths), task.sample_rate, task.channels)

    def draw(self, generator: Generator) -> Tensor:
        """Return the audio [C, L] of a file. Raises InputError with the file's name."""
        import torch

        path = self.paths[int(torch.randint(len(self.paths), (), generator=generator))]
        if (found := self.kept.get(path)) is None:
            found, _ = read_audio(path, self.sample_rate, self.channels)
            self.room -= found.nbytes
            if self.room >= 0:
                self.kept[path] = found
        return found
