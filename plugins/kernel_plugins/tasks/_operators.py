"""What a task can measure of audio: operators, with their adjoints and projections.

A measurement of audio [B, C, L] is y = A(x). A projection moves x to an x' with A(x') = y that is
as near as possible: where the set of such x' is convex and the projection orthogonal, no sound that
agrees with y comes to lie further away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Self

import attrs
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from kernel import LatentSpace, Measurement, resample
from kernel_plugins.mathematics.linear import conjugate_gradients
from kernel_plugins.mathematics.losses import l1, l2

__all__ = [
    "Clip",
    "Filter",
    "Linear",
    "LowPass",
    "Mask",
    "MonoFromStereo",
    "Operator",
    "Quantise",
    "Resample",
    "RoomResponse",
    "StftMagnitude",
    "SumOfSources",
    "Whitened",
    "low_pass_taps",
    "measure",
    "on_device",
]


@attrs.frozen(eq=False)
class Operator:
    """A measurement of audio. Its tensors broadcast against audio [B, C, L].

    `projects` says whether there is a projection, `differentiable` whether what is measured has a
    gradient; an operator without one returns a result that is detached.
    """

    projects: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True

    def __call__(self, audio: Tensor) -> Tensor:
        """Return what is measured of audio [B, C, L]."""
        raise NotImplementedError

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the nearest audio [B, C, L] that `target` can have been measured of."""
        raise NotImplementedError

    def like(self, audio: Tensor) -> Self:
        """Return the operator with its tensors of the dtype and on the device of `audio`."""
        own = {name: getattr(self, name) for name in attrs.fields_dict(type(self))}
        moved = {name: v.type_as(audio) for name, v in own.items() if isinstance(v, Tensor)}
        return attrs.evolve(self, **moved)


@attrs.frozen(eq=False)
class Linear(Operator):
    """A linear operator, with its adjoint: <A x, y> = <x, A* y>.

    The projection is the least change, x + A* (A A* + ridge)^-1 (y - A x), with the inverse by
    `iterations` of conjugate gradients for each item: exact to about `ridge` on what A lets pass,
    and held back where A lets next to nothing pass, so that noise in y is not blown up.
    """

    ridge: ClassVar[float] = 1e-3
    iterations: ClassVar[int] = 12

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A* y: [B, C, samples]."""
        raise NotImplementedError

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the audio with the least change that makes it agree with `target`."""
        samples = audio.shape[-1]

        def normal(y: Tensor) -> Tensor:
            return self(self.adjoint(y, samples)) + self.ridge * y

        missing = target - self(audio)
        return audio + self.adjoint(conjugate_gradients(normal, missing, self.iterations), samples)


@attrs.frozen(eq=False)
class Whitened(Linear):
    """All of it, weighted by frequency: noise of one spectrum becomes white.

    weight: [B, 1, F], at frequencies from 0 to the Nyquist's, between which it is interpolated.
    There is no projection, since what is known has noise.
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
class Mask(Linear):
    """The samples to keep, with zeros for the others. keep: [B, 1, L], bool."""

    keep: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio where it is kept."""
        return audio * self.keep

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return y where it is kept."""
        return y * self.keep

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the target where it is kept and the audio elsewhere, every sample as it is."""
        return torch.where(self.keep > 0, target, audio)


@attrs.frozen(eq=False)
class LowPass(Linear):
    """The frequencies of a discrete Fourier transform up to `cutoff`, a share of the Nyquist's.

    Nothing between passes in part, so that it is an orthogonal projection: A = A* = A A. The
    transform is of the whole length, whose ends are thereby neighbours. cutoff: [B, 1, 1].
    """

    cutoff: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio without what lies above the cutoff."""
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
class Filter(Linear):
    """A convolution with `response` [B or 1, C or 1, N], whose sample `delay` is now; cut to L."""

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
    """What is heard in a room, from its impulse response; `delay` is where the direct sound is.

    keep: [B, 1, L], bool, true for the samples that are measured, or None for all of them.

    The projection is approximate, of the kind of Wiener's filter: what the room has swallowed, to
    `ridge` of the power that a response of unit energy passes on average, is left as it is.
    """

    iterations: ClassVar[int] = 24

    keep: Tensor | None = None

    def __call__(self, audio: Tensor) -> Tensor:
        """Return what is heard, zero where it is not measured."""
        heard = super().__call__(audio)
        return heard if self.keep is None else heard * self.keep

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return the correlation of what is measured with the response."""
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
class Clip(Operator):
    """The audio cut off below `low` and above `high`, both [B, 1, 1].

    Of a sample of the target that lies on a bound only its sign is known. The gradient is that of
    the samples which the estimate does not clip.
    """

    low: Tensor
    high: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio within the bounds."""
        return audio.clamp(self.low, self.high)

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the target, and where it is on a bound the audio, moved to or beyond the bound."""
        below = torch.where(target <= self.low, audio.minimum(self.low), target)
        return torch.where(target >= self.high, audio.maximum(self.high), below)


@attrs.frozen(eq=False)
class Quantise(Operator):
    """The audio in whole multiples of `step`, [B, 1, 1]; it has no gradient."""

    differentiable: ClassVar[bool] = False

    step: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the nearest multiples."""
        return (audio.detach() / self.step).round() * self.step

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the audio moved to less than half a step from the target."""
        # A little less: the borders belong to one of two neighbours only.
        half = self.step * (0.5 * (1 - 1e-5))
        return audio.clamp(target - half, target + half)


@attrs.frozen(eq=False)
class MonoFromStereo(Linear):
    """The mean of C channels: [B, 1, L]."""

    channels: int = 2

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the mean of the channels."""
        return audio.mean(1, keepdim=True)

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return y / C in every channel."""
        return (y / self.channels).expand(-1, self.channels, -1)

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the audio with what its mean lacks added to every channel."""
        return audio + (target - self(audio))


@attrs.frozen(eq=False)
class SumOfSources(Linear):
    """The mean of every `sources` neighbours in the batch, given to each of them.

    The target is the mixture divided by `sources`, once for each source, and its noise that of the
    mixture divided by the root of `sources`: so scaled, A is an orthogonal projection, A = A* = AA,
    and the sum of squares over the sources is that of the mixture's likelihood.
    """

    sources: int

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the means: [B, C, L]."""
        groups = audio.view(-1, self.sources, *audio.shape[1:])
        return groups.mean(1, keepdim=True).expand_as(groups).reshape(audio.shape)

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A y."""
        return self(y)

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the sources with what the mixture has besides, in equal shares."""
        return audio + (target - self(audio))


@attrs.frozen(eq=False)
class StftMagnitude(Operator):
    """The magnitudes of a short-time Fourier transform (Hann window): [B, C, n_fft / 2 + 1, T].

    The projection gives the audio the magnitudes and keeps its phases; the result has them as far
    as there is a sound that does, as an iteration of Griffin and Lim.
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


def measure(
    space: LatentSpace,
    operator: Operator,
    target: Tensor,
    distance: Literal["l1", "l2"] | Callable[[Tensor, Tensor], Tensor] = "l1",
    noise: float | Tensor = 0.0,
) -> Measurement:
    """Return what an operator measures of the audio that latents stand for, through the decoder.

    target: what was measured, in the units of the audio that the codec takes, on the CPU. noise:
    the standard deviation of its error, or that of each item, [B]. Both sides of the measurement
    are divided by the codec's gain, which makes a step in the latent as large as the one it causes
    in what is measured: a guidance is as strong with one codec as with another.
    """
    probe = torch.randn(1, *space.latent.shape, generator=torch.Generator().manual_seed(0))
    probe = on_device(space, probe)
    heard = space.decode(probe, space.samples)
    gain = float((heard.square().mean() / probe.square().mean()).sqrt())
    operator, known = operator.like(heard), target.type_as(heard)

    def predicted(x0: Tensor) -> Tensor:
        return operator(space.decode(x0, space.samples)) / gain

    def projected(x0: Tensor) -> Tensor:
        return space.encode(operator.project(space.decode(x0, space.samples), known))

    return Measurement(
        predicted,
        known / gain,
        DISTANCES[distance] if isinstance(distance, str) else distance,
        projected if operator.projects else None,
        _each(noise, heard, probe.ndim) / gain,
    )


def on_device(space: LatentSpace, tensor: Tensor) -> Tensor:
    """Return a tensor of the CPU with the dtype and on the device of the run's latents."""
    return tensor.to(space.device, space.dtype)


DISTANCES = {"l1": l1, "l2": l2}


def _each(noise: float | Tensor, like: Tensor, axes: int) -> float | Tensor:
    """Return noise [B] with so many axes, of the dtype and on the device of `like`."""
    if isinstance(noise, float):
        return noise
    return noise.type_as(like).view(-1, *[1] * (axes - 1))
