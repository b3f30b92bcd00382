from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import UsageError
from kernel_plugins.solvers.rk45 import FOURTH, NODES, STAGES, Rk45

GRID = [10.0, 3.0, 1.0, 0.3, 0.05, 0.0]


def error_and_nfe(solver: Rk45, grid, mixture, drive) -> tuple[float, int]:
    x = 10 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(2)).double()
    calls = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        assert 0 < sigma <= grid[0]
        return mixture.denoise(x, sigma)

    state = drive(solver, denoise, x, grid)[-2].x
    truth = mixture.flow(x, grid[0], grid[-2])
    return float((state - truth).abs().max()), len(calls)


def test_the_error_follows_the_tolerance_and_evaluations_grow_at_most_as_order_5_says(
    mixture, drive
):
    found = [
        error_and_nfe(Rk45(rtol=tolerance, atol=tolerance), GRID, mixture, drive)
        for tolerance in (1e-4, 1e-6, 1e-8, 1e-10)
    ]
    for (error, _), tolerance in zip(found, (1e-4, 1e-6, 1e-8, 1e-10), strict=True):
        assert error < 20 * tolerance
    evaluations = [nfe for _, nfe in found]
    assert evaluations == sorted(set(evaluations))
    assert 4 < evaluations[-1] / evaluations[0] < 10 ** (6 / 5)


def test_the_grid_says_only_where_the_state_is_handed_out(mixture, drive):
    solver = Rk45(rtol=1e-9, atol=1e-9)
    for grid in ([10.0, 0.05, 0.0], GRID):
        assert error_and_nfe(solver, grid, mixture, drive)[0] < 1e-7


@pytest.mark.parametrize("row", range(1, 7))
def test_the_rows_of_the_tableau_sum_to_their_nodes(row):
    assert sum(STAGES[row]) == pytest.approx(NODES[row], rel=1e-14)


@pytest.mark.parametrize(("weights", "order"), [((*STAGES[-1], 0.0), 5), (FOURTH, 4)])
def test_the_weights_integrate_polynomials_of_their_order(weights, order):
    for power in range(order):
        total = sum(w * node**power for w, node in zip(weights, NODES, strict=True))
        assert total == pytest.approx(1 / (power + 1), rel=1e-13)
    power = order
    total = sum(w * node**power for w, node in zip(weights, NODES, strict=True))
    assert abs(total - 1 / (power + 1)) > 1e-5


def test_reaches_each_sigma_and_ends_with_the_denoised(mixture, drive):
    x = torch.ones(2, 2, 3, dtype=torch.float64)
    steps = drive(Rk45(), mixture.denoise, x, GRID)
    assert [(step.index, step.sigma) for step in steps] == list(enumerate(GRID[1:]))
    assert torch.equal(steps[-1].x, steps[-1].x0)


def test_goes_on_from_the_state_that_is_sent_back(mixture, drive):
    x = torch.ones(2, 2, 3, dtype=torch.float64)
    sent = drive(Rk45(rtol=1e-10, atol=1e-10), mixture.denoise, x, GRID, constrain=lambda _: x)
    for index in (1, 2, 3):
        truth = mixture.flow(x, GRID[index], GRID[index + 1])
        torch.testing.assert_close(sent[index].x, truth, rtol=1e-7, atol=1e-7)


def test_a_kink_does_not_stop_it(drive):
    """A denoiser that jumps: the steps shrink to the least length and pass it."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.full_like(x, math.copysign(1.0, sigma - 0.5))

    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    steps = drive(Rk45(rtol=1e-6, atol=1e-6), denoise, x, [1.0, 0.1, 0.0])
    at_jump = 0.5  # x0 = 1 and x = 1 - sigma until there; then x + 1 shrinks as sigma does
    assert float(steps[0].x) == pytest.approx(-1 + (at_jump + 1) * 0.1 / 0.5, abs=1e-4)


@pytest.mark.parametrize("options", [{"rtol": 0}, {"atol": -1}, {"safety": 1.0}], ids=str)
def test_refuses_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        Rk45(**options)


def test_a_denoiser_too_rough_to_follow_is_given_up(drive):
    def rough(x, sigma):
        return x + 100 * torch.sign(torch.sin(1e4 * x))

    start = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(UsageError, match="tried 50 steps and reached only sigma .* weaken"):
        drive(Rk45(limit=50), rough, start, GRID)
