"""The table of a Markov chain, against numpy in extended precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kernel import UsageError
from kernel_plugins.schedules.discrete import DiscreteSchedule

SHORT = DiscreteSchedule(levels=50, beta_last=0.05)


def table(betas: np.ndarray) -> list[float]:
    signal = np.cumprod(1 - betas.astype(np.longdouble))
    return np.sqrt((1 - signal) / signal).astype(float).tolist()


@pytest.mark.parametrize(
    ("spacing", "betas"),
    [
        ("linear", np.linspace(1e-4, 0.02, 1000)),
        ("quadratic", np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2),
        ("sigmoid", 1e-4 + (0.02 - 1e-4) / (1 + np.exp(-np.linspace(-6, 6, 1000)))),
    ],
)
def test_levels_are_the_cumulative_products_of_the_betas(spacing, betas):
    schedule = DiscreteSchedule(spacing=spacing)
    assert schedule.table == pytest.approx(table(betas), rel=1e-10)
    assert (schedule.sigma_min, schedule.sigma_max) == (schedule.table[0], schedule.table[-1])


def test_the_known_ends_of_ddpm():
    schedule = DiscreteSchedule()
    assert schedule.sigma_min == pytest.approx(0.01, rel=1e-4)
    assert schedule.sigma_max == pytest.approx(157.4, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 7, 49, 50])
def test_a_grid_takes_levels_at_equal_distances(steps):
    sigmas = SHORT.sigmas(steps)
    levels = [SHORT.table.index(sigma) for sigma in sigmas[:-1]]
    assert levels == [round(49 * (1 - index / max(steps - 1, 1))) for index in range(steps)]
    assert len(set(levels)) == steps
    assert sigmas[-1] == 0.0


def test_more_steps_than_levels_are_refused():
    with pytest.raises(UsageError, match="has 50 levels and cannot make 51 steps; ask for fewer"):
        SHORT.sigmas(51)
    with pytest.raises(UsageError, match="ask for at least 1"):
        SHORT.sigmas(0)


def test_each_level_is_drawn_equally_often():
    drawn = SHORT.draw(50_000, torch.Generator().manual_seed(0))
    levels, counts = drawn.unique(return_counts=True)
    assert levels.tolist() == torch.tensor(SHORT.table).tolist()
    # 0.99 quantile of chi-squared with 49 degrees of freedom
    assert float((counts - 1000).double().square().sum() / 1000) < 74.9


def test_a_stratified_batch_of_all_levels_has_each_once():
    chosen = SHORT.model_copy(update={"stratified": True})
    drawn = chosen.draw(50, torch.Generator().manual_seed(0))
    assert drawn.sort().values.tolist() == torch.tensor(SHORT.table).tolist()
    assert drawn.tolist() != drawn.sort().values.tolist()


def test_falling_betas_are_refused():
    with pytest.raises(ValidationError, match="beta_last 0.01 is below beta_first 0.02"):
        DiscreteSchedule(beta_first=0.02, beta_last=0.01)
