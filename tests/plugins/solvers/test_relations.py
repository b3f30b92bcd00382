"""Solvers that are others under some options, to rounding."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel_plugins.mathematics.vp import STANDARD
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.alpha import Alpha
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_sde import DpmPPSde
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.ping_pong import PingPong
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.restart import Restart
from kernel_plugins.solvers.unipc import UniPC


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def noises(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return lambda sigma, following: torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return 80 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)


LATE = {"lower_order_final": False}


@pytest.mark.parametrize(
    ("solver", "other"),
    [
        (Alpha(alpha=1.0), Heun()),
        (Lms(slopes=1), Euler()),
        (Pndm(slopes=1), Euler()),
        (Deis(points=1), Euler()),
        (Deis(points=1, variable="vp-time"), Euler()),
        (Deis(points=2), Dpm2M(exact=True)),
        (Deis(points=3), Dpm3M()),
        (DpmPP2M(), UniPC(predictor_order=2, corrector=False, **LATE)),
        (Dpm2M(), UniPC(predictor_order=2, corrector=False, prediction="noise", **LATE)),
        (DpmPPSde(eta=0.0), DpmPP2S()),
        (DpmPPSde(eta=0.0, node=0.3), DpmPP2S(node=0.3)),
        (DpmPPSde(eta=0.0, node=1.0), DpmPP2S(node=1.0)),
        (Euler(eta=1.0), Ddpm()),
        (EulerMaruyama(), PredictorCorrector(corrections=0)),
        (
            EulerMaruyama(form="euler"),
            PredictorCorrector(predictor="euler-maruyama", corrections=0),
        ),
        (Euler(), PredictorCorrector(predictor="ode", corrections=0)),
    ],
    ids=lambda solver: repr(solver),
)
def test_is_the_other_solver(solver, other, x, mixture, drive):
    sigmas = EdmSchedule().sigmas(9)
    ends = [drive(each, mixture.denoise, x, sigmas, noises()) for each in (solver, other)]
    for ours, theirs in zip(*ends, strict=True):
        same(ours.x, theirs.x)


@pytest.mark.parametrize("kind", [Dpm2S, DpmPP2S])
def test_the_half_rule_at_the_end_of_the_step_is_a_trapezoid(kind, x, mixture, drive):
    """With the second evaluation at the end, both have the weight 1/2 of an Euler step."""
    sigmas = EdmSchedule().sigmas(6)
    state = x
    solver = kind(node=1.0).model_copy(update={"leap_ratio": None})
    for step, (sigma, following) in zip(
        drive(solver, mixture.denoise, x, sigmas), pairwise(sigmas), strict=True
    ):
        x0 = average = mixture.denoise(state, sigma)
        if following > 0:
            reached = x0.lerp(state, following / sigma)
            late = mixture.denoise(reached, following)
            average = (x0 + late) / 2
            if kind is Dpm2S:
                slope = ((state - x0) / sigma + (reached - late) / following) / 2
                average = state - sigma * slope
        state = average.lerp(state, following / sigma)
        same(step.x, state)


def test_pndm_on_equal_steps_is_lms(x, mixture, drive):
    sigmas = [80 * (1 - index / 10) for index in range(10)] + [0.0]
    ends = [drive(each, mixture.denoise, x, sigmas)[-2].x for each in (Pndm(), Lms())]
    same(*ends)


@pytest.mark.parametrize("slopes", [2, 3, 4])
def test_lms_is_exact_for_slopes_that_are_polynomials(slopes, drive):
    """Slopes of degree slopes - 1: a step with a full past adds their integral exactly."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x - sigma * slopes * sigma ** (slopes - 1)

    sigmas = [3.0, 2.5, 1.9, 1.6, 1.0, 0.4, 0.0]
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    solver = Lms(slopes=slopes, leap_ratio=None)
    states = [float(step.x) for step in drive(solver, denoise, zero, sigmas)]
    for index in range(slopes, 6):
        change = sigmas[index + 1] ** slopes - sigmas[index] ** slopes
        assert states[index] - states[index - 1] == pytest.approx(change, rel=1e-11)


@pytest.mark.parametrize("points", [2, 3, 4])
def test_deis_is_exact_for_noise_that_is_a_polynomial_of_vp_time(points, drive):
    degree = points - 1

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x - sigma * STANDARD.time(sigma) ** degree

    sigmas = [3.0, 2.5, 1.9, 1.6, 1.0, 0.4, 0.0]
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    solver = Deis(points=points, variable="vp-time", leap_ratio=None)
    states = [float(step.x) for step in drive(solver, denoise, zero, sigmas)]
    for index in (3, 4):
        start, end = sigmas[index], sigmas[index + 1]
        count = 4000
        inner = (start + (end - start) * (k + 0.5) / count for k in range(count))
        change = sum(STANDARD.time(sigma) ** degree for sigma in inner) * (end - start) / count
        assert states[index] - states[index - 1] == pytest.approx(change, rel=1e-6)


def test_vp_time_is_the_inverse_of_the_noise_level_of_the_process():
    for t in (1e-5, 1e-3, 0.1, 0.5, 1.0):
        sigma = math.sqrt(math.expm1(0.1 * t + 19.9 * t**2 / 2))
        assert STANDARD.time(sigma) == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize(
    ("solver", "seen"),
    [
        (DpmPP3M(), 1 / 2 + 1 / 3),
        (DpmPP3M(published=True), 1 / 2 + 1 / 6),
        (DpmPP2M(exact=True), 0.0),
    ],
    ids=["3m", "3m-published", "2m"],
)
def test_how_much_of_a_parabola_is_seen(solver, seen, drive):
    """Give x0 = u (u + h), u = lam - lam_2: the step from u = 0 to h is its integral, for small h.

    2M sees the line through its two last values, both 0; `published` half of the square.
    """
    h = 0.01
    sigmas = [math.exp(-lam) for lam in (0.0, h, 2 * h, 3 * h)]

    def denoise(x: Tensor, sigma: float) -> Tensor:
        u = -math.log(sigma) - 2 * h
        return x.new_full(x.shape, u * (u + h))

    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    steps = drive(solver, denoise, zero, [*sigmas, 0.0], constrain=lambda x: zero)
    assert float(steps[2].x) == pytest.approx(seen * h**3, rel=0.01, abs=1e-12)


def test_restart_without_noise_is_heun_down_the_inner_grid_again_and_again(x, mixture, drive):
    sigmas = EdmSchedule().sigmas(9)
    low = min(sigmas[1:-1], key=lambda sigma: abs(sigma - 0.5))
    inner = EdmSchedule(sigma_min=low, sigma_max=4.0).sigmas(4)
    solver = Restart(sigma_low=0.5, sigma_high=4.0, restarts=2, inner_steps=3)
    zeros = drive(solver, mixture.denoise, x, sigmas, lambda *_: torch.zeros_like(x))
    at = sigmas.index(low)
    state = drive(Heun(), mixture.denoise, x, [*sigmas[: at + 1], 0.0])[-2].x
    for _ in range(2):
        state = drive(Heun(), mixture.denoise, state, inner)[-2].x
    same(zeros[at - 1].x, state)
    same(zeros[-1].x, drive(Heun(), mixture.denoise, state, sigmas[at:])[-1].x)


@pytest.mark.parametrize(
    ("low", "high", "drawn"),
    [(0.5, 4.0, (4.0, 1.0)), (0.8, 2.0, (2.0, 1.0)), (0.1, 0.2, (2.0, 1.0))],
)
def test_restart_goes_up_to_sigma_high_from_the_nearest_sigma(low, high, drawn, drive):
    asked = []

    def noise(sigma: float, following: float) -> Tensor:
        asked.append((sigma, following))
        return torch.ones(1, 1, 1, dtype=torch.float64)

    states = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        states.append((sigma, float(x)))
        return x

    solver = Restart(sigma_low=low, sigma_high=high, restarts=1, inner_steps=1)
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    drive(solver, denoise, start, [10.0, 5.0, 1.0, 0.0], noise)
    assert asked == [pytest.approx(drawn)]
    assert (drawn[0], pytest.approx(math.sqrt(drawn[0] ** 2 - 1))) in states


def test_ping_pong_adds_all_of_the_noise_to_the_denoised(x, mixture, drive):
    sigmas = EdmSchedule().sigmas(5)
    drawn = noises()
    for step in drive(PingPong(), mixture.denoise, x, sigmas, noises()):
        expected = step.x0 if step.sigma == 0 else step.x0 + step.sigma * drawn(0.0, 0.0)
        same(step.x, expected)


@pytest.mark.parametrize(
    ("form", "variance"), [("reverse-diffusion", 16.0 - 9.0), ("euler", 2 * 4.0 * 1.0)]
)
def test_euler_maruyama_steps_along_the_score(form, variance, drive):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    step = drive(
        EulerMaruyama(form=form), lambda x, sigma: 0.3 * x, one, [4.0, 3.0, 0.0], lambda *_: one
    )[0]
    score = (0.3 - 1) / 16
    assert float(step.x) == pytest.approx(1 + variance * score + math.sqrt(variance))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Euler, {"eta": -0.1}),
        (Euler, {"eta": 1.1}),
        (Alpha, {"alpha": 0.0}),
        (Alpha, {"alpha": 1.1}),
        (Dpm2S, {"node": 0.0}),
        (DpmPP2S, {"node": 1.1}),
        (DpmPPSde, {"eta": 2.0}),
        (DpmPP2M, {"eta": -1.0}),
        (DpmPP3M, {"points": 4}),
        (Ddpm, {"variance": "learned"}),
        (Ddpm, {"data_std": 0.0}),
        (Deis, {"points": 5}),
        (Deis, {"variable": "sigma"}),
        (Lms, {"slopes": 0}),
        (Pndm, {"slopes": 5}),
        (Restart, {"restarts": 0}),
        (Restart, {"inner_steps": 0}),
        (EulerMaruyama, {"form": "milstein"}),
    ],
    ids=str,
)
def test_refuses_options_that_cannot_be(kind, options):
    with pytest.raises(ValidationError):
        kind(**options)


def test_a_restart_that_does_not_go_up_is_refused():
    with pytest.raises(ValidationError, match=r"sigma_high 0\.2 is not above sigma_low 0\.3"):
        Restart(sigma_high=0.2)
