"""A lab's own parts, called as shipped ones are and with other options."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Codec,
    ConditionSpec,
    Denoise,
    LatentSpec,
    Noise,
    Solver,
    Step,
    hookimpl,
)


class Private(Solver):
    """Step along the slope, a little less far than to the end."""

    damping: float = Field(0.5, gt=0, le=1, description="how much of a step is taken")

    @property
    def order(self) -> int:
        return 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            x = x0.lerp(x, 1 - self.damping * (1 - following / sigma))
            x = yield Step(index, following, x, x0)


class Other(Backbone):
    """Has other options than the shipped one, and so cannot take its place."""

    rooms: int = Field(3, description="something else")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        raise NotImplementedError


class Waveform(Codec):
    """Takes the options of the shipped one, and a file."""

    changeable: ClassVar[tuple[str, ...]] = ("gain",)

    fold: int = Field(0, description="frames")
    std: float = Field(0.1, description="standard deviation")
    gain: float = Field(1.0, description="what sounds are multiplied with")
    weights: Path | None = Field(None, description="a file")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        return LatentSpec(audio.channels, (samples,))

    def build(self, audio: AudioSpec) -> nn.Module:
        return Scaled(self.std, self.gain)


class Scaled(nn.Module):
    """Divides by a standard deviation."""

    def __init__(self, std: float, gain: float) -> None:
        super().__init__()
        self.std, self.gain = std, gain

    def encode(self, audio: Tensor) -> Tensor:
        return audio / self.std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        return latent[..., :samples] * self.std * self.gain


@hookimpl
def solver() -> type[Solver]:
    return Private


@hookimpl
def backbone() -> type[Backbone]:
    return Other


@hookimpl
def codec() -> type[Codec]:
    return Waveform
