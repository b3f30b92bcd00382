"""Operators that measure audio, with their adjoints and projections.

A measurement of audio [B, C, L] is y = A(x). A projection moves x to the nearest x' with
A(x') = y. If the set of such x' is convex and the projection orthogonal, x' is nearer than x to
every sound that agrees with y. This module has operators on samples and channels, `_filters` on
frequencies.
"""

from __future__ import annotations

from typing import ClassVar, Self

import attrs
import torch
from torch import Tensor

from kernel_plugins.mathematics.linear import conjugate_gradients

__all__ = [
    "Clip",
    "Linear",
    "Mask",
    "MonoFromStereo",
    "Operator",
    "Quantise",
    "SumOfSources",
]


@attrs.frozen(eq=False)
class Operator:
    """A measurement of audio. Its tensors broadcast against audio [B, C, L].

    projects: whether there is a projection. differentiable: whether the result has a gradient; an
    operator without a gradient returns a detached result.
    """

    projects: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the measurement of audio [B, C, L]."""
        raise NotImplementedError

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the nearest audio [B, C, L] whose measurement is `target`."""
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
    `iterations` of conjugate gradients for each item. It is exact to about `ridge` where A passes
    the signal. Where A passes almost nothing, `ridge` limits the change and the noise in y.
    """

    ridge: ClassVar[float] = 1e-3
    iterations: ClassVar[int] = 12

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return A* y: [B, C, samples]."""
        raise NotImplementedError

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the audio after the least change that agrees with `target`."""
        samples = audio.shape[-1]

        def normal(y: Tensor) -> Tensor:
            return self(self.adjoint(y, samples)) + self.ridge * y

        missing = target - self(audio)
        return audio + self.adjoint(conjugate_gradients(normal, missing, self.iterations), samples)


@attrs.frozen(eq=False)
class Mask(Linear):
    """The kept samples, with zeros for the others. keep: [B, 1, L], bool."""

    keep: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio where it is kept."""
        return audio * self.keep

    def adjoint(self, y: Tensor, samples: int) -> Tensor:
        """Return y where it is kept."""
        return y * self.keep

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the target where it is kept and the audio elsewhere, unchanged."""
        return torch.where(self.keep > 0, target, audio)


@attrs.frozen(eq=False)
class Clip(Operator):
    """The audio cut off below `low` and above `high`, both [B, 1, 1].

    A target sample on a bound means: the sound is at or beyond the bound. Only samples that the
    estimate does not clip have a gradient.
    """

    low: Tensor
    high: Tensor

    def __call__(self, audio: Tensor) -> Tensor:
        """Return the audio within the bounds."""
        return audio.clamp(self.low, self.high)

    def project(self, audio: Tensor, target: Tensor) -> Tensor:
        """Return the target; where it is on a bound, the audio moved to or beyond the bound."""
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
        # A little less: a border belongs to only one of its two neighbours.
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
        """Return the audio with the error of its mean added to every channel."""
        return audio + (target - self(audio))


@attrs.frozen(eq=False)
class SumOfSources(Linear):
    """The mean of every `sources` neighbours in the batch, given to each of them.

    The target is the mixture divided by `sources`, once for each source. Its noise is that of the
    mixture divided by the root of `sources`. With this scale A is an orthogonal projection,
    A = A* = AA, and the sum of squares over the sources is that of the mixture's likelihood.
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
        """Return the sources plus the rest of the mixture in equal shares."""
        return audio + (target - self(audio))
