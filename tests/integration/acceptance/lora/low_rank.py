"""The matrices of the adapters. They are a module of their own, because they import torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Adds a trained product of two thin matrices to a weight [out, in, ...]; it starts at 0."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight[0].numel()) * weight[0].numel() ** -0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with the product added, in the same shape."""
        return weight + (self.up @ self.down).view_as(weight)


def adapt(network: nn.Module, rank: int) -> None:
    """Freeze a network, and add a LowRank to each of its linear maps and convolutions."""
    network.requires_grad_(False)
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            added = LowRank(module.weight, rank)
            parametrize.register_parametrization(module, "weight", added)


def merge(network: nn.Module) -> nn.Module:
    """Return the network with every LowRank added to its weight for good."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
    return network
