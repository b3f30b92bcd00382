"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import AudioSpec, Metric, hookimpl
from kernel_audio_speech_metrics._paired import Paired

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["SiSdr"]


class SiSdr(Paired):
    """Level of the reference in a sound over the level of the rest, in dB, at any gain.

    SI-SDR = 10 lg(|a s|^2 / |a s - x|^2),  a = <x, s> / |s|^2

    for a sound x and its reference s (Le Roux, Wisdom, Erdogan and Hershey 2019, "SDR - half-baked
    or well done?"). An exact copy scores about 100 dB, the limit of 32-bit arithmetic.
    """

    higher_is_better: ClassVar[bool] = True

    zero_mean: bool = Field(False, description="subtract the means first (SI-SNR)")

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a torchmetrics.Metric for audio of any rate."""
        from kernel_audio_speech_metrics._comparison import Comparison

        return Comparison(self._score)

    def _score(self, audio: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

        # The library adds a fixed small number to all energies: quiet sounds would score wrongly.
        return scale_invariant_signal_distortion_ratio(
            _normalised(audio), _normalised(reference), self.zero_mean
        )


def _normalised(audio: Tensor) -> Tensor:
    return audio / audio.square().mean(-1, keepdim=True).sqrt()


@hookimpl
def metric() -> type[Metric]:
    """Return SiSdr."""
    return SiSdr
