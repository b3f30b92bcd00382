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
    """Level of the reference in a sound over that of everything else, in dB, at any gain.

    SI-SDR = 10 lg(|a s|^2 / |a s - x|^2),  a = <x, s> / |s|^2

    of a sound x and its reference s (Le Roux, Wisdom, Erdogan and Hershey 2019, "SDR - half-baked
    or well done?"). 32-bit arithmetic ends at about 100 dB, which is the score of an exact copy.
    """

    higher_is_better: ClassVar[bool] = True

    zero_mean: bool = Field(False, description="whether the means are taken off first (SI-SNR)")

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a torchmetrics.Metric for audio of any rate."""
        from kernel_audio_speech_metrics._comparison import Comparison

        return Comparison(self._score)

    def _score(self, audio: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

        # The library adds the same small number to all energies, which quiet sounds would feel.
        return scale_invariant_signal_distortion_ratio(
            _normalised(audio), _normalised(reference), self.zero_mean
        )


def _normalised(audio: Tensor) -> Tensor:
    return audio / audio.square().mean(-1, keepdim=True).sqrt()


@hookimpl
def metric() -> type[Metric]:
    """Return SiSdr."""
    return SiSdr
