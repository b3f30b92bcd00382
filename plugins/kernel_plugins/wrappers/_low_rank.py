"""The sum of a frozen matrix and a trained product of two thin matrices."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from kernel import UsageError

__all__ = ["LowRank", "adapt", "merge"]

MAPS = (nn.Linear, _ConvNd)


class LowRank(nn.Module):
    """Adds `scale` B A to a weight [out, in, ...]; its axes after the first count as one."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return W + scale B A, shaped like `weight`."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def adapt(network: nn.Module, rank: int, scale: float, targets: str) -> None:
    """Freeze a network and add a LowRank to each matrix of the modules that `targets` matches.

    Raises UsageError when it matches none.
    """
    found = [
        module
        for name, module in network.named_modules()
        if isinstance(module, MAPS) and re.search(targets, name)
    ]
    if not found:
        raise UsageError(
            f"no linear map or convolution of the network matches wrapper.lora.targets "
            f"{targets!r}; change the expression, or leave the option out"
        )
    network.requires_grad_(False)
    for module in found:
        added = LowRank(module.weight, rank, scale)
        parametrize.register_parametrization(module, "weight", added)


def merge(network: nn.Module) -> None:
    """Add each LowRank to its matrix for good, and remove it."""
    whole: Any
    for whole in list(network.modules()):
        if parametrize.is_parametrized(whole, "weight"):
            (*_, last) = whole.parametrizations["weight"]
            if isinstance(last, LowRank):
                parametrize.remove_parametrizations(whole, "weight")
