"""Diffusion posterior sampling: each normalisation against its formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Condition, Context, Measurement, UsageError
from kernel.runner.guide import guided
from kernel_plugins.guidance import dps
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.solvers.ddpm import Ddpm

SHAPE = (3, 2, 4)
SIGMAS = (4.0, 2.0, 1.0, 0.0)
SIGMA_DATA = 0.5


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MATRIX = normal(8, 5, seed=1)


def estimate(x: Tensor, sigma: float, condition: Condition) -> Tensor:
    return torch.tanh(x) / (1 + sigma)


def slope(x: Tensor, sigma: float) -> Tensor:
    return (1 - torch.tanh(x).square()) / (1 + sigma)


def operator(x0: Tensor) -> Tensor:
    return x0.flatten(1) @ MATRIX


def known(target: Tensor, noise: float = 0.0) -> Measurement:
    return Measurement(operator, target, lambda one, other: (one - other).abs().sum(1), noise=noise)


def change(x: Tensor, sigma: float, known: Measurement, **options: Any) -> Tensor:
    context = Context(Condition(), SIGMAS, known, SIGMA_DATA)
    found = guided(estimate, {"dps": Dps(**options)}, context)(x, sigma, Condition())
    return found - estimate(x, sigma, Condition())


def gradient(x: Tensor, sigma: float, target: Tensor, on: str) -> tuple[Tensor, Tensor]:
    """Return the gradient of |A x - y|^2 by hand, and |A x - y|^2."""
    state = estimate(x, sigma, Condition()) if on == "x0" else x
    gap = operator(state) - target
    back = 2 * (gap @ MATRIX.T).view(x.shape)
    return back * (slope(x, sigma) if on == "x0" else 1), gap.square().sum(1).view(-1, 1, 1)


def test_is_offered() -> None:
    assert dps.guidance() is Dps


def test_needs_a_measurement_and_gradients() -> None:
    assert Dps().needs == {"measurement", "gradient"}


def test_a_run_without_a_measurement_is_refused() -> None:
    with pytest.raises(UsageError, match="'dps' needs a measurement .*; choose a task"):
        Dps().wrap(estimate, Context(Condition(), SIGMAS))


@pytest.mark.parametrize("on", ["x0", "x"])
@pytest.mark.parametrize("sigma", [4.0, 1.3])
def test_gaussian_is_the_gradient_of_a_likelihood(sigma: float, on: str) -> None:
    x, target = normal(*SHAPE), normal(3, 5, seed=2)
    found = change(x, sigma, known(target, 0.3), normalization="gaussian", scale=0.7, c=1.5, on=on)
    variance = sigma**2
    if on == "x0":
        variance *= SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
    expected, _ = gradient(x, sigma, target, on)
    torch.testing.assert_close(
        found, -0.7 * sigma**2 / (2 * (0.3**2 + 1.5**2 * variance)) * expected
    )


def test_gaussian_is_exact_for_white_data() -> None:
    """For x0 ~ N(0, sigma_data^2) and y = x0 + noise e, D' is E[x0 | x, y]."""
    x, y, sigma, noise = normal(*SHAPE), normal(*SHAPE, seed=2), 0.8, 0.3
    measured = Measurement(lambda x0: x0, y, lambda one, other: (one - other).sum(1), noise=noise)

    def white(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return x * SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)

    context = Context(Condition(), SIGMAS, measured, SIGMA_DATA)
    guidance = Dps(normalization="gaussian")
    found = guided(white, {"dps": guidance}, context)(x, sigma, Condition())
    precision = 1 / SIGMA_DATA**2 + 1 / sigma**2 + 1 / noise**2
    torch.testing.assert_close(found, (x / sigma**2 + y / noise**2) / precision)


def test_gradient_pushes_every_item_by_as_much() -> None:
    x, target = normal(*SHAPE), normal(3, 5, seed=2) * torch.tensor([[1.0], [10.0], [100.0]])
    found = change(x, 2.0, known(target), scale=0.3)
    torch.testing.assert_close(
        found.square().mean((1, 2)).sqrt(), torch.full((3,), 0.3 * 2.0, dtype=torch.float64)
    )


def test_gradient_descends_the_task_s_own_distance() -> None:
    x, target = normal(*SHAPE), normal(3, 5, seed=2)
    found = change(x, 2.0, known(target))
    gap = operator(estimate(x, 2.0, Condition())) - target
    descent = (gap.sign() @ MATRIX.T).view(x.shape) * slope(x, 2.0)
    alike = torch.cosine_similarity(found.flatten(1), -descent.flatten(1))
    torch.testing.assert_close(alike, torch.ones_like(alike))


def test_residual_is_the_published_step_after_that_of_ddpm() -> None:
    """In variance-preserving form z' - scale / |y - A x0| grad_z |y - A x0|^2."""
    x, target, (sigma, following) = normal(*SHAPE), normal(3, 5, seed=2), SIGMAS[:2]
    context = Context(Condition(), SIGMAS, known(target), SIGMA_DATA)
    field = guided(estimate, {"dps": Dps(normalization="residual", scale=0.4)}, context)
    silent = torch.zeros_like(x)

    def stepped(denoise: Any) -> Tensor:
        steps = Ddpm().trajectory(
            lambda x, sigma: denoise(x, sigma, Condition()), x, SIGMAS, lambda *_: silent
        )
        return next(steps).x

    scales = [math.hypot(SIGMA_DATA, each) for each in (sigma, following)]
    by_x, error = gradient(x, sigma, target, "x0")
    z = stepped(estimate) / scales[1] - 0.4 / error.sqrt() * by_x * scales[0]
    torch.testing.assert_close(stepped(field), z * scales[1])


@pytest.mark.parametrize("normalization", ["gradient", "residual", "gaussian"])
def test_a_target_that_is_met_leaves_the_estimate(normalization: str) -> None:
    x = normal(*SHAPE)
    target = operator(estimate(x, 2.0, Condition()))
    assert not change(x, 2.0, known(target), normalization=normalization).any()


@pytest.mark.parametrize("normalization", ["gradient", "residual", "gaussian"])
def test_items_do_not_depend_on_their_batch(normalization: str) -> None:
    x, target = normal(*SHAPE), normal(3, 5, seed=2)
    together = change(x, 2.0, known(target), normalization=normalization)
    alone = change(x[1:2], 2.0, known(target[1:2]), normalization=normalization)
    torch.testing.assert_close(together[1:2], alone)


@pytest.mark.parametrize("name, usual", [("gradient", 0.25), ("residual", 1.0), ("gaussian", 1.0)])
def test_each_normalisation_has_its_usual_scale(name: str, usual: float) -> None:
    assert Dps.model_validate({"normalization": name}).scale == usual
    assert Dps.model_validate({"normalization": name, "scale": 3}).scale == 3
    assert Dps().scale == 0.25


@pytest.mark.parametrize("options", [{"normalization": "none"}, {"c": 0}, {"scale": -1}], ids=str)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        Dps.model_validate(options)
