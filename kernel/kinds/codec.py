"""The way from audio to latents and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from pydantic import Field

from kernel.kinds._component import Component, hookimpl, hookspec
from kernel.values import AudioSpec, LatentSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Codec", "CodecModule", "TrainedCodec"]


@hookimpl
@hookspec(firstresult=True)
def build_codec(component: Codec, audio: AudioSpec) -> nn.Module:
    """Build the module of `component` for such audio."""
    return component.build(audio)


class CodecModule(Protocol):
    """The `torch.nn.Module` that a codec builds: audio to latents of unit variance and back."""

    def encode(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the latent of `audio` [B, C, L]: [B, *latent(audio, L).shape].

        Or return its mean and its standard deviation, both of that shape: the runner draws x0 of a
        training from them with the item's generator, and takes the mean everywhere else.
        """

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return `samples` samples of audio [B, C, samples]; differentiable wherever it can be."""


class Codec(Component):
    """Maps audio to the latents that are diffused, of zero mean and unit variance, and back."""

    kind: ClassVar[str] = "codec"
    fixed: ClassVar[bool] = True

    trained: ClassVar[bool] = False
    """Whether its module has weights of its own, which a `TrainedCodec` has."""

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


class TrainedCodec(Codec):
    """A codec with weights of its own: a recipe trains them, and a pack without a network has them.

    The module may encode to any scale. At the end of its training the runner measures mean and
    standard deviation of each channel, over what may be drawn, and from then on everybody is handed
    latents that these standardise. A training of a network names the pack, `codec.pack=NAME`; the
    codec is frozen there, and its other options are the pack's.
    """

    trained: ClassVar[bool] = True
    changeable: ClassVar[tuple[str, ...]] = ("pack",)

    pack: str | None = Field(None, description="model that has the weights: a name, or a folder")
    mean: tuple[float, ...] = Field((), description="mean of each channel, found by its training")
    std: tuple[float, ...] = Field(
        (), description="standard deviation of each channel, found by its training"
    )
