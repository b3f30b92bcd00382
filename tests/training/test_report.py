from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from kernel_audio_training import report
from kernel_audio_training.report import Diverged, Report


def told(**values: float) -> dict[str, Any]:
    return {name: torch.tensor(value) for name, value in values.items()}


RATES = {"net": 0.5, "critic": 0.25}


def test_the_means_of_each_group_are_those_of_the_steps_that_trained_it() -> None:
    tested = Report(torch.device("cpu"))
    tested.add(1, 4, told(net=1.0), told(net=3.0))
    tested.add(2, 4, told(net=2.0, critic=8.0), told(net=5.0, critic=1.0))
    found = tested.scalars(RATES)
    assert found["loss"] == 1.5
    assert found["loss.critic"] == 8.0
    assert found["grad_norm"] == 4.0
    assert found["grad_norm.critic"] == 1.0
    assert (found["learning_rate"], found["learning_rate.critic"]) == (0.5, 0.25)
    assert 0.01 < found["memory_gb"] < 1000
    tested.restart()
    assert "loss" not in tested.scalars(RATES)


def test_one_rate_for_all_groups_is_said_once() -> None:
    assert "learning_rate.critic" not in Report(torch.device("cpu")).scalars(
        {"net": 1, "critic": 1}
    )


def test_the_speed_is_that_since_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    tested = Report(torch.device("cpu"))
    for step in (1, 2):
        now += 0.5
        tested.add(step, 8, told(net=1.0), {})
    assert tested.scalars(RATES)["items_per_second"] == 16


@pytest.mark.parametrize("place", [0, 1])
def test_the_first_step_that_is_not_finite_is_named(place: int) -> None:
    tested = Report(torch.device("cpu"))
    for step, value in ((7, 1.0), (8, math.inf), (9, math.nan)):
        values = [told(net=1.0), told(net=1.0)]
        values[place] = told(net=value)
        tested.add(step, 1, *values)
    with pytest.raises(Diverged) as caught:
        tested.scalars(RATES)
    assert (caught.value.name, caught.value.step) == (("loss", "grad_norm")[place], 8)


def test_a_gradient_of_float16_may_be_infinite() -> None:
    tested = Report(torch.device("cpu"), scaled=True)
    tested.add(1, 1, told(net=1.0), told(net=math.inf))
    tested.add(2, 1, told(net=1.0), told(net=2.0))
    assert tested.scalars(RATES)["grad_norm"] == 2.0
