"""Elementary functions of floats (sigma in sampling) and of tensors (sigma in training)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Scalar = TypeVar("Scalar", float, "torch.Tensor")

__all__ = ["Scalar", "atan", "exp", "expm1", "log", "log1p", "sqrt", "tan"]


def log(value: Scalar) -> Scalar:
    """Return the natural logarithm."""
    return math.log(value) if isinstance(value, (int, float)) else value.log()


def exp(value: Scalar) -> Scalar:
    """Return the exponential."""
    return math.exp(value) if isinstance(value, (int, float)) else value.exp()


def sqrt(value: Scalar) -> Scalar:
    """Return the square root."""
    return math.sqrt(value) if isinstance(value, (int, float)) else value.sqrt()


def atan(value: Scalar) -> Scalar:
    """Return the arc tangent."""
    return math.atan(value) if isinstance(value, (int, float)) else value.atan()


def tan(value: Scalar) -> Scalar:
    """Return the tangent."""
    return math.tan(value) if isinstance(value, (int, float)) else value.tan()


def log1p(value: Scalar) -> Scalar:
    """Return ln(1 + value), exact where `value` is small."""
    return math.log1p(value) if isinstance(value, (int, float)) else value.log1p()


def expm1(value: Scalar) -> Scalar:
    """Return exp(value) - 1, exact where `value` is small."""
    return math.expm1(value) if isinstance(value, (int, float)) else value.expm1()
