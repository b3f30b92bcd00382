"""The two networks of `predicted`. They are a module of their own, because they import torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kernel import Condition, Prepared


class Both(nn.Module):
    """A predictor of the clean latent, and a generator that is shown x_t and the prediction."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.predictor = convolutions(channels, width, channels)
        self.generator = convolutions(2 * channels + 1, width, channels)

    def prepare(self, condition: Condition) -> Prepared:
        """Return the prediction, for the generator and as the origin of the process."""
        predicted = condition.origin + self.predictor(condition.origin)
        return Prepared(predicted, predicted)

    def forward(self, x: Tensor, c_noise: Tensor, predicted: Any) -> Tensor:
        """Return F. x, predicted, result: [B, C, T]; c_noise: [B]."""
        told = c_noise.view(-1, 1, 1).expand(-1, 1, x.shape[-1])
        result: Tensor = self.generator(torch.cat([x, predicted, told], 1))
        return result


def convolutions(before: int, width: int, after: int) -> nn.Module:
    """Return three convolutions over time, the last of which starts at 0."""
    last = nn.Conv1d(width, after, 3, padding=1)
    nn.init.zeros_(last.weight)
    return nn.Sequential(
        nn.Conv1d(before, width, 3, padding=1),
        nn.SiLU(),
        nn.Conv1d(width, width, 3, padding=1),
        nn.SiLU(),
        last,
    )
