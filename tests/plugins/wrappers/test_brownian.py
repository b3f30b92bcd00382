"""The noise of a path: the same path on every grid, for every batch, whatever the step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kernel import Noise, Solver, UsageError
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama
from kernel_plugins.wrappers._paths import PathNoise
from kernel_plugins.wrappers.brownian import BrownianSolver


def independent(*items: int, seed: int = 0, size: int = 40) -> Noise:
    """Return the noise of a run: each item from its own generator."""
    draws = [torch.Generator().manual_seed(100 * seed + item) for item in items]
    return lambda *_: torch.stack([torch.randn(1, size, generator=each) for each in draws])


def path(*items: int, seed: int = 0, size: int = 40, sigma_max: float = 80.0) -> PathNoise:
    return PathNoise(independent(*items, seed=seed, size=size), sigma_max)


def test_the_increments_of_two_half_steps_are_that_of_the_whole() -> None:
    for sigma, following in ((80.0, 40.0), (40.0, 1.0), (1.0, 0.01), (0.01, 0.002)):
        inner = math.sqrt(0.3 * sigma**2 + 0.7 * following**2)
        halves = path(0)
        first, second = halves(sigma, inner), halves(inner, following)
        sum_ = first * math.sqrt(sigma**2 - inner**2) + second * math.sqrt(inner**2 - following**2)
        whole = path(0)(sigma, following) * math.sqrt(sigma**2 - following**2)
        scale = math.sqrt(sigma**2 - following**2)
        torch.testing.assert_close(sum_ / scale, whole / scale, rtol=0, atol=1e-4)


def test_it_is_standard_normal_and_independent_from_step_to_step() -> None:
    noise = path(0, size=4000)
    draws = torch.stack([noise(80.0, 20.0), noise(20.0, 0.5), noise(0.5, 0.0)]).flatten(1)
    assert float((draws.mean(1)).abs().max()) < 0.06
    torch.testing.assert_close(torch.cov(draws), torch.eye(3), rtol=0, atol=0.08)


def test_an_item_depends_on_the_seed_and_its_index_alone() -> None:
    together = path(0, 1, 2)(80.0, 3.0)
    assert torch.equal(path(1)(80.0, 3.0)[0], together[1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(path(1, seed=1)(80.0, 3.0)[0], together[1])


def test_a_state_made_of_it_is_not_made_of_the_independent_noise() -> None:
    drawn, read = independent(0, size=4000)(80.0, 3.0), path(0, size=4000)(80.0, 3.0)
    assert abs(float(torch.corrcoef(torch.stack([drawn.flatten(), read.flatten()]))[0, 1])) < 0.06


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([(2.0, 2.0)], r"noise from sigma 2 to 2 after it reached 80"),
        ([(2.0, 3.0)], r"noise from sigma 2 to 3 after it reached 80"),
        ([(90.0, 3.0)], r"noise from sigma 90 to 3 after it reached 80"),
        ([(80.0, 3.0), (4.0, 1.0)], r"noise from sigma 4 to 1 after it reached 3"),
        ([(80.0, 3.0), (80.0, 3.0)], r"noise from sigma 80 to 3 after it reached 3"),
    ],
)
def test_noise_that_a_path_does_not_have_is_refused(
    asked: list[tuple[float, float]], sentence: str
) -> None:
    noise = path(0)
    for sigma, following in asked[:-1]:
        noise(sigma, following)
    with pytest.raises(
        UsageError, match=f"{sentence}, but a Brownian path goes down once; choose another "
    ):
        noise(*asked[-1])


def test_finer_grids_converge_to_one_sound() -> None:
    """Reach one end from one start; with other noise the end is another sound."""
    data = Gaussian(torch.zeros(1, 40), torch.full((1, 40), 0.5))
    start = 3 * independent(0)(3.0, 3.0)

    def end(steps: int, noise: Noise, solver: Solver) -> Tensor:
        sigmas = EdmSchedule(sigma_min=0.05, sigma_max=3.0).sigmas(steps)
        trajectory = solver.trajectory(data.denoise, start, sigmas, noise)
        step = next(trajectory)
        while step.sigma > 0:
            step = trajectory.send(step.x)
        return step.x

    on_paths = BrownianSolver(inner=EulerMaruyama())
    fine, coarse, coarser = (end(steps, independent(0), on_paths) for steps in (64, 16, 4))
    assert (fine - coarse).std() < 0.15 * fine.std()
    assert (fine - coarser).std() > 2 * (fine - coarse).std()
    other = end(64, independent(0), EulerMaruyama())
    assert (fine - other).std() > 0.8 * fine.std()
