"""The validation of `recipe.denoise` on the tones, of which some are held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel import LatentSpec, Schedule, component
from kernel_audio_training.checkpoints import checkpoints
from kernel_plugins.recipes._denoise import BANDS, bands

Train = Callable[..., Path]
HELD = {"task": {"valid_fraction": 0.4}, "backbone": {"dropout": 0.2}}


def history(training: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (training / "history.jsonl").read_text().splitlines()]


def test_a_training_ends_at_the_same_weights_whether_it_is_validated_or_not(
    train: Train, tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", options=HELD, validate_every=1)
    plain = train(tmp_path / "plain", options=HELD, validate_every=0)
    for name in ("weights", "ema", "optimizer"):
        one, other = (
            (checkpoints(each)[-1] / f"{name}.safetensors").read_bytes() for each in (whole, plain)
        )
        assert one == other
    assert not any("valid.loss" in entry for entry in history(plain))


def test_every_band_of_sigma_has_a_loss_and_the_whole_is_their_mean(
    train: Train, tmp_path: Path
) -> None:
    entries = history(train(tmp_path / "t", options=HELD, validate_every=2, steps=4))
    assert [entry["step"] for entry in entries] == [2, 4]
    for entry in entries:
        losses = [value for name, value in entry.items() if name.startswith("valid.loss.sigma-")]
        assert len(losses) == BANDS
        assert entry["valid.loss"] == pytest.approx(sum(losses) / BANDS)


def test_the_validation_of_the_same_weights_is_the_same(train: Train, tmp_path: Path) -> None:
    """Only the weights decide it: neither the seed of the draws nor the batch."""
    still = {"learning_rate": 1e-30, "weight_decay": 0, "options": HELD, "validate_every": 1}
    first, second = history(train(tmp_path / "t", steps=2, **still))
    assert {k: v for k, v in first.items() if "valid" in k} == {
        k: v for k, v in second.items() if "valid" in k
    }
    (single,) = history(train(tmp_path / "u", steps=1, micro_batch=1, **still))
    assert single["valid.loss"] == pytest.approx(first["valid.loss"], rel=1e-5)


def test_validation_sees_what_was_not_learnt(train: Train, tmp_path: Path) -> None:
    entries = history(train(tmp_path / "t", options=HELD, steps=60, learning_rate=5e-3, ema=0.5))
    assert entries[-1]["valid.loss"] < 1.0


@pytest.mark.parametrize("name", ["edm", "rf", "vp", "cosine"])
def test_a_band_is_a_share_of_what_the_schedule_draws(name: str) -> None:
    schedule: Schedule = component(f"schedule.{name}").sized(LatentSpec(1, (8,)))
    found = torch.tensor(bands(schedule))
    assert bands(schedule) == bands(schedule)
    drawn = schedule.draw(20000, torch.Generator().manual_seed(1))
    below = (drawn[:, None] < found).double().mean(0)
    wanted = (torch.arange(BANDS) + 0.5) / BANDS
    assert below.tolist() == pytest.approx(wanted.tolist(), abs=0.04)
