"""A schedule adopts the objective's process, and refuses to contradict it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch

from kernel import Objective, Schedule, UsageError
from kernel.assembly import Assembly, Part
from kernel.registry import PluginInfo
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.rf import Rf
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.objectives.v import V
from kernel_plugins.objectives.vp import Vp
from kernel_plugins.schedules.bbed import BbedSchedule
from kernel_plugins.schedules.cosine import CosineSchedule
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.ouve import OuveSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.schedules.sb_ve import SbVeSchedule
from kernel_plugins.schedules.vp import VpSchedule

PAIRS: list[tuple[Objective, Schedule, dict[str, Any]]] = [
    (Bbed(k=3.0, theta=0.2), BbedSchedule(), {"k": 3.0, "theta": 0.2}),
    (
        Ouve(theta=1.0, sigma_low=0.2, sigma_high=2.0),
        OuveSchedule(),
        {"theta": 1.0, "sigma_low": 0.2, "sigma_high": 2.0},
    ),
    (SbVe(k=2.0, c=0.7), SbVeSchedule(), {"k": 2.0, "c": 0.7}),
    (Vp(beta_min=0.2, beta_max=10.0), VpSchedule(), {"beta_min": 0.2, "beta_max": 10.0}),
]
pairs = pytest.mark.parametrize(("objective", "schedule", "numbers"), PAIRS, ids=repr)


def assembled(objective: Objective, schedule: Schedule) -> Assembly:
    return Assembly(
        tuple(
            Part(PluginInfo(each.kind, "x", "tests", "1", "tests"), each)
            for each in (schedule, objective)
        )
    )


def drawn(schedule: Schedule) -> list[float]:
    return schedule.draw(16, torch.Generator().manual_seed(0)).tolist()


@pairs
def test_grids_and_draws_follow_the_objective(
    objective: Objective, schedule: Schedule, numbers: dict[str, float]
) -> None:
    adopted = assembled(objective, schedule).schedule
    told = schedule.model_validate(numbers)
    assert adopted.sigmas(12) == told.sigmas(12) != schedule.sigmas(12)
    assert drawn(adopted) == drawn(told) != drawn(schedule)
    assert (adopted.sigma_min, adopted.sigma_max) == (told.sigma_min, told.sigma_max)
    assert adopted.model_dump() == schedule.model_dump()
    path: Any = objective.path
    ends = [path.time(sigma) for sigma in (adopted.sigma_max, adopted.sigma_min)]
    assert ends == pytest.approx([adopted.t_max, adopted.t_min])  # type: ignore[attr-defined]


@pairs
def test_a_number_that_says_otherwise_is_refused(
    objective: Objective, schedule: Schedule, numbers: dict[str, float]
) -> None:
    for name, number in numbers.items():
        agreeing = schedule.model_validate({name: number})
        assert agreeing.along(objective.path).sigmas(3) == schedule.along(objective.path).sigmas(3)
        other = schedule.model_validate({name: number * 1.5})
        sentence = (
            rf"schedule.{name} is {number * 1.5:g}, but objective.{name}, .* is {number:g}; leave "
            rf"schedule.{name} out, or train with -o objective.{name}={number * 1.5:g}"
        )
        with pytest.raises(UsageError, match=sentence):
            assembled(objective, other)


@pairs
def test_another_process_leaves_a_schedule_its_own(
    objective: Objective, schedule: Schedule, numbers: dict[str, float]
) -> None:
    for other in (Edm(), Rf(), *(each for each, *_ in PAIRS if each is not objective)):
        left = assembled(other, schedule).schedule
        assert left.adopted is None
        assert left.sigmas(5) == schedule.sigmas(5)
        assert assembled(other, schedule.model_validate(numbers)).schedule.adopted is None


def test_a_swapped_objective_brings_its_own_process() -> None:
    first = assembled(Vp(), VpSchedule())
    second = first.swap(Vp(beta_max=10.0))
    assert second.schedule.sigmas(4) == VpSchedule(beta_max=10.0).sigmas(4)
    assert second.swap(Edm()).schedule.sigmas(4) == VpSchedule().sigmas(4)
    assert second.swap(VpSchedule(t_max=0.5)).schedule.sigma_max < second.schedule.sigma_max


@pytest.mark.parametrize(
    ("objective", "schedule"),
    [(V(sigma_data=0.5), CosineSchedule(shift=2.0)), (Rf(sigma_data=0.5), RfSchedule(shift=2.0))],
    ids=repr,
)
def test_the_unit_of_sigma_is_that_of_the_data(objective: Objective, schedule: Any) -> None:
    """Half as large data in the same process has half as large sigmas."""
    half = schedule.along(objective.path)
    whole = schedule.model_copy(
        update={"sigma_min": schedule.sigma_min * 2, "sigma_max": schedule.sigma_max * 2}
    )
    assert half.sigmas(9) == pytest.approx([sigma / 2 for sigma in whole.sigmas(9)])
    assert drawn(half) == pytest.approx([sigma / 2 for sigma in drawn(whole)], rel=1e-5)


def test_a_schedule_without_a_process_adopts_none() -> None:
    assert EdmSchedule().along(Vp().path) == EdmSchedule()


def test_noise_that_does_not_grow_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sigma_high 0.5 is not above schedule.sigma_low 0.6; se"):
        OuveSchedule(sigma_low=0.6).sigmas(4)


def test_a_path_of_the_same_name_by_somebody_else_is_adopted() -> None:
    @attrs.frozen
    class Foreign:
        name: str = "vp"
        numbers: Any = attrs.field(factory=dict)

        def sigma(self, time: Any) -> Any:
            return 3 * time

        def time(self, sigma: Any) -> Any:
            return sigma / 3

        def coefficients(self, time: Any) -> tuple[Any, Any]:
            return 1.0, 0.0

        def rates(self, time: Any) -> tuple[Any, Any, Any]:
            return 0.0, 0.0, 18 * time

    assert VpSchedule(t_min=0.5).along(Foreign()).sigmas(2) == [3.0, 1.5, 0.0]
