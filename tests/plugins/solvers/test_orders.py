"""The orders of steps with a full past, and of the distributions that stochastic solvers reach."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from kernel import Solver
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpm_3s import Dpm3S
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_3s import DpmPP3S
from kernel_plugins.solvers.dpmpp_sde import DpmPPSde
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.ping_pong import PingPong
from kernel_plugins.solvers.restart import Restart


def name(value: object) -> str:
    if not isinstance(value, Solver):
        return str(value)
    return "-".join([type(value).__name__.lower(), *(str(option) for _, option in value)])


def geometric(start: float, end: float, steps: int) -> list[float]:
    return [start * (end / start) ** (index / steps) for index in range(steps + 1)] + [0.0]


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (Dpm2M(), 2),
        (Dpm2M(exact=True), 2),
        (DpmPP2M(), 2),
        (DpmPP2M(exact=True), 2),
        (Dpm3M(), 3),
        (DpmPP3M(), 3),
        (Dpm3M(published=True), 2),
        (DpmPP3M(published=True), 2),
        *((Lms(slopes=slopes), slopes) for slopes in (1, 2, 3, 4)),
        *(
            (Deis(points=points, variable=variable), points)
            for points in (1, 2, 3, 4)
            for variable in ("log-sigma", "vp-time")
        ),
    ],
    ids=name,
)
def test_steps_with_a_full_past_have_the_order_of_their_polynomial(solver, order, mixture, drive):
    """Start with steps so short that their lower order does not show, and double them."""
    solver = solver.model_copy(update={"leap_ratio": None})
    x = 1.2 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1)).double()
    errors = []
    for steps, doublings in ((96, 15), (192, 18)):
        h = 1.5 / steps
        start = [h / 2**k for k in range(doublings, 0, -1)]
        lam = itertools.accumulate([*start, *[h] * steps], initial=0.0)
        sigmas = [math.exp(-value) for value in lam]
        state = drive(solver, mixture.denoise, x, [*sigmas, 0.0])[-2].x
        errors.append(float((state - mixture.flow(x, 1.0, sigmas[-1])).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def excess(solver: Solver, sigmas: list[float], std: float, drive) -> list[float]:
    """Return how much too large the variance is after each step, in units of the right one.

    Exact: on N(0, std^2) the state is linear in the independent draws, so that its value is held
    as the vector of their weights.
    """
    exact = Gaussian(*(torch.tensor([[value]], dtype=torch.float64) for value in (0.0, std)))
    size = 8 * len(sigmas)
    rows = iter(torch.eye(size, dtype=torch.float64).view(size, 1, 1, size))
    x = math.hypot(sigmas[0], std) * next(rows)
    steps = drive(solver, exact.denoise, x, sigmas, lambda sigma, following: next(rows))
    variances = [float(step.x.square().sum()) for step in steps]
    return [
        variance / (std**2 + step.sigma**2) - 1
        for variance, step in zip(variances, steps, strict=True)
    ]


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (Euler(eta=1.0), 1),
        (Euler(eta=0.5), 1),
        (Heun(s_churn=20.0), 2),
        (Dpm2S(eta=1.0), 2),
        (DpmPP2S(eta=1.0), 2),
        (Dpm3S(eta=1.0), 3),
        (DpmPP3S(eta=0.5), 3),
        (DpmPP2M(eta=1.0), 2),
        (DpmPP2M(eta=0.5), 2),
        (DpmPP2M(eta=1.0, exact=True), 2),
        (DpmPP3M(eta=1.0), 2),
        (DpmPPSde(eta=0.5), 2),
        (Ddpm(), 1),
        (EulerMaruyama(), 1),
        (EulerMaruyama(form="euler"), 1),
        (PredictorCorrector(corrections=0), 1),
    ],
    ids=name,
)
def test_the_variance_converges_with_the_order_that_is_claimed(solver, order, drive):
    assert solver.order == order
    errors = [excess(solver, geometric(5.0, 0.2, steps), 0.8, drive)[-2] for steps in (80, 160)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("node", [0.5, 0.3, 1.0])
def test_the_noise_of_dpmpp_sde_is_that_of_one_path(node, drive):
    """With independent noises for the two parts of a step the order would be 1."""
    errors = [
        abs(excess(DpmPPSde(node=node), geometric(5.0, 0.2, steps), 0.8, drive)[-2])
        for steps in (80, 160)
    ]
    assert math.log2(errors[0] / errors[1]) > 1.8
    assert errors[1] < 2e-3


def test_the_variance_of_restart_converges_when_its_inner_steps_do(drive):
    errors = [
        excess(Restart(sigma_low=0.5, inner_steps=steps), geometric(5.0, 0.2, steps), 0.8, drive)[
            -2
        ]
        for steps in (30, 60)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("std", [0.3, 2.0])
@pytest.mark.parametrize("steps", [1, 4])
def test_ddpm_for_normal_data_is_exact_at_every_step(std, steps, drive):
    solver = Ddpm(variance="data", data_std=std)
    found = excess(solver, geometric(5.0, 0.2, steps), std, drive)
    assert found[:-1] == pytest.approx([0.0] * steps, abs=1e-13)


@pytest.mark.parametrize(
    "solver",
    [
        Ddpm(),
        Euler(eta=0.7),
        Dpm2S(eta=1.0),
        DpmPP2S(eta=1.0),
        DpmPP2M(eta=1.0),
        DpmPP3M(eta=0.5),
        DpmPPSde(),
        Heun(s_churn=20.0),
        PingPong(),
        Restart(sigma_low=1.0),
    ],
    ids=name,
)
@pytest.mark.parametrize("steps", [1, 4])
def test_the_distribution_of_a_point_is_exact_at_every_step(solver, steps, drive):
    """The reverse process of one point keeps x0 + sigma n exactly, however long its steps are."""
    found = excess(solver, geometric(5.0, 0.2, steps), 1e-9, drive)
    assert found[:-1] == pytest.approx([0.0] * steps, abs=1e-12)
