from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel_audio_testing.exact import Gaussian
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.heun import Heun


def test_matches_algorithm_1_written_with_slopes(mixture, drive, generator):
    sigmas = EdmSchedule().sigmas(7)
    x = 80 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    steps = drive(Heun(leap_ratio=None), mixture.denoise, x, sigmas)
    for step, sigma in zip(steps, sigmas, strict=False):
        slope = (x - mixture.denoise(x, sigma)) / sigma
        end = x + (step.sigma - sigma) * slope
        if step.sigma > 0:
            other = (end - mixture.denoise(end, step.sigma)) / step.sigma
            end = x + (step.sigma - sigma) * (slope + other) / 2
        torch.testing.assert_close(step.x, end, rtol=1e-11, atol=1e-11)
        x = step.x


@pytest.mark.parametrize("s_churn", [5.0, 20.0])
def test_churn_keeps_the_marginal_variance(s_churn, drive):
    """Follow the exact variance: on a Gaussian the state is linear in the independent draws."""
    std, count = 0.5, 200
    exact = Gaussian(torch.zeros(1, 1, dtype=torch.float64), torch.tensor(std).double())
    sigmas = EdmSchedule().sigmas(count)
    draws = torch.eye(count + 1, dtype=torch.float64).unsqueeze(1)
    rows = iter(draws.split(1))

    def noise(sigma: float, following: float) -> Tensor:
        return next(rows)

    x = math.hypot(sigmas[0], std) * next(rows)
    steps = drive(Heun(s_churn=s_churn), exact.denoise, x, sigmas, noise)
    variances = [float(step.x.square().sum()) for step in steps]
    assert next(rows, None) is None
    assert variances == pytest.approx([std**2 + step.sigma**2 for step in steps], rel=0.005)


def visited(solver: Heun, sigmas: list[float], drive) -> tuple[list[float], list[tuple]]:
    """Return the sigmas that were denoised and the steps that drew noise."""
    seen, drawn = [], []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return x * 0

    def noise(sigma: float, following: float) -> Tensor:
        drawn.append((sigma, following))
        return torch.ones(1, 1, 1, dtype=torch.float64)

    drive(solver, denoise, torch.zeros(1, 1, 1, dtype=torch.float64), sigmas, noise)
    return seen, drawn


def test_churn_raises_sigma_within_its_limits_only(drive):
    sigmas = [10.0, 5.0, 2.0, 1.0, 0.0]
    seen, drawn = visited(Heun(s_churn=0.4, s_min=2.0, s_max=5.0), sigmas, drive)
    assert drawn == [(5.0, 2.0), (2.0, 1.0)]
    assert seen == pytest.approx([10.0, 5.0, 5.5, 2.0, 2.2, 1.0, 1.0], rel=1e-14)


def test_churn_is_capped(drive):
    seen, drawn = visited(Heun(s_churn=1000.0), [4.0, 0.0], drive)
    assert seen == [4 * (1 + (math.sqrt(2) - 1))]
    assert drawn == [(4.0, 0.0)]


@pytest.mark.parametrize("s_noise", [1.0, 1.5])
def test_the_noise_added_makes_up_for_the_higher_sigma(s_noise, drive):
    states = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        states.append(float(x.mean()))
        return x

    one = torch.ones(1, 1, 1, dtype=torch.float64)
    drive(Heun(s_churn=0.25, s_noise=s_noise), denoise, one, [4.0, 0.0], lambda *_: one)
    assert states == [pytest.approx(1 + s_noise * math.sqrt(5.0**2 - 4.0**2))]


def test_is_stochastic_with_churn_only():
    assert not Heun(s_noise=1.1, s_max=50.0).stochastic
    assert Heun(s_churn=1.0).stochastic


@pytest.mark.parametrize(
    "options",
    [{"s_churn": -1}, {"s_min": -1}, {"s_max": -1}, {"s_noise": 0}, {"churn": 1}],
    ids=str,
)
def test_refuses_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        Heun(**options)
