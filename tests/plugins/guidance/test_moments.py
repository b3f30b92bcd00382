"""Moment matching: exact where data are normal, a fit along the gradient with one iteration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Condition, Context, Measurement, UsageError
from kernel.runner.guide import guided
from kernel_plugins.guidance.moments import Moments

SIZE = 6
SIGMAS = (4.0, 1.0, 0.3, 0.0)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


ROOT = normal(SIZE, SIZE, seed=1)
COVARIANCE = ROOT @ ROOT.T
MATRIX = normal(3, SIZE, seed=2)


def estimate(x: Tensor, sigma: float, condition: Condition) -> Tensor:
    """Return E[x0 | x] of N(0, COVARIANCE)."""
    gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + sigma**2 * torch.eye(SIZE).double())
    return (x.flatten(1) @ gain.T).view(x.shape)


def operator(x0: Tensor) -> Tensor:
    return x0.flatten(1) @ MATRIX.T


def l2(predicted: Tensor, target: Tensor) -> Tensor:
    return torch.linalg.vector_norm(predicted - target, dim=1)


def found(x: Tensor, sigma: float, known: Measurement, **options: Any) -> Tensor:
    context = Context(Condition(), SIGMAS, known)
    return guided(estimate, {"moments": Moments(**options)}, context)(x, sigma, Condition())


def posterior(x: Tensor, sigma: float, target: Tensor, noise: float) -> Tensor:
    """Return E[x0 | x, y] by the normal equations of both."""
    identity = torch.eye(SIZE).double()
    precision = COVARIANCE.inverse() + identity / sigma**2 + MATRIX.T @ MATRIX / noise**2
    right = x.flatten(1) / sigma**2 + target @ MATRIX / noise**2
    return torch.linalg.solve(precision, right.T).T.view(x.shape)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_it_is_the_posterior_mean_of_normal_data(sigma: float, noise: float) -> None:
    x, target = 3 * normal(4, 1, SIZE, seed=3), normal(4, 3, seed=4)
    known = Measurement(operator, target, l2, noise=noise)
    guess = found(x, sigma, known, iterations=12, tolerance=0)
    torch.testing.assert_close(guess, posterior(x, sigma, target, noise), rtol=1e-8, atol=1e-8)


def test_the_tolerance_is_an_error_of_the_target() -> None:
    x, target, sigma = normal(4, 1, SIZE, seed=3), normal(4, 3, seed=4), 0.5
    known = Measurement(operator, target, l2)
    guess = found(x, sigma, known, iterations=12, tolerance=0.4)
    torch.testing.assert_close(guess, posterior(x, sigma, target, 0.2), rtol=1e-8, atol=1e-8)


def test_one_iteration_is_the_best_step_along_the_gradient() -> None:
    x, target = normal(2, 1, SIZE, seed=3), normal(2, 3, seed=4)
    known, sigma = Measurement(operator, target, l2), 1.0
    before = estimate(x, sigma, Condition())
    step = found(x, sigma, known, iterations=1, tolerance=0) - before
    leaf = x.clone().requires_grad_()
    error = (operator(estimate(leaf, sigma, Condition())) - target).square().sum()
    (gradient,) = torch.autograd.grad(error, leaf)
    cosine = torch.cosine_similarity(step.flatten(1), -gradient.flatten(1))
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    # Conjugate gradients make the error smallest in the norm of the normal matrix's inverse.
    spread = MATRIX @ COVARIANCE @ torch.linalg.inv(COVARIANCE + torch.eye(SIZE)) @ MATRIX.T
    weighted = [
        torch.einsum("bi,ij,bj->b", gap, torch.linalg.inv(spread), gap)
        for length in (0.9, 1.0, 1.1)
        for gap in [target - operator(before + length * step)]
    ]
    assert (weighted[1] < weighted[0]).all() and (weighted[1] < weighted[2]).all()


def test_items_do_not_depend_on_one_another() -> None:
    x, target = normal(3, 1, SIZE, seed=3), normal(3, 3, seed=4)
    together = found(x, 1.0, Measurement(operator, target, l2))
    for row in range(3):
        alone = found(x[row : row + 1], 1.0, Measurement(operator, target[row : row + 1], l2))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-10, atol=1e-10)


def test_an_item_that_agrees_already_stays_as_it_is() -> None:
    x = normal(2, 1, SIZE, seed=3)
    there = estimate(x, 1.0, Condition())
    guess = found(x, 1.0, Measurement(operator, operator(there), l2))
    assert torch.equal(guess, there)


def test_a_curved_operator_is_followed_to_first_order() -> None:
    x, sigma = normal(2, 1, SIZE, seed=3), 0.3

    def curved(x0: Tensor) -> Tensor:
        return operator(x0).tanh()

    target = curved(normal(2, 1, SIZE, seed=5))
    known = Measurement(curved, target, l2)
    before, after = (
        l2(curved(each), target)
        for each in (estimate(x, sigma, Condition()), found(x, sigma, known, tolerance=0.01))
    )
    assert (after < before).all()


def test_it_needs_a_measurement() -> None:
    with pytest.raises(UsageError, match="guidance 'moments' needs a measurement"):
        Moments().wrap(estimate, Context(Condition(), SIGMAS))
