"""Guidance gradients, against the published algorithms in their own coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Condition, Context, Measurement, Solver, UsageError
from kernel.runner.guide import guided
from kernel_plugins.guidance import guidance_gradient
from kernel_plugins.guidance._losses import LOSSES
from kernel_plugins.guidance.guidance_gradient import GuidanceGradient
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.euler import Euler

TIMES = (0.9, 0.7, 0.55, 0.3, 0.12, 0.0)
XI = 0.05
SHAPE = (3, 2, 6)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MIX = normal(6, 6, seed=1) / 2
SEEN = normal(4, 6, seed=2)


def velocity(z: Tensor, t: float) -> Tensor:
    """A smooth network, v = alpha eps - sigma x0, trained on data of unit variance."""
    return torch.tanh(z @ MIX + t) - t * z


def operator(x0: Tensor) -> Tensor:
    return torch.sin(x0 @ SEEN.T)


def distance(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted - target).abs().pow(1.5).flatten(1).sum(1)


def scales(t: float) -> tuple[float, float]:
    """Return alpha and sigma; exactly (1, 0) at t = 0."""
    return math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)


def published(algorithm: str, z: Tensor, noises: Sequence[Tensor], y: Tensor, on: str) -> Tensor:
    """Return the end of algorithm 1 or 2 of the paper, without data consistency."""
    for (t, s), noise in zip(pairwise(TIMES), noises, strict=True):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = scales(t), scales(s)
        z = z.detach().requires_grad_()
        x0 = alpha_t * z - sigma_t * velocity(z, t)
        d = distance(operator(x0 if on == "x0" else z), y)
        (g,) = torch.autograd.grad(d.sum(), z)
        kept = 1 - alpha_t**2 / alpha_s**2
        if algorithm == "ddim":
            # The sign of the paper descends: x0 is not recomputed from this noise.
            epsilon = (z - alpha_t * x0) / sigma_t - XI * sigma_t * g
            z = alpha_s * x0 + math.sqrt(1 - alpha_s**2) * epsilon
        else:
            mean = (
                alpha_s / sigma_t**2 * kept * x0 + alpha_t * sigma_s**2 / (alpha_s * sigma_t**2) * z
            )
            z = mean + math.sqrt(sigma_s**2 / sigma_t**2 * kept) * noise - XI * g
    return z.detach()


def ours(
    algorithm: str, z: Tensor, noises: Sequence[Tensor], y: Tensor, on: str, sigma_data: float
) -> Tensor:
    """Return the same, by a solver that knows only x = x0 + sigma n and D."""
    sigmas = [sigma_data * math.tan(math.pi * t / 2) for t in TIMES]

    def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        t = 2 / math.pi * math.atan(sigma / sigma_data)
        alpha, sine = scales(t)
        z = x / sigma_data * alpha
        return sigma_data * (alpha * z - sine * velocity(z, t))

    known = Measurement(lambda x0: operator(x0 / sigma_data), y, distance)
    context = Context(Condition(), tuple(sigmas), known, sigma_data)
    guidance = GuidanceGradient.model_validate({"algorithm": algorithm, "xi": XI, "on": on})
    estimate = guided(denoise, {"guidance-gradient": guidance}, context)
    solver: Solver = Euler() if algorithm == "ddim" else Ddpm()
    drawn = iter(noises)
    steps = solver.trajectory(
        lambda x, sigma: estimate(x, sigma, Condition()),
        sigma_data * z / scales(TIMES[0])[0],
        sigmas,
        lambda sigma, following: next(drawn),
    )
    step = next(steps)
    while step.sigma > 0:
        step = steps.send(step.x)
    return step.x / sigma_data


@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
@pytest.mark.parametrize("on", ["x0", "x"])
@pytest.mark.parametrize("algorithm", ["ddim", "ddpm"])
def test_makes_the_steps_of_the_paper(algorithm: str, on: str, sigma_data: float) -> None:
    z, y = normal(*SHAPE, seed=3), torch.sin(normal(3, 2, 4, seed=4))
    noises = [normal(*SHAPE, seed=10 + index) for index in range(len(TIMES) - 1)]
    expected = published(algorithm, z, noises, y, on)
    found = ours(algorithm, z, noises, y, on, sigma_data)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def field(x: Tensor, sigma: float, known: Measurement, **options: Any) -> Tensor:
    """Return the guided estimate of D = x / (1 + sigma^2), on the grid (4, 2, 1, 0)."""
    context = Context(Condition(), (4.0, 2.0, 1.0, 0.0), known)
    estimate = guided(
        lambda x, sigma, condition: x / (1 + sigma**2),
        {"guidance-gradient": GuidanceGradient(**options)},
        context,
    )
    return estimate(x, sigma, Condition())


def known(target: Tensor) -> Measurement:
    return Measurement(lambda x0: x0, target, LOSSES["l2"])


def test_is_offered() -> None:
    assert guidance_gradient.guidance() is GuidanceGradient


def test_needs_a_measurement_and_gradients() -> None:
    assert GuidanceGradient().needs == {"measurement", "gradient"}


def test_a_run_without_a_measurement_is_refused() -> None:
    with pytest.raises(
        UsageError, match="'guidance-gradient' needs a measurement .*; choose a task"
    ):
        GuidanceGradient().wrap(lambda x, sigma, condition: x, Context(Condition(), (1.0, 0.0)))


def test_the_last_step_of_ddim_is_not_guided_and_that_of_ddpm_is() -> None:
    x, target = normal(*SHAPE), normal(*SHAPE, seed=1)
    plain = x / 2
    assert field(x, 1.0, known(target), xi=0.5).equal(plain)
    moved = field(x, 1.0, known(target), xi=0.5, algorithm="ddpm")
    gap, before = (moved - target).flatten(1).norm(dim=1), (plain - target).flatten(1).norm(dim=1)
    assert (gap < before).all()


@pytest.mark.parametrize(
    "sigma, ratio", [(4.0, 0.5), (5.0, 0.5), (3.0, 0.5), (2.0, 0.5), (1.5, 0.5)]
)
def test_beside_the_grid_the_step_around_it_counts(sigma: float, ratio: float) -> None:
    x, target = normal(*SHAPE), normal(*SHAPE, seed=1)
    found = field(x, sigma, known(target), xi=0.5, on="x") - x / (1 + sigma**2)
    scale = math.sqrt(1 + sigma**2)
    gap = x / scale - target
    unit = gap / gap.flatten(1).norm(dim=1).view(-1, 1, 1) / scale
    torch.testing.assert_close(found, -0.5 * sigma**2 * ratio / (1 - ratio) * unit)


def test_losses_add_up_with_their_weights() -> None:
    x, target = normal(*SHAPE), normal(*SHAPE, seed=1)
    changes = {
        name: field(x, 2.0, known(target), losses={name: 1.0}) - x / 5 for name in ("l1", "mse")
    }
    both = field(x, 2.0, known(target), losses={"l1": 0.3, "mse": 2.0}) - x / 5
    torch.testing.assert_close(both, 0.3 * changes["l1"] + 2 * changes["mse"])
    assert (changes["l1"] - changes["mse"]).abs().max() > 1e-3


def test_the_task_s_distance_is_the_default() -> None:
    x, target = normal(*SHAPE), normal(*SHAPE, seed=1)
    named = field(x, 2.0, known(target), losses={"l2": 1.0})
    torch.testing.assert_close(field(x, 2.0, known(target)), named)


@pytest.mark.parametrize(
    "name, expected",
    [("l1", 3.0), ("l2", math.sqrt(5)), ("mse", 5 / 4)],
)
def test_losses_are_of_each_item(name: str, expected: float) -> None:
    target = torch.zeros(2, 1, 4)
    predicted = torch.tensor([[[1.0, -2, 0, 0]], [[0.0, 0, 0, 0]]])
    torch.testing.assert_close(LOSSES[name](predicted, target), torch.tensor([expected, 0.0]))


def test_bce_is_least_at_the_target() -> None:
    target = torch.tensor([[1.0, 0.0, 0.25]])
    least = LOSSES["bce"](target, target)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / 3
    torch.testing.assert_close(least, torch.tensor([entropy]), atol=1e-5, rtol=0)
    assert (LOSSES["bce"](torch.tensor([[0.9, 0.1, 0.4]]), target) > least).all()
    certain = torch.tensor([[0.0, 1.0, 0.25]], requires_grad=True)
    LOSSES["bce"](certain, target).sum().backward()
    assert certain.grad is not None and certain.grad.isfinite().all()
    assert certain.grad[0, 0] < -1 and certain.grad[0, 1] > 1


def test_stft_hears_gain_and_not_sign() -> None:
    x = normal(2, 1, 300).requires_grad_()
    torch.testing.assert_close(LOSSES["stft"](-x, x), torch.zeros(2, dtype=torch.float64))
    louder = LOSSES["stft"](2 * x, x)
    torch.testing.assert_close(louder, torch.full_like(louder, math.log(2)), rtol=1e-3, atol=0)
    (gradient,) = torch.autograd.grad(LOSSES["stft"](0 * x, x.detach()).sum(), x)
    assert gradient.isfinite().all()


def test_stft_of_a_short_target_is_refused() -> None:
    with pytest.raises(UsageError, match="'stft' needs 64 values .* which has 6; use 'l1'"):
        field(normal(*SHAPE), 2.0, known(normal(*SHAPE)), losses={"stft": 1.0})


def test_bce_of_what_is_no_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="'bce' compares probabilities .* use 'l1' or 'l2'"):
        field(normal(*SHAPE), 2.0, known(normal(*SHAPE)), losses={"bce": 1.0})


@pytest.mark.parametrize("losses", [{"l3": 1.0}, {}], ids=str)
def test_losses_that_cannot_be_are_refused(losses: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="losses"):
        GuidanceGradient.model_validate({"losses": losses})


def test_a_target_that_is_met_leaves_the_estimate() -> None:
    x = normal(*SHAPE)
    assert field(x, 2.0, known(x / 5)).equal(x / 5)
