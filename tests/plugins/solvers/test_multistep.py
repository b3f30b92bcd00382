from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from kernel_plugins.solvers._multistep import combine, moments, phi, quadrature


def exact_phi(z: float, k: int) -> float:
    """Return sum_n z^n / (n + k)! in rational arithmetic."""
    return float(sum(Fraction(z) ** n / math.factorial(n + k) for n in range(80)))


@pytest.mark.parametrize("z", [-12.0, -2.5, -1.0001, -1.0, -0.02, 0.0, 1e-9, 0.01, 0.9, 1.5, 10.0])
def test_phi_has_full_precision(z):
    expected = [exact_phi(z, k) for k in range(1, 6)]
    assert phi(z, 5) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_phi_returns_as_many_as_asked_for(count):
    assert phi(0.5, count) == pytest.approx(phi(0.5, 6)[:count], rel=1e-15)
    assert phi(2.0, count) == phi(2.0, 6)[:count]


@pytest.mark.parametrize("z", [-3.0, -0.2, 0.7, 2.0])
def test_moments_are_the_integrals_they_are_said_to_be(z):
    u = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    expected = [float((z * ((1 - u) * z).exp() * u**j).mean()) for j in range(5)]
    assert moments(z, 5) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([0.0], [1.0]),
        ([0.0, 0.5, 1.0], [1 / 6, 4 / 6, 1 / 6]),
        ([0.0, -1.0, -2.0, -3.0], [55 / 24, -59 / 24, 37 / 24, -9 / 24]),
        ([1.0, 0.0, -1.0], [5 / 12, 8 / 12, -1 / 12]),
    ],
    ids=["rectangle", "simpson", "adams-bashforth", "adams-moulton"],
)
def test_quadrature_of_plain_moments_gives_the_known_rules(nodes, weights):
    plain = [1 / (j + 1) for j in range(len(nodes))]
    assert quadrature(nodes, plain) == pytest.approx(weights, rel=1e-14)


def test_quadrature_keeps_its_arguments():
    nodes, plain = [0.0, 1.0], [1.0, 0.5]
    quadrature(nodes, plain)
    assert (nodes, plain) == ([0.0, 1.0], [1.0, 0.5])


def test_combine_is_a_new_weighted_sum():
    x, a, b = (torch.full((2,), value) for value in (1.0, 2.0, 3.0))
    assert combine(x, 0.5, [a, b], [10.0, 100.0]).tolist() == [320.5, 320.5]
    assert combine(x, 1.0, [], []) is not x
    assert x.tolist() == [1.0, 1.0]


def test_combine_refuses_weights_without_a_tensor():
    with pytest.raises(ValueError, match="zip"):
        combine(torch.zeros(1), 1.0, [], [1.0])
