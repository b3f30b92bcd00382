"""The mathematics of exponential multistep solvers, in Python floats.

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
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Interval", "Prediction", "adams_bashforth", "combine", "moments", "phi", "quadrature"]

Prediction = Literal["x0", "noise"]
"""The model, a polynomial in lam: the denoised x0 = D, or the noise e = (x - D) / sigma."""

_FACTORIALS = tuple(math.factorial(k) for k in range(20))


def phi(z: float, count: int) -> list[float]:
    """Return phi_1(z), ..., phi_count(z): phi_0 = exp and phi_{k+1}(z) = (phi_k(z) - 1/k!) / z.

    Accurate to a few roundings at every z. The recurrence loses digits for small z: there the last
    phi is summed from its series, sum_n z^n / (n + count)!, and the recurrence runs backwards.
    """
    if abs(z) > 1:
        values = [math.expm1(z) / z]
        for k in range(1, count):
            values.append((values[-1] - 1 / _FACTORIALS[k]) / z)
        return values
    term = 1 / _FACTORIALS[count]
    total, before, n = term, 0.0, count
    while (
        total != before
    ):  # The terms shrink: after the first that changes nothing, none changes the sum.
        n += 1
        term *= z / n
        total, before = total + term, total
    values = [total]
    for k in range(count - 1, 0, -1):
        values.append(z * values[-1] + 1 / _FACTORIALS[k])
    return values[::-1]


def moments(z: float, count: int) -> list[float]:
    """Return z int_0^1 exp((1 - u) z) u^j du = z j! phi_{j+1}(z) for j = 0, ..., count - 1."""
    return [z * _FACTORIALS[j] * value for j, value in enumerate(phi(z, count))]


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


def adams_bashforth(nodes: Sequence[float]) -> list[float]:
    """Return the weights of slopes at `nodes` for a step from 0 to 1 in units of its length."""
    return quadrature(nodes, [1 / (power + 1) for power in range(len(nodes))])


@attrs.frozen
class Interval:
    """One step from `sigma` to `following` > 0: x' = scale x + factor (quadrature of the model).

    The formulas at the head of this module, for either prediction. Nodes are in units of the step,
    0 at `sigma` and 1 at `following`. With `eta` > 0, for x0 only, the step is that of the reverse
    SDE with eta times the noise of Song et al. 2021 (Lu et al. 2022, DPM-Solver++, eq. 19): the
    kernel's exponent is (1 + eta) as large, and noise of standard deviation `up` is added.
    """

    prediction: Prediction
    sigma: float
    following: float
    eta: float = 0.0

    h: float = attrs.field(init=False)
    """The step in lam."""

    @h.default
    def _step(self) -> float:
        return math.log(self.sigma / self.following)

    @property
    def z(self) -> float:
        """Return the exponent of the integration kernel."""
        return -(1 + self.eta) * self.h if self.prediction == "x0" else self.h

    @property
    def scale(self) -> float:
        """Return the factor of the state."""
        if self.prediction == "noise":
            return 1.0
        return math.exp(-(1 + self.eta) * self.h)

    @property
    def up(self) -> float:
        """Return the standard deviation of the noise to add."""
        return self.following * math.sqrt(-math.expm1(-2 * self.eta * self.h))

    def node(self, sigma: float) -> float:
        """Return the node of `sigma`."""
        return math.log(self.sigma / sigma) / self.h

    def at(self, node: float) -> float:
        """Return the sigma at a node."""
        return self.sigma * math.exp(-node * self.h)

    def moments(self, count: int) -> list[float]:
        """Return the kernel's integrals of 1, u, u^2, ...: `moments` of z."""
        return moments(self.z, count)

    def half(self) -> float:
        """Return the first moment by the half rule: half the zeroth, with an error O(h^2) of it."""
        return math.expm1(self.z) / 2

    def line_moments(self, count: int, exact: bool) -> list[float]:
        """Return the moments; a line is integrated by the half rule unless `exact`."""
        moments = self.moments(count)
        if count == 2 and not exact:
            moments[1] = self.half()
        return moments

    def weights(self, nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
        """Return the weights of the model at the nodes that give such moments."""
        factor = -1.0 if self.prediction == "x0" else -self.following
        return [factor * weight for weight in quadrature(nodes, moments)]

    def model(self, x: Tensor, x0: Tensor) -> Tensor:
        """Return the model at `sigma`, given the state and D."""
        return x0 if self.prediction == "x0" else (x - x0) / self.sigma


def combine(x: Tensor, scale: float, tensors: Iterable[Tensor], weights: Iterable[float]) -> Tensor:
    """Return scale x + sum_k weights_k tensors_k, a new tensor."""
    total = None if scale == 1 else x * scale
    for tensor, weight in zip(tensors, weights, strict=True):
        total = x.add(tensor, alpha=weight) if total is None else total.add_(tensor, alpha=weight)
    return x.clone() if total is None else total
