"""Data consistency in each of its modes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Condition, Context, Measurement, Solver, UsageError
from kernel.runner.guide import guided
from kernel_plugins.guidance import projection
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun

SHAPE = (3, 1, 6)
SIGMAS = (5.0, 2.0, 0.7, 0.2, 0.0)
SIGMA_DATA = 0.5
MODES = ["x0", "noised", "literal"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MIX = normal(6, 6, seed=1) / 3
Y = normal(3, 1, 2, seed=2)


class Stream:
    """Noise that is remembered."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.drawn: list[Tensor] = []

    def __call__(self, sigma: float, following: float) -> Tensor:
        self.drawn.append(torch.randn(SHAPE, generator=self.generator, dtype=torch.float64))
        return self.drawn[-1]


def estimate(x: Tensor, sigma: float, condition: Condition) -> Tensor:
    return torch.tanh(x @ MIX) / (1 + sigma)


def replace(x0: Tensor) -> Tensor:
    return torch.cat([Y, x0[..., 2:]], -1)


def mask(project: Any = replace) -> Measurement:
    return Measurement(
        lambda x0: x0[..., :2], Y, lambda one, other: (one - other).flatten(1).norm(dim=1), project
    )


def run(
    guidance: Projection, solver: Solver, known: Measurement | None = None, seed: int = 5
) -> tuple[Tensor, list[tuple[Tensor, float]], Stream]:
    """Return the result, every state that the network saw, and the noise of the guidance."""
    seen: list[tuple[Tensor, float]] = []

    def watched(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        seen.append((x, sigma))
        return estimate(x, sigma, condition)

    own = Stream(seed)
    context = Context(Condition(), SIGMAS, known or mask(), SIGMA_DATA, noise=own)
    field = guided(watched, {"projection": guidance}, context)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return field(x, sigma, Condition())

    start = SIGMAS[0] * normal(*SHAPE, seed=3)
    steps = solver.trajectory(denoise, start, SIGMAS, Stream(9))
    step = next(steps)
    while True:
        x = guidance.constrain(step.x, step.sigma, denoise, context)
        if step.sigma == 0:
            return x, seen, own
        step = steps.send(x)


def test_is_offered() -> None:
    assert projection.guidance() is Projection


def test_needs_a_measurement_and_no_gradients() -> None:
    assert Projection().needs == {"measurement"}
    assert not Projection().steers


@pytest.mark.parametrize(
    "solver", [Euler(), Heun(), Ddpm(), DpmPP2M()], ids=lambda it: type(it).__name__
)
@pytest.mark.parametrize(
    "options",
    [*({"mode": mode} for mode in MODES), {"mode": "noised", "fresh": False}, {"resamples": 3}],
    ids=str,
)
def test_the_result_agrees_exactly(options: dict[str, Any], solver: Solver) -> None:
    found, *_ = run(Projection(**options), solver)
    assert found[..., :2].equal(Y)
    assert found[..., 2:].isfinite().all() and found[..., 2:].abs().max() > 1e-3


def test_the_result_agrees_exactly_whatever_is_projected() -> None:
    """The projection on the sum of all values, which replaces none."""
    total = normal(3, 1, 1, seed=8)
    known = Measurement(
        lambda x0: x0.sum(-1, keepdim=True),
        total,
        lambda one, other: (one - other).flatten(1).norm(dim=1),
        lambda x0: x0 + (total - x0.sum(-1, keepdim=True)) / 6,
    )
    for mode in MODES:
        found, *_ = run(Projection.model_validate({"mode": mode}), Heun(), known)
        torch.testing.assert_close(found.sum(-1, keepdim=True), total, rtol=0, atol=1e-14)


def test_x0_projects_every_estimate() -> None:
    context = Context(Condition(), SIGMAS, mask())
    x = normal(*SHAPE)
    found = Projection().wrap(estimate, context)(x, 0.7, Condition())
    assert found.equal(replace(estimate(x, 0.7, Condition())))


def test_noised_shows_the_target_with_the_noise_of_the_state() -> None:
    _, seen, own = run(Projection(mode="noised"), Heun())
    assert len(own.drawn) == len(seen) == 2 * len(SIGMAS) - 3
    for (x, sigma), noise in zip(seen, own.drawn, strict=True):
        torch.testing.assert_close(x[..., :2], Y + sigma * noise[..., :2])


def test_noise_that_is_not_fresh_is_one_for_the_run() -> None:
    _, seen, own = run(Projection(mode="noised", fresh=False), Heun())
    (noise,) = own.drawn
    for x, sigma in seen:
        torch.testing.assert_close(x[..., :2], Y + sigma * noise[..., :2])
    _, again, _ = run(Projection(mode="noised", fresh=False), Heun(), seed=6)
    assert not again[0][0].equal(seen[0][0])


def test_literal_shows_the_target_in_the_variance_preserving_state() -> None:
    _, seen, _ = run(Projection(mode="literal"), Euler())
    for x, sigma in seen:
        alpha = 1 / math.sqrt(1 + (sigma / SIGMA_DATA) ** 2)
        torch.testing.assert_close(alpha * x[..., :2], Y)


@pytest.mark.parametrize("mode", MODES)
def test_the_free_part_is_as_if_the_state_was_replaced(mode: str) -> None:
    """The same chain by hand, written back after every step."""
    found, *_ = run(Projection.model_validate({"mode": mode}), Euler())
    own, x = Stream(5), SIGMAS[0] * normal(*SHAPE, seed=3)
    for sigma, following in pairwise(SIGMAS):
        if mode == "noised":
            x = replace(x - sigma * own(sigma, sigma)) + sigma * own.drawn[-1]
        elif mode == "literal":
            scale = math.sqrt(1 + (sigma / SIGMA_DATA) ** 2)
            x = scale * replace(x / scale)
        x0 = estimate(x, sigma, Condition())
        if mode == "x0":
            x0 = replace(x0)
        x = x0 + following / sigma * (x - x0)
    torch.testing.assert_close(found, replace(x))


def test_resampling_repeats_every_step_but_the_last() -> None:
    found, seen, own = run(Projection(resamples=3), Euler())
    assert len(seen) == 3 * (len(SIGMAS) - 2) + 1
    assert [sigma for _, sigma in seen] == [5.0] * 3 + [2.0] * 3 + [0.7] * 3 + [0.2]
    noises, x = iter(own.drawn), SIGMAS[0] * normal(*SHAPE, seed=3)
    for sigma, following in pairwise(SIGMAS):
        for turn in range(3 if following else 1):
            if turn:
                x = x + math.sqrt(sigma**2 - following**2) * next(noises)
            x0 = replace(estimate(x, sigma, Condition()))
            x = x0 + following / sigma * (x - x0)
    torch.testing.assert_close(found, x)
    assert next(noises, None) is None


def test_a_task_without_a_projection_is_refused() -> None:
    context = Context(Condition(), SIGMAS, mask(None))
    with pytest.raises(
        UsageError, match="'projection' needs a task with a projection .*; use guidance dps"
    ):
        Projection().wrap(estimate, context)


def test_a_run_without_a_measurement_is_refused() -> None:
    with pytest.raises(UsageError, match="'projection' needs a measurement .*; choose a task"):
        Projection().wrap(estimate, Context(Condition(), SIGMAS))


def test_a_run_without_noise_is_refused_where_some_is_drawn() -> None:
    context = Context(Condition(), SIGMAS, mask())
    with pytest.raises(UsageError, match="'projection' draws noise"):
        Projection(mode="noised").wrap(estimate, context)(normal(*SHAPE), 0.7, Condition())
