"""The exponential integral of BBED, against quadrature of the process's own variance."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kernel.registry import PluginInfo, Registry
from kernel_audio_testing._run import checks_for
from kernel_audio_testing._subject import Inapplicable, Subject
from kernel_plugins.mathematics.bbed import STANDARD, BrownianBridge, odds, variance
from kernel_plugins.objectives.bbed import Bbed, objective
from kernel_plugins.schedules.bbed import BbedSchedule, schedule

TIMES = (1e-6, 1e-3, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)


def std(t: float, k: float, theta: float) -> float:
    """Return s(t) of dx = (y - x) / (1 - t) dt + sqrt(theta) k^t dw from a point.

    The variance is the integral of theta k^2u ((1 - t) / (1 - u))^2: Gauss's rule on pieces that
    shrink towards 1, as the integrand grows.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = -np.expm1(np.linspace(0.0, math.log1p(-t), 30))
    total = 0.0
    for start, end in pairwise(edges):
        u = (start + end) / 2 + (end - start) / 2 * nodes
        integrand = theta * k ** (2 * u) * ((1 - t) / (1 - u)) ** 2
        total += float((weights * integrand).sum() * (end - start) / 2)
    return math.sqrt(total)


every = pytest.mark.parametrize("k", [1.1, 2.6, 5.0, 20.0])


@every
@pytest.mark.parametrize("t", TIMES)
def test_sigma_is_that_of_the_process(k: float, t: float) -> None:
    process = BrownianBridge(k, 0.3)
    assert process.sigma(t) == pytest.approx(std(t, k, 0.3) / (1 - t), rel=1e-9)


@every
@pytest.mark.parametrize("t", TIMES)
def test_time_leads_to_sigma_and_back(k: float, t: float) -> None:
    process = BrownianBridge(k, 0.52)
    assert process.time(process.sigma(t)) == pytest.approx(t, rel=1e-10)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-3 if k == 20 else 2e-5)):
        sigma = torch.tensor([process.sigma(t)], dtype=dtype)
        found = process.time(sigma)
        assert found.dtype == dtype
        assert float(found) == pytest.approx(t, rel=tolerance)


def test_no_time_is_no_noise() -> None:
    assert variance(0.0, 2.6) == odds(0.0, 2.6) == 0


def test_the_published_closed_form_agrees() -> None:
    """Sum Ei(x) = gamma + ln |x| + sum x^n / (n n!) as in the published code's variance."""

    def ei(x: float) -> float:
        terms = (x**n / (n * math.factorial(n)) for n in range(1, 40))
        return 0.5772156649015329 + math.log(abs(x)) + sum(terms)

    k, theta, log_k = 2.6, 0.52, math.log(2.6)
    for t in (0.1, 0.5, 0.9):
        integral = ei(2 * (t - 1) * log_k) - ei(-2 * log_k)
        whole = k ** (2 * t) - 1 + t + 2 * k**2 * log_k * (1 - t) * integral
        assert (1 - t) * STANDARD.sigma(t) == pytest.approx(math.sqrt((1 - t) * theta * whole))


def test_the_grid_takes_equal_steps_of_time_within_its_range() -> None:
    grid = BbedSchedule().sigmas(12)
    times = [STANDARD.time(sigma) for sigma in grid[:-1]]
    assert times == pytest.approx([0.999 + index / 11 * (0.03 - 0.999) for index in range(12)])


def test_draws_are_uniform_in_time() -> None:
    drawn = BbedSchedule(stratified=True).draw(1000, torch.Generator().manual_seed(0)).double()
    times = np.sort((STANDARD.time(drawn).numpy() - 0.03) / (0.999 - 0.03))
    assert np.abs(times - (np.arange(1000) + 0.5) / 1000).max() < 1e-3


@pytest.mark.parametrize("kind", [Bbed, BbedSchedule])
@pytest.mark.parametrize("option", [{"k": 1.0}, {"k": 21.0}, {"theta": 0.0}], ids=str)
def test_refuses_options_that_cannot_be(kind: Any, option: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        kind(**option)


@pytest.mark.parametrize("hook", [objective, schedule])
def test_it_keeps_the_promises_of_its_kind(hook: Any) -> None:
    kind = hook.__name__
    target = f"kernel_plugins.{kind}s.bbed"
    info = PluginInfo(kind, "bbed", "kernel-audio-plugins", "0.1.0", target)
    subject = Subject(info, Registry.scan())
    passed = 0
    for check in checks_for(kind):
        try:
            check.function(subject)
        except Inapplicable:
            continue
        passed += 1
    assert passed >= 15
