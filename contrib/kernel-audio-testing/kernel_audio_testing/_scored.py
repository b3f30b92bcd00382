"""What metrics score in the checks: sounds like speech, noisier versions, and their references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.kinds.metric import Metric
from kernel.values import AudioSpec
from kernel_audio_testing._options import WORDS
from kernel_audio_testing._sounds import first_taken, syllables
from kernel_audio_testing._subject import Subject, require
from kernel_audio_testing._tools import normal

__all__ = ["NOISE", "SECONDS", "Scene", "scene_of"]

SECONDS = 3.0
_ITEMS = 4
_SET = 6
"""Sounds of a set that is compared with a set of references."""
NOISE = (0.0, 0.1, 0.5, 3.0)
"""Standard deviations over the rms of the sound: none, 20, 6 and -10 dB."""


@attrs.frozen(eq=False)
class Scene:
    """A metric and a kind of audio that it takes."""

    metric: Metric
    audio: AudioSpec

    def build(self) -> Any:
        """Return a fresh module."""
        metric = self.metric
        listens = bool(metric.encoders)
        module: Any = (
            metric.listen(self.audio, self.encoder) if listens else metric.build(self.audio)
        )
        for seed in range(70, 70 + _SET) if "references" in metric.needs else ():
            module.refer(syllables(self.audio, self.seconds, seed))
        return module.eval()

    def encoder(self, name: str) -> Callable[[Tensor, int], Tensor]:
        """Return what an encoder of a name hears: the levels of four bands, in nepers."""
        return lambda audio, sample_rate: _hear(audio, sample_rate, self.audio, name)

    @property
    def compares(self) -> bool:
        """Return whether each sound is given beside its reference."""
        return "reference" in self.metric.needs

    @property
    def seconds(self) -> float:
        """Return how long a sound is; sets have many, so that theirs are shorter."""
        return SECONDS / 3 if "references" in self.metric.needs else SECONDS

    @property
    def count(self) -> int:
        """Return how many sounds one score is made of."""
        if "references" in self.metric.needs:
            return _SET
        return _ITEMS if self.metric.scope == "set" else 1

    def items(self, noise: float = 0.1, first: int = 0) -> list[tuple[Tensor, ...]]:
        """Return what `update` is called with for each sound of a score."""
        return [self.item(seed, noise) for seed in range(first, first + self.count)]

    def item(self, seed: int, noise: float) -> tuple[Tensor, ...]:
        """Return a sound with noise of so many times its rms, and its reference if it needs one."""
        clean = syllables(self.audio, self.seconds, seed)
        rms = clean.square().mean().sqrt()
        sound = clean + noise * rms * normal(*clean.shape, seed=90 + seed, dtype=torch.float32)
        return self.pair(sound, clean)

    def pair(self, sound: Tensor, reference: Tensor) -> tuple[Tensor, ...]:
        """Return the sound, with the reference beside it if the metric needs one."""
        return (sound, reference) if self.compares else (sound,)


def scene_of(subject: Subject) -> Scene:
    metric: Metric = subject.make()
    return Scene(metric, first_taken(lambda audio: Scene(metric, audio).build()))


def _hear(audio: Tensor, sample_rate: int, told: AudioSpec, name: str) -> Tensor:
    """Return the levels of bands, [B, 4], or, for a word that an option may be, chaos."""
    fits = audio.ndim == 3 and (audio.shape[1], sample_rate) == (told.channels, told.sample_rate)
    require(
        fits,
        f"an encoder is given {tuple(audio.shape)} at {sample_rate} Hz, and the sounds have "
        f"{told.channels} channel(s) at {told.sample_rate} Hz",
    )
    power = torch.fft.rfft(audio, max(audio.shape[-1], 8)).abs().square().mean(1)
    bands = power[:, : power.shape[-1] // 4 * 4].unflatten(-1, (4, -1)).mean(-1)
    levels = torch.log(bands + 1e-9)
    return (1e4 * levels).sin() if name in WORDS else levels
