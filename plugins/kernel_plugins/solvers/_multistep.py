"""The mathematics that exponential multistep solvers share, in Python floats.

With lam = -ln sigma the probability-flow ODE is dx/dlam = D - x, or, in terms of the noise
e = (x - D) / sigma, dx/dlam = -sigma e. Over a step h = ln(sigma / following) these have the
solutions

    x' = (following / sigma) x - I with z = -h, m = D,      x' = x - following I with z = h, m = e,
    I = z int_0^1 exp((1 - u) z) m(u) du,                   m(u) taken at lam + u h.

If m is a polynomial known at some nodes u_k, then I = sum_k w_k m(u_k) with the weights that are
right for 1, u, u^2, ... (Hochbruck and Ostermann 2010, section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["combine", "moments", "phi", "quadrature"]

_SERIES = 20  # 1 / 20! is below the rounding of a float64.


def phi(z: float, count: int) -> list[float]:
    """Return phi_1(z), ..., phi_count(z): phi_0 = exp and phi_{k+1}(z) = (phi_k(z) - 1/k!) / z.

    Accurate to a few roundings at every z: the recurrence loses digits for small z, where the last
    phi is summed from its series, sum_n z^n / (n + count)!, and the recurrence is run backwards.
    """
    if abs(z) > 1:
        values = [math.expm1(z) / z]
        for k in range(1, count):
            values.append((values[-1] - 1 / math.factorial(k)) / z)
        return values
    term = 1 / math.factorial(count)
    total = term
    for n in range(1, _SERIES):
        term *= z / (n + count)
        total += term
    values = [total]
    for k in range(count - 1, 0, -1):
        values.append(z * values[-1] + 1 / math.factorial(k))
    return values[::-1]


def moments(z: float, count: int) -> list[float]:
    """Return z int_0^1 exp((1 - u) z) u^j du = z j! phi_{j+1}(z) for j = 0, ..., count - 1."""
    return [z * math.factorial(j) * value for j, value in enumerate(phi(z, count))]


def quadrature(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Return the weights w with sum_k w_k nodes_k^j = moments_j for every j.

    Solves the Vandermonde system as Bjorck and Pereyra 1970 (Golub and Van Loan, algorithm 4.6.2).
    """
    weights = list(moments)
    last = len(weights) - 1
    for k in range(last):
        for j in range(last, k, -1):
            weights[j] -= nodes[k] * weights[j - 1]
    for k in range(last - 1, -1, -1):
        for j in range(k + 1, last + 1):
            weights[j] /= nodes[j] - nodes[j - k - 1]
        for j in range(k, last):
            weights[j] -= weights[j + 1]
    return weights


def combine(x: Tensor, scale: float, tensors: Iterable[Tensor], weights: Iterable[float]) -> Tensor:
    """Return scale x + sum_k weights_k tensors_k, a new tensor."""
    total = x * scale
    for tensor, weight in zip(tensors, weights, strict=True):
        total.add_(tensor, alpha=weight)
    return total
