"""Operators on the frequencies of audio: filters, rooms, rates and spectra."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from kernel import resample
from kernel_plugins.tasks._operators import Linear, Operator

__all__ = [
    "Filter",
    "LowPass",
    "Resample",
    "RoomResponse",
    "StftMagnitude",
    "Whitened",
    "low_pass_taps",
]


@attrs.frozen(eq=False)
class LowPass(Linear):
    """The frequencies of a discrete Fourier transform up to `cutoff`, a share of the Nyquist's.

    Every frequency passes completely or not at all: an orthogonal projection, A = A* = A A. The
    transform takes the whole length, so both ends are neighbours. cutoff: [B, 1, 1].
    """

    cutoff: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio below the cutoff."""
        spectrum = torch.fft.rfft(audio)
        share = torch.linspace(0, 1, spectrum.shape[-1], dtype=audio.dtype).type_as(audio)
        low: Tensor = torch.fft.irfft(spectrum * (share <= self.cutoff), audio.shape[-1])
        return low

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A y."""
        return self(y)

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the target below the cutoff and the audio above."""
        return audio + self(target - audio)


@attrs.frozen(eq=False)
class Whitened(Linear):
    """The audio weighted by frequency: noise of one spectrum becomes white.

    weight: [B, 1, F], at frequencies from 0 to the Nyquist's, interpolated between them. There is
    no projection: the measurement has noise.
    """

    projects: ClassVar[bool] = False

    weight: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the weighted audio."""
        spectrum = torch.fft.rfft(audio)
        weight = interpolate(self.weight, spectrum.shape[-1], mode="linear", align_corners=True)
        whitened: Tensor = torch.fft.irfft(spectrum * weight, audio.shape[-1])
        return whitened

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A y."""
        return self(y)


@attrs.frozen(eq=False)
class Filter(Linear):
    """A convolution with `response` [B or 1, C or 1, N], cut to L; its sample `delay` is time 0."""

    response: Tensor
    delay: int = 0

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the sum over n of response[n] audio[t + delay - n]."""
        samples = audio.shape[-1]
        size = samples + self.response.shape[-1] - 1
        spectrum = torch.fft.rfft(audio, size) * torch.fft.rfft(self.response, size)
        whole: Tensor = torch.fft.irfft(spectrum, size)
        return whole[..., self.delay : self.delay + samples]

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return the sum over n of response[n] y[t - delay + n]."""
        size = samples + self.response.shape[-1] - 1
        spectrum = torch.fft.rfft(pad(y, (self.delay, size - samples - self.delay)))
        spectrum = spectrum * torch.fft.rfft(self.response, size).conj()
        whole: Tensor = torch.fft.irfft(spectrum, size)
        return whole[..., :samples]


@attrs.frozen(eq=False)
class RoomResponse(Filter):
    """The sound in a room, from its impulse response; `delay` is the sample of the direct sound.

    keep: [B, 1, L], bool, true for the measured samples, or None for all of them.

    The projection is approximate, like Wiener's filter: it leaves frequencies unchanged that the
    room has muted to `ridge` of the mean power of a response of unit energy.
    """

    iterations: ClassVar[int] = 24

    keep: Tensor | None = None

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the sound in the room, zero where it is not measured."""
        heard = super().__call__(audio)
        return heard if self.keep is None else heard * self.keep

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return the correlation of the measured samples with the response."""
        return super().adjoint(y if self.keep is None else y * self.keep, samples)


@attrs.frozen(eq=False)
class Resample(Linear):
    """The audio at another rate, by the kernel's own windowed sinc.

    The projection is exact up to 0.94 of the lower Nyquist frequency, beyond which the sinc fades.
    """

    source: int
    target: int

    def __call__(self, audio: Tensor) -> Tensor:
        """Return [B, C, ceil(L target / source)]."""
        return resample(audio, self.source, self.target)

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A* y, by differentiating <A x, y>."""
        x = y.new_zeros(*y.shape[:-1], samples, requires_grad=True)
        with torch.enable_grad():
            product = (self(x) * y.detach()).sum()
        (found,) = torch.autograd.grad(product, x)
        return found


@attrs.frozen(eq=False)
class StftMagnitude(Operator):
    """The magnitudes of a short-time Fourier transform (Hann window): [B, C, n_fft / 2 + 1, T].

    The projection sets the magnitudes of the audio and keeps its phases, as an iteration of Griffin
    and Lim does: the result has these magnitudes as far as a sound can have them.
    """

    n_fft: int = 512
    hop: int = 128

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the magnitudes."""
        return self._spectrum(audio).abs()

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the sound nearest to the target's magnitudes with the audio's phases."""
        spectrum = self._spectrum(audio)
        phase = torch.polar(torch.ones_like(target), spectrum.angle())
        sound = torch.istft(
            (target * phase).flatten(0, 1),
            self.n_fft,
            self.hop,
            window=self._window(audio),
            length=audio.shape[-1],
        )
        return sound.view_as(audio)

    def _spectrum(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(
            audio.flatten(0, 1),
            self.n_fft,
            self.hop,
            window=self._window(audio),
            return_complex=True,
            pad_mode="constant",
        )
        return spectrum.view(*audio.shape[:2], *spectrum.shape[1:])

    def _window(self, audio: Tensor) -> Tensor:
        return torch.hann_window(self.n_fft, dtype=audio.dtype).type_as(audio)


def low_pass_taps(cutoff: float, taps: int) -> Tensor:
    """Return a windowed sinc of odd length, [1, 1, taps]; cutoff: share of the Nyquist frequency.

    Half of the amplitude is left at the cutoff (Kaiser window, beta 8: about 80 dB). As a `Filter`
    its delay is (taps - 1) / 2.
    """
    time = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=8.0, dtype=torch.float64)
    response = torch.sinc(cutoff * time) * window
    return (response / response.sum())[None, None]
