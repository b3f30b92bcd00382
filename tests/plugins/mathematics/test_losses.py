"""The losses against numpy, one value for each item."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernel_plugins.mathematics.losses import bce, l1, l2


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    predicted, target = torch.rand(2, 3, 2, 5, generator=draws, dtype=torch.float64)
    return predicted, target


def test_losses_are_those_of_numpy() -> None:
    predicted, target = pair()
    p, t = predicted.numpy(), target.numpy()
    assert l1(predicted, target).tolist() == pytest.approx(np.abs(p - t).sum((1, 2)))
    assert l2(predicted, target).tolist() == pytest.approx(np.sqrt(((p - t) ** 2).sum((1, 2))))
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum((1, 2))
    assert bce(predicted, target).tolist() == pytest.approx(entropy, rel=1e-4)


def test_the_gradient_of_certainty_is_finite() -> None:
    predicted = torch.tensor([[0.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(bce(predicted, torch.tensor([[1.0, 0.0]])).sum(), predicted)
    assert gradient.isfinite().all()
    assert gradient[0, 0] < 0 < gradient[0, 1]


def test_a_target_that_is_met_has_no_distance() -> None:
    _, target = pair()
    assert not l1(target, target).any()
    assert not l2(target, target).any()
