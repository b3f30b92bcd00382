"""`stft`: complex short-time Fourier spectra with compressed magnitudes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from kernel import AudioSpec, Codec, LatentSpec, hookimpl
from kernel_plugins.codecs._frames import check_hop, frame_count, moments

if TYPE_CHECKING:
    from torch import Tensor, nn


class Stft(Codec):
    """Real and imaginary part of |c|^exponent e^(i angle c) / std, c a short-time spectrum.

    Richter et al. 2023 (SGMSE+), eq. 24, with beta = 1 / std. The periodic Hann window has the norm
    1 here, so white noise keeps its variance: E|c|^2 is the variance of a sample. A published beta
    without that norm is std = 1 / (beta |window|^exponent), 1.793 for theirs. Frame t is centred at
    sample t hop + hop / 2; the inverse is exact.

    Below |c| = 1e-6 (-120 dB) the compression and its inverse are linear: the inverse stays exact
    and the gradient finite at silence.

    Each of the two real channels has unit variance. Complex noise of variance s^2 in the
    literature, E|n|^2 = s^2, is therefore sigma = s / sqrt(2) here.
    """

    n_fft: int = Field(510, ge=4, multiple_of=2, description="length of window and transform")
    hop: int = Field(128, ge=1, description="samples between frames")
    exponent: float = Field(0.5, ge=0.1, le=1, description="exponent of the magnitudes")
    layout: Literal["image", "channels"] = Field(
        "image", description="a latent (2 C; F, T), or (2 C F; T) with the bins as channels"
    )
    std: float | None = Field(
        None,
        gt=0,
        description="standard deviation of a compressed real channel; none: fitted to the data, "
        "that of white noise of rms 0.1 without data",
    )

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return (2 C; F, T) or (2 C F; T), F = n_fft / 2 + 1 and T = ceil(samples / hop).

        Raises UsageError when the hop is more than half of n_fft.
        """
        check_hop("stft", self.n_fft, self.hop)
        bins, frames = self.n_fft // 2 + 1, frame_count(samples, self.hop)
        if self.layout == "image":
            return LatentSpec(2 * audio.channels, (bins, frames))
        return LatentSpec(2 * audio.channels * bins, (frames,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the CodecModule. Raises UsageError when the hop is more than half of n_fft."""
        from kernel_plugins.codecs._stft import StftModule

        check_hop("stft", self.n_fft, self.hop)
        # For complex Gaussian c, E|c|^(2 e) = Gamma(1 + e) (E|c|^2)^e, half of it on each channel.
        white = math.sqrt(math.gamma(1 + self.exponent) / 2) * 0.1**self.exponent
        return StftModule(
            channels=audio.channels,
            n_fft=self.n_fft,
            hop=self.hop,
            exponent=self.exponent,
            std=white if self.std is None else self.std,
            image=self.layout == "image",
        )

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with `std` about zero from the examples, unless it is set."""
        if self.std is not None:
            return self
        raw: Any = self.model_copy(update={"std": 1.0}).build(audio)
        _, power = moments("stft", raw, examples)
        return self.model_copy(update={"std": math.sqrt(power)})


@hookimpl
def codec() -> type[Codec]:
    """Offer `stft`."""
    return Stft
