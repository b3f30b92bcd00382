"""A variational autoencoder of a third party: a codec that is trained, and the recipe for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from kernel import AudioSpec, Batch, LatentSpec, Parts, Recipe, TrainedCodec, hookimpl

HOP = 8


class Convolutional(TrainedCodec):
    """Two convolutions there and two back, with a normal distribution in between."""

    channels: int = Field(4, ge=1, description="channels of the latent")
    width: int = Field(16, ge=1, description="channels within")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        return LatentSpec(self.channels, (-(-samples // HOP),))

    def build(self, audio: AudioSpec) -> nn.Module:
        return Autoencoder(audio.channels, self.width, self.channels)


class Autoencoder(nn.Module):
    """A CodecModule: 8 samples to a frame."""

    def __init__(self, channels: int, width: int, latent: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, width, 8, 4, padding=2)
        self.second = nn.Conv1d(width, 2 * latent, 4, 2, padding=1)
        self.third = nn.ConvTranspose1d(latent, width, 4, 2, padding=1)
        self.fourth = nn.ConvTranspose1d(width, channels, 8, 4, padding=2)

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        whole = pad(audio, (0, -audio.shape[-1] % HOP))
        mean, spread = self.second(torch.tanh(self.first(whole))).chunk(2, 1)
        return mean, softplus(spread) + 1e-4

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        sound: Tensor = self.fourth(torch.tanh(self.third(latent)))
        return sound[..., :samples]


class Elbo(Recipe):
    """Train a codec to give back what it was given, near a standard normal latent."""

    requires: ClassVar[tuple[str, ...]] = ("codec", "task")
    trains: ClassVar[tuple[str, ...]] = ("codec",)

    kl: float = Field(1e-3, ge=0, description="weight of the divergence from N(0, 1)")

    def build(self, parts: Parts) -> nn.Module:
        return Bound(parts, self.kl)


class Bound(nn.Module):
    """A RecipeModule: L1 and the KL divergence (Kingma and Welling 2014, eq. 7)."""

    def __init__(self, parts: Parts, kl: float) -> None:
        super().__init__()
        self.codec = parts.codec
        self.kl = kl

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {"codec": list(self.codec.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        return {"codec": self.codec}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        mean, std = self.codec.encode(batch.audio)  # type: ignore[operator]
        drawn = mean + std * batch.normal(mean)
        found = self.codec.decode(drawn, batch.audio.shape[-1])  # type: ignore[operator]
        divergence = (mean.square() + std.square() - 1) / 2 - std.log()
        error = batch.mean((found - batch.audio).abs())
        return {"codec": error + self.kl * divergence.mean((1, 2))}


@hookimpl
def codec() -> type[TrainedCodec]:
    return Convolutional


@hookimpl
def recipe() -> type[Recipe]:
    return Elbo
