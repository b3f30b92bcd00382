"""Distances of predictions from targets, one for each item: [B, ...] -> [B]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FLOOR", "bce", "l1", "l2"]

FLOOR = 1e-6
"""Added to probabilities: the logarithm of 0 stays finite."""


def l1(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the sum of the absolute differences."""
    return (predicted - target).abs().flatten(1).sum(1)


def l2(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the Euclidean norm of the difference."""
    norm: Tensor = torch.linalg.vector_norm((predicted - target).flatten(1), dim=1)
    return norm


def bce(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross-entropy of probabilities, summed over them."""
    yes, no = (predicted + FLOOR).log(), (1 - predicted + FLOOR).log()
    return -(target * yes + (1 - target) * no).flatten(1).sum(1)
