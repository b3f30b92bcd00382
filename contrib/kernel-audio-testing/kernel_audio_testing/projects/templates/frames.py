"""The module of the codec, in a file of its own so that finding it needs no torch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad


class MineFrames(nn.Module):
    """Cuts audio into frames of `frame` samples, divided by `std`, and joins them again."""

    def __init__(self, channels: int, frame: int, std: float) -> None:
        super().__init__()
        self.channels, self.frame, self.std = channels, frame, std

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, C * frame, T]. audio: [B, C, L], filled up with zeros to T whole frames."""
        whole = pad(audio / self.std, (0, -audio.shape[-1] % self.frame))
        frames = whole.unfold(-1, self.frame, self.frame)
        return frames.transpose(2, 3).flatten(1, 2)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return [B, C, samples]. latent: [B, C * frame, T]."""
        frames = latent.reshape(len(latent), self.channels, self.frame, latent.shape[-1])
        return frames.transpose(2, 3).flatten(2)[..., :samples] * self.std
