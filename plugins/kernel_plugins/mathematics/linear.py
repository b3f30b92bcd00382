"""Linear equations whose matrix is a function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradients"]


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], right: Tensor, iterations: int
) -> Tensor:
    """Return an approximate u of normal(u) = right, by conjugate gradients for each item.

    Hestenes and Stiefel 1952, section 3. right, result: [B, ...]. `normal` is linear, symmetric and
    positive and mixes no items. An item stops when its residual is at rounding level, or when a
    direction shows that `normal` is not positive.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))

    solution, residual, direction = torch.zeros_like(right), right, right
    size = dot(residual, residual)
    enough = size * (10 * torch.finfo(right.dtype).eps) ** 2
    goes_on = size > enough
    for _ in range(iterations):
        image = normal(direction)
        curvature = dot(direction, image)
        goes_on = goes_on & (size > enough) & (curvature > 0)
        rate = torch.where(goes_on, size / curvature, 0.0)
        solution, residual = solution + rate * direction, residual - rate * image
        size, before = dot(residual, residual), size
        direction = residual + torch.where(goes_on, size / before, 0.0) * direction
    return solution
