"""The module of the metric, in a file of its own so that finding it needs no torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MineMeter(nn.Module):
    """Adds up the power of what it is given. A `torchmetrics.Metric` would do as well."""

    power: Tensor
    count: Tensor

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        # Buffers move with the module to wherever the sounds are.
        self.register_buffer("power", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))

    def update(self, *audio: Tensor) -> None:
        """Take in a sound [C, L]."""
        (sound,) = audio
        self.power += sound.square().sum()
        self.count += sound.numel()

    def compute(self) -> Tensor:
        """Return the level of all that was taken in, in dB, at least `floor`."""
        mean = self.power / self.count.clamp(min=1)
        return (10 * mean.log10()).clamp(min=self.floor)

    def reset(self) -> None:
        """Forget what was taken in."""
        self.power.zero_()
        self.count.zero_()
