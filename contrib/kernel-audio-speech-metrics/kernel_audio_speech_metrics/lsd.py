"""Log-spectral distance."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import AudioSpec, Metric, UsageError, hookimpl
from kernel_audio_speech_metrics._paired import Paired

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Lsd"]

SHORTEST_FRAME = 16


class Lsd(Paired):
    """Root mean square over the frequencies, mean over the frames, of the difference in dB.

    LSD = mean_t sqrt(mean_f (10 lg P(t, f) - 10 lg Q(t, f))^2)

    P and Q are the power spectra of a sound and its reference (Gray and Markel 1976, "Distance
    measures for speech processing", the rms log spectral measure, of short-time spectra). Powers
    are raised to `dynamic_range` below the reference's strongest, so digital silence is not an
    infinite error. Papers without the factor 10 of the decibel give a tenth of this value.
    """

    higher_is_better: ClassVar[bool] = False

    frame_seconds: float = Field(
        0.032, gt=0, le=1, description="length of a frame (Hann window, three quarters overlap)"
    )
    dynamic_range: float = Field(
        50.0,
        gt=0,
        le=200,
        description="range of the comparison in dB below the reference's strongest power",
    )

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a torchmetrics.Metric. Raises UsageError for frames of too few samples."""
        from kernel_audio_speech_metrics._comparison import Comparison

        frame = round(self.frame_seconds * audio.sample_rate)
        if frame < SHORTEST_FRAME:
            raise UsageError(
                f"lsd.frame_seconds={self.frame_seconds:g} is {frame} samples at "
                f"{audio.sample_rate} Hz; take {SHORTEST_FRAME} or more"
            )
        return Comparison(partial(self._score, frame))

    def _score(self, frame: int, audio: Tensor, reference: Tensor) -> Tensor:
        power, wanted = _power(audio, frame), _power(reference, frame)
        floor = wanted.amax((-2, -1), keepdim=True) * 10 ** (-self.dynamic_range / 10)
        difference = 10 * (power.maximum(floor) / wanted.maximum(floor)).log10()
        return difference.square().mean(-2).sqrt().mean(-1)


def _power(audio: Tensor, frame: int) -> Tensor:
    """Return the power spectra [C, F, T] of `audio` [C, L] between zeros."""
    import torch

    window = torch.hann_window(frame, device=audio.device)
    spectrum = torch.stft(
        audio, frame, frame // 4, window=window, pad_mode="constant", return_complex=True
    )
    return spectrum.abs().square()


@hookimpl
def metric() -> type[Metric]:
    """Return Lsd."""
    return Lsd
