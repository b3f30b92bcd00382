"""Stored grids: as they are, between them, and without any."""

from __future__ import annotations

import math
import tomllib
from itertools import pairwise

import pytest
import tomli_w
from pydantic import ValidationError

from kernel import UsageError
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.optimised import OptimisedSchedule

SIX = (12.0, 4.9, 1.9, 0.7, 0.15)
THREE = (10.0, 1.0)
STORED = OptimisedSchedule(grids=[SIX, THREE])


def test_a_stored_grid_is_returned_as_it_is():
    assert STORED.sigmas(6) == [80.0, *SIX, 0.0]
    assert STORED.sigmas(3) == [80.0, *THREE, 0.0]


@pytest.mark.parametrize(("steps", "nearest"), [(1, 3), (4, 3), (5, 6), (12, 6), (200, 6)])
def test_another_number_of_steps_follows_the_nearest_grid(steps, nearest):
    alone = OptimisedSchedule(grids=[SIX if nearest == 6 else THREE])
    assert STORED.sigmas(steps) == alone.sigmas(steps)


def test_twice_the_steps_pass_through_every_sigma_of_the_grid():
    doubled = STORED.sigmas(12)
    assert doubled[2:12:2] == pytest.approx(SIX, rel=1e-12)
    triples = zip(doubled[0:9:2], doubled[1:10:2], doubled[2:11:2], strict=True)
    for sigma, middle, following in triples:
        mean = (math.asinh(sigma / 0.15) + math.asinh(following / 0.15)) / 2
        assert middle == pytest.approx(0.15 * math.sinh(mean), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 7, 50, 1000])
def test_grids_descend_and_stay_above_the_smallest_sigma(steps):
    sigmas = STORED.sigmas(steps)
    assert len(sigmas) == steps + 1
    assert (sigmas[0], sigmas[-1]) == (80.0, 0.0)
    assert all(sigma > following for sigma, following in pairwise(sigmas))
    assert sigmas[-2] > STORED.sigma_min


def test_with_many_steps_the_last_sigma_goes_to_the_smallest():
    assert STORED.sigmas(20_000)[-2] == pytest.approx(STORED.sigma_min, rel=0.05)


def test_without_a_grid_it_is_polynomial():
    options = {"sigma_min": 0.01, "sigma_max": 20.0, "rho": 5.0}
    assert OptimisedSchedule(**options).sigmas(9) == EdmSchedule(**options).sigmas(9)


@pytest.mark.parametrize("schedule", [STORED, OptimisedSchedule()], ids=["stored", "without"])
def test_a_grid_without_steps_is_refused(schedule):
    with pytest.raises(UsageError, match="ask for at least 1"):
        schedule.sigmas(0)


@pytest.mark.parametrize(
    "grid",
    [[], [1.0, 1.0], [1.0, 2.0], [80.0, 1.0], [1.0, 0.002], [1.0, 0.0]],
    ids=["empty", "level", "rising", "start", "smallest", "zero"],
)
def test_a_grid_that_does_not_descend_is_refused(grid):
    with pytest.raises(ValidationError, match="does not descend between sigma_max 80.0 and sig"):
        OptimisedSchedule(grids=[grid])


def test_two_grids_of_the_same_length_are_refused():
    with pytest.raises(ValidationError, match="there are 2 grids of 3 steps"):
        OptimisedSchedule(grids=[(9.0, 1.0), (5.0, 0.5)])


def test_grids_survive_a_manifest():
    written = tomli_w.dumps(STORED.model_dump(mode="json"))
    assert OptimisedSchedule.model_validate(tomllib.loads(written)) == STORED
