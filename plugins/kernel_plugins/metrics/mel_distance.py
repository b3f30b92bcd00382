"""`mel-distance`: the distance of mel spectrograms at several resolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from kernel import AudioSpec, Metric, hookimpl
from kernel_plugins.metrics._paired import Paired

if TYPE_CHECKING:
    from torch import nn

Samples = Annotated[int, Field(ge=4)]
Bands = Annotated[int, Field(ge=1)]


class MelDistance(Paired):
    """Sum over several windows of the mean absolute difference of log10 mel magnitudes.

    Kumar et al. 2023 (DAC), section 3.5, with the windows, bands and floor of its 44.1 kHz model:
    Slaney's mel filters up to the Nyquist frequency, Hann windows, a hop of a quarter. A copy with
    the gain g has the distance |lg g| for each window, 7 |lg g| by default, where all magnitudes
    stay above `floor`; bring sounds to one level if level should not count. At high rates some
    bands are narrower than a bin: they are empty and count as equal. A sound has more samples than
    half of the longest window.
    """

    windows: tuple[Samples, ...] = Field(
        (32, 64, 128, 256, 512, 1024, 2048), min_length=1, description="windows in samples"
    )
    bands: tuple[Bands, ...] = Field(
        (5, 10, 20, 40, 80, 160, 320), description="mel bands of each window"
    )
    floor: float = Field(1e-5, gt=0, description="smallest magnitude of a band")

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.windows) != len(self.bands):
            raise ValueError(
                f"there are {len(self.windows)} windows and {len(self.bands)} bands; give each "
                f"window its bands"
            )
        return self

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a MetricModule."""
        from kernel_plugins.metrics._spectral import MelSpectra

        return MelSpectra(audio.sample_rate, self.windows, self.bands, self.floor)


@hookimpl
def metric() -> type[Metric]:
    """Offer `mel-distance`."""
    return MelDistance
