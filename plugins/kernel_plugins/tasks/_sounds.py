"""The sounds of a folder task, decoded once and cut to length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kernel import InputError, Item, read_audio

if TYPE_CHECKING:
    from torch import Tensor

    from kernel_plugins.tasks._folder import FolderTask

_SHOWN = 10


class Sounds:
    """A data set of files, each beside its vector [V], in the order given.

    Every file is read when the data set is made, so that the bad ones are known before training.
    Raises InputError that names them all.
    """

    def __init__(self, task: FolderTask, files: Sequence[tuple[Path, Tensor | None]]) -> None:
        self._task = task
        self._files = files
        self._kept: dict[int, Tensor] = {}
        room = task.cache * 1e9
        problems = []
        for index, (path, _) in enumerate(files):
            try:
                sound = self._load(path)
            except InputError as error:
                problems.append(str(error))
                continue
            room -= sound.nbytes
            if room >= 0:
                self._kept[index] = sound
        if problems:
            raise InputError(listed(problems, f"files in {task.path}", len(files)))

    def __len__(self) -> int:
        return len(self._files)

    def item(self, index: int, generator: torch.Generator) -> Item:
        """Return item `index`: a random stretch of a long sound, a short one padded at its end."""
        path, vector = self._files[index]
        sound = self._kept.get(index)
        if sound is None:
            sound = self._load(path)
        wanted, length = self._task.samples, sound.shape[-1]
        if length > wanted:
            start = int(torch.randint(length - wanted + 1, (), generator=generator))
            sound = sound[:, start : start + wanted]
        audio = sound.new_zeros(len(sound), wanted)
        audio[:, :length] = sound
        valid = min(length, wanted) if self._task.mask_padding else None
        return Item(wanted, audio, valid, vector)

    def _load(self, path: Path) -> Tensor:
        task = self._task
        sound, _ = read_audio(path, task.sample_rate, task.channels)
        if task.trim is not None:
            sound = _trimmed(sound, task.trim)
        gain = task.gain(sound)
        if math.isinf(gain):
            raise InputError(
                f"{path} is silent and has no level to normalize; remove it or set"
                " -o task.normalize=none"
            )
        return sound * gain


def _trimmed(sound: Tensor, below: float) -> Tensor:
    """Return the part of `sound` [C, L] between its first and last samples near the peak."""
    loudness = sound.abs().amax(0)
    loud = (loudness >= loudness.max() * 10 ** (-below / 20)).nonzero()
    return sound[:, int(loud[0]) : int(loud[-1]) + 1].clone()


def listed(problems: Sequence[str], what: str, total: int) -> str:
    """Return one message for many problems: all of them, or the first ten and a count."""
    lines = [f"{len(problems)} of {total} {what} cannot be used:", *problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    return "\n  ".join(lines)
