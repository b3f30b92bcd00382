"""The modules of the codec `waveform`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class ScaleModule(nn.Module):
    """Samples divided by `std`, and back."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, C, L]. audio: [B, C, L]."""
        return audio / self.std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return [B, C, samples]. latent: [B, C, L] with L >= samples."""
        return latent[..., :samples] * self.std


class FoldModule(nn.Module):
    """Frames of 2 `hop` samples every `hop` samples, divided by `std`, and back."""

    rise: Tensor

    def __init__(self, channels: int, hop: int, std: float) -> None:
        super().__init__()
        self.channels, self.hop, self.std = channels, hop, std
        rise, fall = torch.hamming_window(2 * hop).chunk(2)
        self.register_buffer("rise", (rise / (rise + fall))[:, None], persistent=False)

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, 2 C hop, T]. audio: [B, C, L]."""
        missing = -audio.shape[-1] % self.hop
        frames = pad(audio / self.std, (self.hop, missing + self.hop)).unfold(
            -1, 2 * self.hop, self.hop
        )
        return frames.transpose(2, 3).flatten(1, 2)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return [B, C, samples]. latent: as from `encode` of at least `samples` samples."""
        frames = latent.reshape(len(latent), self.channels, 2 * self.hop, latent.shape[-1])
        ending, starting = frames[:, :, self.hop :, :-1], frames[:, :, : self.hop, 1:]
        blocks = ending.lerp(starting, self.rise) * self.std
        return blocks.transpose(2, 3).flatten(2)[..., :samples]
