"""A shift that grows with the length of the latents, in sampling and in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel import LatentSpec
from kernel.runner.grid import grid
from kernel.runner.plan import Plan
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule

FLUX = RfSchedule(shift=math.exp(0.5), shift_slope=0.65 / 3840, shift_positions=256)


def test_without_a_slope_every_length_is_the_same() -> None:
    schedule = RfSchedule(shift=2.0, shift_positions=7)
    assert schedule.sized(LatentSpec(4, (1000,))) is schedule
    assert EdmSchedule().sized(LatentSpec(4, (1000,))) == EdmSchedule()


@pytest.mark.parametrize(
    ("size", "mu"), [((256,), 0.5), ((4096,), 1.15), ((64, 64), 1.15), ((2176,), 0.825)], ids=str
)
def test_the_logarithm_of_the_shift_is_linear_in_the_positions(
    size: tuple[int, ...], mu: float
) -> None:
    """Take the shift of FLUX.1 at its own two ends, in the middle, and on a plane."""
    sized = FLUX.sized(LatentSpec(16, size))
    assert sized.shift == pytest.approx(math.exp(mu))
    assert sized == sized.sized(LatentSpec(16, (1,)))
    fixed = RfSchedule(shift=math.exp(mu))
    assert sized.sigmas(8) == pytest.approx(fixed.sigmas(8))
    drawn, wanted = (each.draw(16, torch.Generator().manual_seed(0)) for each in (sized, fixed))
    torch.testing.assert_close(drawn, wanted)


def test_the_grid_is_flux_s_away_from_its_start() -> None:
    """Compare with t' = e^mu / (e^mu + 1 / t - 1), of equal steps from the same first t."""
    sigmas = FLUX.sized(LatentSpec(16, (4096,))).sigmas(10)
    shifted = [sigma / (1 + sigma) for sigma in sigmas]
    first = 1 / (1 + math.exp(1.15) * (1 / shifted[0] - 1))
    wanted = [
        math.exp(1.15) / (math.exp(1.15) + 1 / (first * (1 - index / 10)) - 1)
        for index in range(10)
    ]
    assert shifted == pytest.approx([*wanted, 0.0], abs=1e-12)


def test_a_run_asks_for_the_grid_of_its_length(planned: Callable[..., tuple[Any, Plan]]) -> None:
    _, plan = planned(plugins=("schedule.rf",), options={"schedule": {"shift_slope": 0.01}})
    for size in ((16,), (64,), (8, 8)):
        wanted = RfSchedule(shift=math.exp(0.01 * math.prod(size))).sigmas(6)
        assert grid(plan.assembly, 6, LatentSpec(12, size)) == pytest.approx(wanted)


def test_a_training_draws_for_the_length_of_its_items(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RfSchedule] = []

    def draw(schedule: RfSchedule, count: int, generator: torch.Generator) -> torch.Tensor:
        seen.append(schedule)
        return torch.ones(count)

    monkeypatch.setattr(RfSchedule, "draw", draw)
    plugins = ("rf", "schedule.rf", "dit", "mel", "labelled", "euler")
    slope = {"schedule": {"shift_slope": 0.01}}
    folder = train(tmp_path / "t", plugins=plugins, steps=1, options=slope)
    (schedule,) = seen
    assert schedule.shift > 1.1
    assert schedule.shift_slope == 0
    # The model keeps the slope, for sounds of other lengths.
    assert "shift_slope = 0.01" in (folder / "model" / "model.toml").read_text()
