"""The sum of a frozen matrix and a trained product of two thin matrices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from kernel import UsageError

__all__ = ["Decomposed", "LowRank", "adapt", "merge"]

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


class Decomposed(LowRank):
    """Gives the rows of that sum trained norms, which start at those of the weight."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__(weight, rank, scale)
        self.magnitude = nn.Parameter(_norms(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return m V / |V| with V = W + scale B A, shaped like `weight`."""
        direction = super().forward(weight)
        factor = self.magnitude / _norms(direction)
        return direction * factor.view(-1, *[1] * (weight.ndim - 1))


def _norms(weight: Tensor) -> Tensor:
    """Return the norm of each row [out], as a constant; a row of zeros has a small one."""
    norms: Tensor = torch.linalg.vector_norm(weight.detach().flatten(1), dim=1)
    return norms.clamp_min(torch.finfo(norms.dtype).eps)


def adapt(
    network: nn.Module, addition: Callable[[Tensor], nn.Module], targets: str, name: str
) -> None:
    """Freeze a network and give an addition to each matrix of the modules that `targets` matches.

    name: of the wrapper. Raises UsageError when `targets` matches no module.
    """
    found = [
        module
        for path, module in network.named_modules()
        if isinstance(module, MAPS) and re.search(targets, path)
    ]
    if not found:
        raise UsageError(
            f"no linear map or convolution of the network matches wrapper.{name}.targets "
            f"{targets!r}; change the expression, or leave the option out"
        )
    network.requires_grad_(False)
    for module in found:
        parametrize.register_parametrization(module, "weight", addition(module.weight))


def merge(network: nn.Module) -> None:
    """Put each addition into its matrix for good, and remove it."""
    whole: Any
    for whole in list(network.modules()):
        if parametrize.is_parametrized(whole, "weight"):
            (*_, last) = whole.parametrizations["weight"]
            if isinstance(last, LowRank):
                parametrize.remove_parametrizations(whole, "weight")
