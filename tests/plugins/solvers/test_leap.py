from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from kernel_plugins.schedules.cosine import CosineSchedule
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.schedules.ve import VeSchedule
from kernel_plugins.schedules.vp import VpSchedule
from kernel_plugins.solvers._leap import GROWTH, carried, late
from kernel_plugins.solvers._multistep import Interval, adams_bashforth
from kernel_plugins.solvers.alpha import Alpha
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpm_3s import Dpm3S
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.unipc import UniPC

MULTISTEP = [
    UniPC(corrector=False),
    DpmPP2M(),
    DpmPP3M(),
    Dpm2M(),
    Dpm3M(),
    Deis(),
    Deis(variable="vp-time"),
]


def off(solver):
    return solver.model_copy(update={"leap_ratio": None})


def counts(solver, sigmas):
    """Return how many evaluations each step uses."""
    return [len(update.weights) if update else 1 for update in solver.updates(sigmas)]


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.5])
def test_a_line_is_carried_over_so_many_steps(ratio):
    for step, expected in ((ratio, 2), (1.01 * ratio, 1)):
        interval = Interval("x0", 1.0, math.exp(-step))
        nodes = [0.0, interval.node(math.e)]

        for exact in (False, True):
            rule = partial(Dpm2M(exact=exact).weights, interval)
            assert carried(rule, nodes, ratio) == expected
            assert carried(rule, nodes, None) == 2


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_growth_is_that_of_equal_steps_which_carry_all(count):
    nodes = [-float(k) for k in range(count)]
    weights = adams_bashforth(nodes)
    assert sum(map(abs, weights)) == pytest.approx(GROWTH[count - 1])
    assert carried(adams_bashforth, nodes, 1.0) == count


@pytest.mark.parametrize("solver", MULTISTEP, ids=repr)
def test_a_leap_is_a_step_of_eulers_and_the_past_comes_back(solver):
    sigmas = [8.0, 6.0, 4.5, 3.4, 2.6, *(0.01 * 0.75**k for k in range(5)), 0.0]
    full = counts(off(solver), sigmas)
    found = counts(solver, sigmas)
    assert found[:4] == full[:4]
    assert (full[4], found[4]) == (full[3], 1)
    assert found[-2] == full[-2]


@pytest.mark.parametrize("solver", [Lms(), Pndm()], ids=repr)
def test_a_leap_in_sigma_is_one_of_solvers_that_work_in_sigma(solver):
    sigmas = [8.0, 7.9, 7.8, 7.7, 3.0, 1.0, 0.0]
    assert counts(solver, sigmas)[3] == 1
    assert counts(off(solver), sigmas)[3] == 4


def test_the_step_of_lms_to_zero_may_be_a_leap():
    assert counts(Lms(), VeSchedule().sigmas(40))[-1] == 1
    assert counts(Lms(), EdmSchedule().sigmas(40))[-1] == 4


def test_the_corrector_of_a_leap_has_the_two_evaluations_at_its_ends():
    sigmas = [4.0, 3.0, 2.3, 0.01, 0.007, 0.0]
    predicted = list(UniPC(corrector=False).updates(sigmas))[3].weights
    corrected = list(UniPC().updates(sigmas))[3].weights
    scale = 0.007 / 0.01
    half = -math.expm1(-math.log(2.3 / 0.01)) / 2
    padded = [*predicted, 0.0]
    late = [(one - other) / scale for one, other in zip(corrected, padded, strict=False)]
    assert late == pytest.approx([half, -half], rel=1e-9)


@pytest.mark.parametrize("solver", [*MULTISTEP, Lms(), Pndm()], ids=repr)
def test_a_smooth_grid_of_many_steps_has_no_leap(solver):
    sigmas = EdmSchedule().sigmas(40)
    assert list(solver.updates(sigmas)) == list(off(solver).updates(sigmas))


@pytest.mark.parametrize("schedule", [EdmSchedule(), RfSchedule(), VeSchedule()], ids=repr)
@pytest.mark.parametrize("steps", [4, 6, 8, 12, 16, 32, 64])
def test_unipc_is_unchanged_on_the_grids_of_the_packs(schedule, steps):
    sigmas = schedule.sigmas(steps)
    assert list(UniPC().updates(sigmas)) == list(off(UniPC()).updates(sigmas))


@pytest.mark.parametrize("ratio", [1.0, 2.0])
@pytest.mark.parametrize("node", [1.0, 0.5, 0.1])
def test_a_late_evaluation_is_extrapolated_so_far(ratio, node):
    """With R the errors may grow to 1 + R, or to (1 + R) / 2 of what they do in short steps."""
    most = (1 + max(1 + ratio, (1 / node - 1) * (1 + ratio) / 2)) / 2
    inner = 4.0 * 16.0**-node
    assert late(0.99 * most, inner, 4.0, 0.25, ratio) == (inner, 0.99 * most)
    assert late(1.01 * most, inner, 4.0, 0.25, ratio) == (1.0, 1.0)
    assert late(1.01 * most, inner, 4.0, 0.25, None) == (inner, 1.01 * most)


@pytest.mark.parametrize(
    "solver",
    [Heun(), Alpha(alpha=1.0), Dpm2S(), Dpm3S()],
    ids=repr,
)
def test_a_step_of_several_evaluations_that_leaps_is_better_than_eulers(solver, mixture, drive):
    x = 50.0 * torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    truth = mixture.flow(x, 50.0, 0.5)
    careful, bold, euler = (
        float((drive(each, mixture.denoise, x, [50.0, 0.5, 0.0])[0].x - truth).norm())
        for each in (solver, off(solver), Euler())
    )
    assert careful < euler < bold
    short = [50.0, 45.0, 0.0]
    same = [drive(each, mixture.denoise, x, short)[0].x for each in (solver, off(solver))]
    assert torch.equal(*same)


@pytest.mark.parametrize("solver", [Heun(), Alpha(alpha=1.0)], ids=repr)
def test_a_leap_of_heun_is_a_step_of_dpmpp_2s(solver, mixture, drive):
    x = 50.0 * torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    found, expected = (
        drive(each, mixture.denoise, x, [50.0, 0.5, 0.0])[0].x for each in (solver, DpmPP2S())
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_heun_with_the_steps_of_its_paper_has_no_leap(mixture, drive):
    sigmas = EdmSchedule().sigmas(18)
    x = 80.0 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    ends = [drive(each, mixture.denoise, x, sigmas)[-1].x for each in (Heun(), off(Heun()))]
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    "solver",
    [EulerMaruyama(), EulerMaruyama(form="euler"), PredictorCorrector(corrections=0)],
    ids=repr,
)
@pytest.mark.parametrize(("limit", "up"), [(1.0, 1.0), (1.5, 1.5), (None, None)])
def test_the_noise_of_a_step_is_limited_by_the_next_sigma(solver, limit, up, drive):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    solver = solver.model_copy(update={"noise_limit": limit})
    ends = [
        drive(solver, lambda x, sigma: x, one, [4.0, 1.0, 0.0], lambda *_, n=noise: n * one)[0].x
        for noise in (0.0, 1.0)
    ]
    variance = 2 * 4.0 * 3.0 if getattr(solver, "form", "") == "euler" else 16.0 - 1.0
    assert float(ends[1] - ends[0]) == pytest.approx(up or math.sqrt(variance))


@pytest.mark.parametrize("schedule", [CosineSchedule(), VpSchedule()], ids=repr)
@pytest.mark.parametrize("solver", [UniPC(), DpmPP2M(), DpmPP3M()], ids=repr)
def test_steps_of_eulers_at_leaps_are_better_than_extrapolation(solver, schedule, mixture, drive):
    sigmas = schedule.sigmas(16)
    generator = torch.Generator().manual_seed(1)
    x = mixture.sample(16, generator)
    x += sigmas[0] * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    truth = mixture.flow(x, sigmas[0], 0.0)
    careful, bold, euler = (
        float((drive(each, mixture.denoise, x, sigmas)[-1].x - truth).norm())
        for each in (solver, off(solver), Euler())
    )
    assert careful < euler / 2
    assert careful < bold / 2
