"""The way from audio to latents and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from kernel.hooks import hookimpl, hookspec
from kernel.kinds._component import Component
from kernel.values import AudioSpec, LatentSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Codec", "CodecModule"]


@hookspec
def codec(name: str) -> type[Codec] | None:
    """Return the codec called `name`, or None when the plugin has no such codec."""


@hookimpl
@hookspec(firstresult=True)
def build_codec(component: Codec, audio: AudioSpec) -> nn.Module:
    """Build the module of `component` for such audio."""
    return component.build(audio)


class CodecModule(Protocol):
    """The `torch.nn.Module` that a codec builds: audio to latents of unit variance and back."""

    def encode(self, audio: Tensor) -> Tensor:
        """Return the latent of `audio` [B, C, L]: [B, *latent(audio, L).shape]."""

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return `samples` samples of audio [B, C, samples]; differentiable wherever it can be."""


class Codec(Component):
    """Maps audio to the latents that are diffused, of zero mean and unit variance, and back."""

    kind: ClassVar[str] = "codec"
    fixed: ClassVar[bool] = True

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return the shape of the latent of `samples` samples of such audio."""
        raise NotImplementedError

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a CodecModule for such audio."""
        raise NotImplementedError

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with what the data decides (a mean, a scale) filled in.

        examples: audio [C, L]. Called once, before training; what it returns is what is saved.
        """
        return self
