"""Annealed Langevin steps, against the stationary distribution of their exact recursion."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kernel import Condition, Context, Denoise, Measurement, UsageError
from kernel.runner.guide import guided
from kernel_plugins.guidance import langevin
from kernel_plugins.guidance.langevin import Langevin

SIGMAS = (2.0, 0.5, 0.0)
STD, SIGMA = 0.8, 0.5


class Stream:
    """Standard normal noise of a shape; counts its draws."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.generator = torch.Generator().manual_seed(4)
        self.draws = 0

    def __call__(self, sigma: float, following: float) -> Tensor:
        self.draws += 1
        return torch.randn(self.shape, generator=self.generator, dtype=torch.float64)


def white(x: Tensor, sigma: float, condition: Condition) -> Tensor:
    """The denoiser of N(0, STD^2)."""
    return x * STD**2 / (STD**2 + sigma**2)


def known(target: Tensor, noise: float = 0.1) -> Measurement:
    def refuse(predicted: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("the task's distance is no likelihood")

    return Measurement(lambda x: 2 * x[..., :1], target, refuse, noise=noise)


def corrected(
    guidance: Langevin, x: Tensor, measurement: Measurement | None = None
) -> tuple[Tensor, Denoise, Stream]:
    """Return the state after the steps at SIGMA, the guided denoiser, and the noise."""
    noise = Stream(*x.shape)
    context = Context(Condition(), SIGMAS, measurement, noise=noise)
    field = guided(white, {"langevin": guidance}, context)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return field(x, sigma, Condition())

    return guidance.constrain(x, SIGMA, denoise, context), denoise, noise


def test_is_offered() -> None:
    assert langevin.guidance() is Langevin


def test_needs_no_measurement_and_gradients_for_its_likelihood_only() -> None:
    assert Langevin().needs == {"gradient"}
    assert Langevin(gamma=None).needs == frozenset()


def test_a_step_is_that_of_the_paper() -> None:
    x = torch.randn(5, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.full((5, 1, 1), 0.7, dtype=torch.float64)
    found, _, _ = corrected(Langevin(steps=1, snr=0.4, gamma=1.5), x, known(y))
    eta = (0.4 * SIGMA) ** 2
    score = -x / (STD**2 + SIGMA**2)
    score[..., :1] += 2 * (y - 2 * x[..., :1]) / (0.1**2 + (1.5 * SIGMA) ** 2)
    z = Stream(*x.shape)(SIGMA, SIGMA)
    torch.testing.assert_close(found, x + eta * score + math.sqrt(2 * eta) * z)


def test_many_steps_reach_the_posterior_of_the_noisy_state() -> None:
    """Exact in the mean; the variance of steps eta is 1 / (p (1 - eta p / 2)), p the precision."""
    x, y = torch.zeros(4000, 1, 2, dtype=torch.float64), torch.ones(4000, 1, 1, dtype=torch.float64)
    guidance = Langevin(steps=150, snr=0.3)
    found, _, _ = corrected(guidance, x, known(y))
    eta, prior = (0.3 * SIGMA) ** 2, 1 / (STD**2 + SIGMA**2)
    likelihood = 1 / (0.1**2 + SIGMA**2)
    precision = torch.tensor([prior + 4 * likelihood, prior], dtype=torch.float64)
    mean = torch.tensor([2 * likelihood / precision[0], 0.0], dtype=torch.float64)
    variance = 1 / (precision * (1 - eta * precision / 2))
    torch.testing.assert_close(found.mean(0)[0], mean, atol=0.06, rtol=0)
    torch.testing.assert_close(found.var(0)[0], variance, atol=0, rtol=0.08)


def test_the_estimate_has_the_likelihood_only_where_something_is_measured() -> None:
    x = torch.ones(3, 1, 2, dtype=torch.float64)
    target = torch.zeros(3, 1, 1, dtype=torch.float64)
    plain = white(x, 1.0, Condition())
    for guidance, measurement, changed in (
        (Langevin(), known(target), True),
        (Langevin(), None, False),
        (Langevin(gamma=None), known(target), False),
    ):
        _, denoise, _ = corrected(guidance, x, measurement)
        assert denoise(x, 1.0).equal(plain) != changed


def test_each_step_costs_one_evaluation_and_one_draw() -> None:
    calls = 0

    def counted(x: Tensor, sigma: float) -> Tensor:
        nonlocal calls
        calls += 1
        return x

    noise = Stream(1, 1, 2)
    context = Context(Condition(), SIGMAS, noise=noise)
    Langevin(steps=7).constrain(torch.zeros(1, 1, 2), SIGMA, counted, context)
    assert (calls, noise.draws) == (7, 7)


@pytest.mark.parametrize("guidance, sigma", [(Langevin(), 0.0), (Langevin(steps=0), SIGMA)])
def test_there_are_no_steps_at_sigma_zero_or_without_any(guidance: Langevin, sigma: float) -> None:
    x = torch.ones(1, 1, 2)
    never: Callable[[Tensor, float], Tensor] = pytest.fail
    assert guidance.constrain(x, sigma, never, Context(Condition(), SIGMAS)) is x


def test_a_run_without_noise_is_refused() -> None:
    with pytest.raises(UsageError, match="'langevin' draws noise"):
        Langevin().constrain(
            torch.ones(1, 1, 2), SIGMA, lambda x, sigma: x, Context(Condition(), SIGMAS)
        )
