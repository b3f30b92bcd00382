"""How near a restored recording is to what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from damages import Damaged, sdr
from frames import Array
from kernel_audio_speech_metrics.lsd import Lsd
from kernel_audio_speech_metrics.si_sdr import SiSdr
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from kernel import AudioSpec

RANGE = 50.0
"""dB below the strongest of the clean recording that are compared; that of the LSD too."""

BANDS = 40

SCORES = {
    "mel": ("mel distance, dB", -1),
    "si_sdr": ("SI-SDR, dB", 1),
    "lsd": ("log-spectral distance, dB", -1),
    "lost": ("SDR of the lost samples, dB", 1),
}
"""What each score is called, and whether more (1) or less (-1) of it is better."""


class Judge:
    """Scores of sounds at one sample rate."""

    def __init__(self, rate: int) -> None:
        audio = AudioSpec(rate)
        self._lsd = Lsd(dynamic_range=RANGE).build(audio)
        self._si_sdr = SiSdr().build(audio)
        frame = round(0.032 * rate)
        self._mel = MelSpectrogram(
            rate, n_fft=4 * frame, win_length=frame, hop_length=frame // 4, n_mels=BANDS
        )

    def scores(self, sound: Array, damaged: Damaged) -> dict[str, float]:
        """Return the SCORES of a sound that should be the clean recording.

        `lost` is there where only some of the samples were lost.
        """
        one, other = (torch.from_numpy(each[None]).float() for each in (sound, damaged.clean))
        found = {
            "mel": self.mel_distance(one, other),
            "si_sdr": _single(self._si_sdr, one, other),
            "lsd": _single(self._lsd, one, other),
        }
        if damaged.lost is not None:
            found["lost"] = sdr(sound[damaged.lost], damaged.clean[damaged.lost])
        return found

    def mel_distance(self, sound: Tensor, clean: Tensor) -> float:
        """Return the mean absolute difference of two log-mel spectrograms in dB."""
        power, wanted = self._mel(sound), self._mel(clean)
        floor = wanted.amax() * 10 ** (-RANGE / 10)
        ratio = power.maximum(floor) / wanted.maximum(floor)
        return float((10 * ratio.log10()).abs().mean())


def summary(items: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the mean and the standard deviation over the items, by score."""
    names = [name for name in SCORES if all(name in item for item in items)]
    columns = {name: np.array([item[name] for item in items]) for name in names}
    return {
        name: (float(column.mean()), float(column.std(ddof=1)) if len(column) > 1 else 0.0)
        for name, column in columns.items()
    }


def _single(metric: nn.Module, sound: Tensor, clean: Tensor) -> float:
    metric.reset()
    metric.update(sound, clean)
    return float(metric.compute())
