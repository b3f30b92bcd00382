"""`mr-stft`: the distance of spectrograms at several resolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from kernel import AudioSpec, Metric, hookimpl
from kernel_plugins.metrics._paired import Paired

if TYPE_CHECKING:
    from torch import nn

Size = Annotated[int, Field(ge=4)]
Hop = Annotated[int, Field(ge=1)]


def _covers(resolution: tuple[int, int, int]) -> tuple[int, int, int]:
    size, hop, window = resolution
    if window > size:
        raise ValueError(f"{resolution} has a window that is longer than its transform; shorten it")
    if hop > window:
        raise ValueError(f"{resolution} has gaps between its windows; take a hop up to the window")
    return resolution


class MrStft(Paired):
    """Multi-resolution STFT distance: spectral convergence, and difference of log magnitudes.

    Yamamoto et al. 2020 (Parallel WaveGAN), eq. 3 to 6. `convergence` is the Frobenius norm of the
    difference of the magnitudes over that of the reference's magnitudes, `magnitude` the mean
    absolute difference of their natural logarithms, `total` the sum. Each is the mean over the
    resolutions, by default the paper's at 24 kHz. The power of a bin is at least 1e-7. A copy with
    the gain g has the convergence |g - 1| and the magnitude |ln g|; bring sounds to one level if
    level should not count. A sound has more samples than half of the longest transform, and the
    reference is silent in no channel.
    """

    resolutions: tuple[Annotated[tuple[Size, Hop, Size], AfterValidator(_covers)], ...] = Field(
        ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)),
        min_length=1,
        description="transform, hop and Hann window of each resolution in samples",
    )

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a MetricModule."""
        from kernel_plugins.metrics._spectral import Spectra

        return Spectra(self.resolutions)


@hookimpl
def metric() -> type[Metric]:
    """Offer `mr-stft`."""
    return MrStft
