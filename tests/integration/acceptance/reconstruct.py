"""`reconstruct`: a codec of one matrix, and the recipe that trains it: no objective, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from kernel import AudioSpec, Batch, Codec, LatentSpec, Parts, Recipe, hookimpl

FRAME, CHANNELS = 16, 4


class Frames(Codec):
    """Map frames of audio to four numbers and back, by two matrices that are trained."""

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return a latent of whole frames."""
        return LatentSpec(CHANNELS, (samples // FRAME,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a CodecModule with fresh matrices."""
        return Matrices()


class Matrices(nn.Module):
    """Two linear maps of frames."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(FRAME, CHANNELS), nn.Linear(CHANNELS, FRAME)

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, 4, L / 16] for audio [B, 1, L]."""
        coded: Tensor = self.down(audio.view(len(audio), -1, FRAME))
        return coded.transpose(1, 2)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return audio [B, 1, samples]."""
        frames: Tensor = self.up(latent.transpose(1, 2))
        return frames.reshape(len(latent), 1, -1)[..., :samples]


class Reconstruct(Recipe):
    """Train a codec to give back what it was given."""

    requires: ClassVar[tuple[str, ...]] = ("codec", "task")
    trains: ClassVar[tuple[str, ...]] = ("codec",)

    def build(self, parts: Parts) -> nn.Module:
        """Return the codec and its loss."""
        return Step(parts)


class Step(nn.Module):
    """The squared error of what comes back."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.codec = parts.codec
        self._there_and_back = parts.evaluate(
            lambda audio: parts.codec.decode(parts.codec.encode(audio), audio.shape[-1])
        )

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return the codec."""
        return {"codec": list(self.codec.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the codec."""
        return {"codec": self.codec}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]."""
        assert batch.x0 is None
        error = self._there_and_back(batch.audio) - batch.audio
        return {"codec": batch.mean(error.square())}


@hookimpl
def codec(name: str) -> type[Codec] | None:
    """Offer `frames`."""
    return Frames if name == "frames" else None


@hookimpl
def recipe(name: str) -> type[Recipe] | None:
    """Offer `reconstruct`."""
    return Reconstruct if name == "reconstruct" else None
