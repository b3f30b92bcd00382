"""The processes: there and back, against their papers' integrals and against autograd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from kernel_plugins.mathematics.bbed import BrownianBridge
from kernel_plugins.mathematics.cosine import Circle
from kernel_plugins.mathematics.ouve import OrnsteinUhlenbeck
from kernel_plugins.mathematics.rf import RectifiedFlow
from kernel_plugins.mathematics.sb_ve import SchroedingerBridge
from kernel_plugins.mathematics.vp import STANDARD, VariancePreserving

PROCESSES = [
    BrownianBridge(2.6, 0.52),
    BrownianBridge(4.0, 0.2),
    Circle(1.0),
    Circle(0.3),
    OrnsteinUhlenbeck(1.5, 0.05, 0.5),
    OrnsteinUhlenbeck(2.0, 0.1, 1.0),
    RectifiedFlow(1.0),
    RectifiedFlow(0.3),
    SchroedingerBridge(2.6, 0.4),
    SchroedingerBridge(3.0, 0.1),
    STANDARD,
    VariancePreserving(0.5, 8.0, 0.3),
]
TIMES = (1e-4, 0.03, 0.3, 0.6, 0.99)
every = pytest.mark.parametrize("process", PROCESSES, ids=repr)


@every
def test_time_and_sigma_lead_there_and_back(process: Any) -> None:
    assert process.sigma(0.0) == process.time(0.0) == 0
    for t in TIMES:
        assert process.time(process.sigma(t)) == pytest.approx(t, rel=1e-9)


@every
def test_tensors_have_the_values_of_floats(process: Any) -> None:
    times = torch.tensor(TIMES, dtype=torch.float64)
    sigmas = process.sigma(times)
    assert sigmas.tolist() == pytest.approx([process.sigma(t) for t in TIMES], rel=1e-12)
    assert process.time(sigmas).tolist() == pytest.approx(TIMES, rel=1e-9)
    for method in (process.coefficients, process.rates):
        for index, values in enumerate(method(times)):
            floats = [method(t)[index] for t in TIMES]
            spread = torch.as_tensor(values, dtype=torch.float64).expand(len(TIMES))
            assert spread.tolist() == pytest.approx(floats, rel=1e-12)


@every
def test_rates_are_the_derivatives(process: Any) -> None:
    times = torch.tensor(TIMES, dtype=torch.float64, requires_grad=True)
    a, b = process.coefficients(times)
    for value, rate in zip((a, b, process.sigma(times) ** 2), process.rates(times), strict=True):
        slope = torch.zeros_like(times)
        if isinstance(value, torch.Tensor):
            (slope,) = torch.autograd.grad(value.sum(), times, retain_graph=True)
        wanted = torch.as_tensor(rate, dtype=torch.float64).expand_as(slope)
        torch.testing.assert_close(slope, wanted, rtol=1e-8, atol=0)


@every
def test_numbers_are_the_fields(process: Any) -> None:
    assert type(process)(**process.numbers) == process
    assert process.name


@pytest.mark.parametrize("process", PROCESSES[-2:], ids=repr)
def test_the_variance_is_preserved(process: VariancePreserving) -> None:
    """Song et al. 2021, eq. 33: the signal's share is exp of minus the integral of beta."""
    for t in TIMES:
        u = np.linspace(0, t, 100_001)
        beta = process.beta_min + u * (process.beta_max - process.beta_min)
        integral = float((beta[1:] + beta[:-1]).sum() / 2 * (u[1] - u[0]))
        a, b = process.coefficients(t)
        assert b == 0
        assert (a * process.sigma_data) ** 2 == pytest.approx(math.exp(-integral), rel=1e-8)
        assert a**2 * (process.sigma_data**2 + process.sigma(t) ** 2) == pytest.approx(1)


def test_no_digits_are_lost_where_there_is_hardly_any_noise() -> None:
    times = torch.tensor([1e-5, 1e-3], dtype=torch.float32)
    found = STANDARD.time(STANDARD.sigma(times.double()).float())
    torch.testing.assert_close(found, times, rtol=1e-6, atol=0)


@pytest.mark.parametrize("sigma_data", [1.0, 0.3])
def test_the_circle_and_the_line_are_those_of_their_names(sigma_data: float) -> None:
    for t in TIMES:
        a, _ = Circle(sigma_data).coefficients(t)
        assert (a * sigma_data, a * Circle(sigma_data).sigma(t)) == pytest.approx(
            (math.cos(t), math.sin(t))
        )
        a, _ = RectifiedFlow(sigma_data).coefficients(t)
        assert (a * sigma_data, a * RectifiedFlow(sigma_data).sigma(t)) == pytest.approx((1 - t, t))


@pytest.mark.parametrize(
    "process", [OrnsteinUhlenbeck(1.5, 0.05, 0.5), SchroedingerBridge(2.6, 0.4)], ids=repr
)
def test_the_mean_goes_from_the_data_to_the_origin(process: Any) -> None:
    for t in TIMES:
        a, b = process.coefficients(t)
        assert a + b == pytest.approx(1)


def test_sgmse_has_its_published_variance() -> None:
    """Richter et al. 2023, eq. 6, by the integral of g^2 exp(-2 theta (t - u))."""
    process = OrnsteinUhlenbeck(1.5, 0.05, 0.5)
    for t in TIMES:
        u = np.linspace(0, t, 100_001)
        diffusion = 0.05 * 10**u * math.sqrt(2 * math.log(10))
        kernel = diffusion**2 * np.exp(-3 * (t - u))
        variance = float((kernel[1:] + kernel[:-1]).sum() / 2 * (u[1] - u[0]))
        a, _ = process.coefficients(t)
        assert (a * process.sigma(t)) ** 2 == pytest.approx(variance, rel=1e-7)


def test_the_bridge_has_its_published_variance() -> None:
    """Jukic et al. 2024, eq. 8: sigma_x^2 = sigma_t^2 (sigma_T^2 - sigma_t^2) / sigma_T^2."""
    k, c = 2.6, 0.4
    process = SchroedingerBridge(k, c)
    end = c * (k**2 - 1) / (2 * math.log(k))
    for t in TIMES:
        early = c * (k ** (2 * t) - 1) / (2 * math.log(k))
        a, b = process.coefficients(t)
        assert b == pytest.approx(early / end)
        assert (a * process.sigma(t)) ** 2 == pytest.approx(early * (end - early) / end)
