"""The learned weight of a loss: the expected error at each sigma."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["Balance"]


class Balance(nn.Module):
    """u(sigma), the logarithm of the expected loss, from Fourier features of ln(sigma) / 4.

    Karras et al. 2024 (EDM2), eq. 21: loss exp(-u) + u is smallest where exp(u) is the expected
    loss. All sigmas then have the same weight in the end. It starts as u = 0.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, features: int = 128) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", torch.randn(features, generator=draws))
        self.register_buffer("phases", 2 * math.pi * torch.rand(features, generator=draws))
        self.last = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, loss: Tensor, sigma: Tensor) -> Tensor:
        """Return the balanced loss of each item. loss, sigma, result: [B]."""
        angle = sigma.log()[:, None] * (math.pi / 2) * self.frequencies + self.phases
        expected: Tensor = self.last(angle.cos() * math.sqrt(2))[:, 0]
        return loss * (-expected).exp() + expected
