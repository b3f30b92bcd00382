"""Averages of one weight, against the sums that define them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel.errors import InputError, UsageError
from kernel_audio_training.averages import exponent, weights
from kernel_audio_training.trainer import Trainer
from tests.training.test_training import trainer, weight

KEPT = ("half-life-3", "half-life-50", "power-0.05", "power-0.1")


def trained(folder: Path, **given: Any) -> tuple[Trainer, list[float]]:
    """Return a trainer that has run, and its weight after each step; it wanders."""
    told = {"learning_rate": 0.1, "weight_decay": 0.3, "steps": 60, "averages": KEPT}
    tested = trainer(**{**told, **given})
    path: list[float] = []
    tested.module.before = lambda k: path.append(weight(tested).item())  # type: ignore[assignment]
    folder.mkdir(exist_ok=True)
    tested.run(folder)
    return tested, [*path[1:], weight(tested).item()]


def kept(tested: Trainer, name: str) -> float:
    return tested._kept[name]["backbone.weight"].item()


@pytest.mark.parametrize("life", [3, 50])
def test_a_half_life_halves_the_share_of_the_past(tmp_path: Path, life: int) -> None:
    tested, path = trained(tmp_path)
    wanted = 3.0
    for step, value in enumerate(path, 1):
        decay = min(0.5 ** (1 / life), (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
    assert kept(tested, f"half-life-{life}") == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("length", [0.05, 0.1])
def test_a_power_function_weighs_the_steps_as_its_profile_does(
    tmp_path: Path, length: float
) -> None:
    """Karras et al. 2024, eq. 24, summed over the steps directly."""
    tested, path = trained(tmp_path)
    power = exponent(length) + 1
    steps = len(path)
    # The product of (1 - 1/t)^(g+1) from s + 1 to T is (s / T)^(g+1).
    shares = [((s / steps) ** power - ((s - 1) / steps) ** power) for s in range(1, steps + 1)]
    assert sum(shares) == pytest.approx(1)
    wanted = sum(share * value for share, value in zip(shares, path, strict=True))
    assert kept(tested, f"power-{length}") == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.2, 0.28])
def test_the_length_is_the_standard_deviation_of_the_profile(length: float) -> None:
    power = exponent(length)
    share = (np.arange(200000) + 0.5) / 200000
    profile = (power + 1) * share**power
    mean = (profile * share).mean()
    assert math.sqrt((profile * (share - mean) ** 2).mean()) == pytest.approx(length, rel=1e-3)


def test_the_longest_average_is_the_mean_of_all_steps() -> None:
    assert exponent(12**-0.5) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("length", [0.06, 0.075, 0.1, 0.15])
def test_an_average_of_any_length_is_made_afterwards(tmp_path: Path, length: float) -> None:
    """It is far nearer to the one that was kept than those that it is made of."""
    name = f"power-{length}"
    kept_ones = tuple(dict.fromkeys((*KEPT, name)))
    tested, _ = trained(tmp_path / "kept", averages=kept_ones, steps=200)
    wanted = kept(tested, name)
    given = {"averages": KEPT[2:], "snapshot_every": 10, "average": name, "steps": 200}
    made, _ = trained(tmp_path / "made", **given)
    (found,) = (each.weight.item() for each in made.averaged(tmp_path / "made").values())
    others = [abs(kept(tested, each) - wanted) for each in KEPT[2:] if each != name]
    assert abs(found - wanted) < 0.1 * min(others)


def test_the_sum_is_the_nearest_to_the_profile() -> None:
    stored = [(t, g) for t in (25, 50, 100) for g in (exponent(0.05), exponent(0.1))]
    moments = (np.arange(100000) + 0.5) / 1000
    profiles = np.array([(g + 1) * moments**g / t ** (g + 1) * (moments <= t) for t, g in stored])
    g = exponent(0.15)
    goal = (g + 1) * moments**g / 100 ** (g + 1)
    wanted, *_ = np.linalg.lstsq(profiles.T, goal, rcond=None)
    assert weights(stored, (100, g)) == pytest.approx(wanted.tolist(), abs=2e-3)


def test_a_stored_average_is_made_of_itself() -> None:
    stored = [(50.0, exponent(0.1)), (100.0, exponent(0.05)), (100.0, exponent(0.1))]
    assert weights(stored, stored[1]) == pytest.approx([0, 1, 0], abs=1e-6)


def test_all_averages_are_resumed_to_the_bit(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", steps=8, checkpoint_every=4)
    trained(tmp_path / "cut", steps=8, checkpoint_every=4)
    (tmp_path / "cut" / "checkpoints" / "00000008").rename(tmp_path / "gone")
    told = {"learning_rate": 0.1, "weight_decay": 0.3, "steps": 8, "averages": KEPT}
    cut = trainer(**told)
    cut.resume(tmp_path / "cut")
    assert cut.step == 4
    cut.run(tmp_path / "cut")
    for name in ("ema", *KEPT):
        assert kept(cut, name) == kept(whole, name)


def test_the_model_takes_the_average_that_is_asked_for(tmp_path: Path) -> None:
    tested, _ = trained(tmp_path, average="half-life-3")
    (model,) = tested.averaged(tmp_path).values()
    assert model.weight.item() == kept(tested, "half-life-3")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"averages": ["mean"]}, r"^there is no average 'mean'; write half-life-STEPS, or power-L"),
        ({"averages": ["power-0.3"]}, r"no average 'power-0.3'; .* up to 0.289 of the training$"),
        ({"averages": ["half-life-0"]}, r"^there is no average 'half-life-0'"),
        ({"snapshot_every": 5}, r"^snapshot_every needs a power function among averages; set aver"),
        ({"average": "half-life-9"}, r"^average half-life-9 is not kept; add it to averages$"),
        ({"average": "power-0.1"}, r"^average power-0.1 is not kept; .*, or set snapshot_every$"),
    ],
)
def test_an_average_that_cannot_be_is_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer(**given)


def test_snapshots_that_are_gone_are_one_sentence(tmp_path: Path) -> None:
    tested = trainer(averages=KEPT, snapshot_every=2, average="power-0.2")
    with pytest.raises(InputError, match=r"has no snapshots to make average power-0.2 from; train"):
        tested.averaged(tmp_path)


def test_a_checkpoint_without_an_average_is_one_sentence(tmp_path: Path) -> None:
    trained(tmp_path, steps=2, averages=())
    with pytest.raises(InputError, match=r"00000002 has no average half-life-3; take it out of av"):
        trainer(averages=KEPT).resume(tmp_path)


def test_snapshots_are_of_every_so_many_steps_and_the_last(tmp_path: Path) -> None:
    trained(tmp_path, steps=5, averages=KEPT[2:], snapshot_every=2)
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == [
        f"{step:08d}" for step in (2, 4, 5)
    ]
