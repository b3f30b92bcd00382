"""Conjugate gradients against numpy's solution, and where they have to stop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernel_plugins.mathematics.linear import conjugate_gradients


def problem(items: int = 3, size: int = 6) -> tuple[Tensor, Tensor]:
    """Return positive matrices [items, size, size] and right sides [items, 1, size]."""
    draws = torch.Generator().manual_seed(0)
    root = torch.randn(items, size, size, generator=draws, dtype=torch.float64)
    right = torch.randn(items, 1, size, generator=draws, dtype=torch.float64)
    return root @ root.mT + 0.5 * torch.eye(size, dtype=torch.float64), right


def test_as_many_iterations_as_unknowns_solve_it() -> None:
    matrices, right = problem()
    found = conjugate_gradients(lambda v: v @ matrices, right, 6)
    wanted = np.linalg.solve(matrices.numpy(), right.mT.numpy()).swapaxes(1, 2)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-8)


def test_items_do_not_meet() -> None:
    matrices, right = problem()
    together = conjugate_gradients(lambda v: v @ matrices, right, 3)
    for item in range(3):
        alone = conjugate_gradients(lambda v, i=item: v @ matrices[i], right[item : item + 1], 3)
        torch.testing.assert_close(together[item : item + 1], alone)


def test_a_solved_item_stays_as_it_is() -> None:
    _, right = problem()
    right[1] = 0
    found = conjugate_gradients(lambda v: 2 * v, right, 50)
    torch.testing.assert_close(found, right / 2, rtol=1e-15, atol=0)


def test_a_direction_of_no_curvature_ends_the_search_of_its_item() -> None:
    scale = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64).view(3, 1, 1)
    _, right = problem()
    found = conjugate_gradients(lambda v: scale * v, right, 4)
    assert found.isfinite().all()
    torch.testing.assert_close(found[0], right[0])
    assert not found[1:].any()
