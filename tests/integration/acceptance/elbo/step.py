"""The module of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kernel import Batch, Parts


class Step(nn.Module):
    """The codec, in one group."""

    def __init__(self, parts: Parts, kl: float) -> None:
        super().__init__()
        self.codec: Any = parts.codec
        self.kl = kl

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return all of the codec."""
        return {"codec": list(self.codec.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the codec."""
        return {"codec": self.codec}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]. A codec without a standard deviation has 1."""
        coded = self.codec.encode(batch.audio)
        mean, std = coded if isinstance(coded, tuple) else (coded, torch.ones_like(coded))
        found = self.codec.decode(mean + std * batch.normal(mean), batch.audio.shape[-1])
        divergence = (mean.square() + std.square() - 1) / 2 - std.log()
        # Padding is known at the rate of the audio.
        divergence = interpolate(divergence, batch.audio.shape[-1])
        error = batch.mean((found - batch.audio).abs())
        return {"codec": error + self.kl * batch.mean(divergence)}
