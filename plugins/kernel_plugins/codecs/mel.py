"""`mel`: log-mel spectrograms, turned back into sound by non-negative inversion and Griffin-Lim."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from kernel import AudioSpec, Codec, LatentSpec, UsageError, hookimpl
from kernel_plugins.codecs._frames import check_hop, frame_count, moments

if TYPE_CHECKING:
    from torch import Tensor, nn


class Mel(Codec):
    """Levels of mel bands in decibels, normalised to zero mean and unit variance.

    latent = (20 log10(amplitude + floor) - mean) / std, where a band's amplitude is the weighted
    mean of its short-time Fourier magnitudes and a full-scale sine has the amplitude 1. Frame t is
    centred at sample t hop + hop / 2.

    The phase and the fine structure are lost. Decoding estimates magnitudes by multiplicative
    non-negative least squares (Lee and Seung 2001, eq. 4) and a phase by fast Griffin-Lim
    (Perraudin et al. 2013, Algorithm 2). Every item starts from the same random phase, so no item
    depends on its batch. Gradients pass through the magnitudes; the phase is held constant.

    The cost with the default options on 150 spoken digits at 8 kHz: mel levels within 40 dB of the
    loudest change by 0.65 dB on average, short-time spectra of 256 samples by 2.5 dB rms. Without
    the phase estimate they change by 2.0 and 2.8 dB, with 64 bands by 0.62 and 2.3 dB.
    """

    changeable: ClassVar[tuple[str, ...]] = ("griffin_lim_iters", "inversion_iters", "momentum")

    bands: int = Field(48, ge=1, description="mel bands")
    n_fft: int = Field(512, ge=4, multiple_of=2, description="length of the Fourier transform")
    window: int | None = Field(
        None, ge=2, description="length of the Hann window in samples; none: 4/5 of n_fft"
    )
    hop: int = Field(128, ge=1, description="samples between frames")
    f_min: float = Field(0.0, ge=0, description="lower edge of the lowest band in Hz")
    f_max: float | None = Field(
        None, gt=0, description="upper edge of the highest band in Hz; none: half the sample rate"
    )
    floor: float = Field(
        -80.0, ge=-160, le=0, description="level added to every band, in dB of a full-scale sine"
    )
    layout: Literal["channels", "image"] = Field(
        "channels",
        description="bands as channels of a latent (T,), or audio channels of a latent (bands, T)",
    )
    mean: float | None = Field(
        None, description="mean level in dB; none: fitted to the data, -60 without data"
    )
    std: float | None = Field(
        None,
        gt=0,
        description="standard deviation in dB; none: fitted to the data, 13 without data",
    )
    inversion_iters: int = Field(30, ge=0, description="updates of the magnitudes in decoding")
    griffin_lim_iters: int = Field(32, ge=0, description="iterations of the phase estimate")
    momentum: float = Field(0.99, ge=0, lt=1, description="acceleration of the phase estimate")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return (C bands; T) or (C; bands, T) with T = ceil(samples / hop).

        Raises UsageError for options that contradict each other or do not fit the sample rate.
        """
        self._check(audio)
        frames = frame_count(samples, self.hop)
        if self.layout == "image":
            return LatentSpec(audio.channels, (self.bands, frames))
        return LatentSpec(audio.channels * self.bands, (frames,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the CodecModule.

        Raises UsageError for options that contradict each other or do not fit the sample rate.
        """
        from kernel_plugins.codecs._mel import MelModule

        self._check(audio)
        return MelModule(
            sample_rate=audio.sample_rate,
            channels=audio.channels,
            bands=self.bands,
            n_fft=self.n_fft,
            window=self._window,
            hop=self.hop,
            f_min=self.f_min,
            f_max=self._f_max(audio),
            floor=10 ** (self.floor / 20),
            image=self.layout == "image",
            mean=-60.0 if self.mean is None else self.mean,
            std=13.0 if self.std is None else self.std,
            inversion_iters=self.inversion_iters,
            griffin_lim_iters=self.griffin_lim_iters,
            momentum=self.momentum,
        )

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with `mean` and `std` from the examples, unless they are set."""
        if self.mean is not None and self.std is not None:
            return self
        raw: Any = self.model_copy(update={"mean": 0.0, "std": 1.0}).build(audio)
        mean, power = moments("mel", raw, examples)
        std = math.sqrt(power - mean**2)
        return self.model_copy(
            update={
                "mean": mean if self.mean is None else self.mean,
                "std": std if self.std is None else self.std,
            }
        )

    @property
    def _window(self) -> int:
        return self.n_fft * 4 // 5 if self.window is None else self.window

    def _f_max(self, audio: AudioSpec) -> float:
        return audio.sample_rate / 2 if self.f_max is None else self.f_max

    def _check(self, audio: AudioSpec) -> None:
        check_hop("mel", self._window, self.hop)
        if self._window > self.n_fft:
            raise UsageError(
                f"The codec 'mel' has a window of {self._window} samples, more than its n_fft of "
                f"{self.n_fft}; set window to {self.n_fft} or less."
            )
        f_max, nyquist = self._f_max(audio), audio.sample_rate / 2
        if f_max > nyquist:
            raise UsageError(
                f"The codec 'mel' has an f_max of {f_max:g} Hz, more than half the sample rate of "
                f"{audio.sample_rate} Hz; set f_max to {nyquist:g} or less."
            )
        if self.f_min >= f_max:
            raise UsageError(
                f"The codec 'mel' has an f_min of {self.f_min:g} Hz, not below the f_max of "
                f"{f_max:g} Hz; set a lower f_min."
            )
        low, high = _mel(self.f_min), _mel(f_max)
        width = audio.sample_rate / self.n_fft
        edges = [_hertz(low + (high - low) * i / (self.bands + 1)) for i in range(self.bands + 2)]
        for lower, upper in zip(edges, edges[2:], strict=False):
            if math.ceil(upper / width) - math.floor(lower / width) < 2:
                raise UsageError(
                    f"The codec 'mel' has a band from {lower:.1f} to {upper:.1f} Hz that holds no "
                    f"bin of an n_fft of {self.n_fft}; set fewer bands or a longer n_fft."
                )


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _hertz(mel: float) -> float:
    return float(700 * (10 ** (mel / 2595) - 1))


@hookimpl
def codec() -> type[Codec]:
    """Offer `mel`."""
    return Mel
