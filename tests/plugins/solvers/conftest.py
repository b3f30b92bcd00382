from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from kernel import Denoise, Noise, Solver, Step
from kernel_audio_testing.exact import Gaussian, Mixture

Drive = Callable[..., list[Step]]


def no_noise(sigma: float, following: float) -> Tensor:
    raise AssertionError("a deterministic solver drew noise")


@pytest.fixture
def drive() -> Drive:
    """Run a solver as the runner does and return every step, states cloned."""

    def run(
        solver: Solver,
        denoise: Denoise,
        x: Tensor,
        sigmas: Sequence[float],
        noise: Noise = no_noise,
        constrain: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> list[Step]:
        trajectory = solver.trajectory(denoise, x, sigmas, noise)
        steps = []
        try:
            step = next(trajectory)
            while True:
                steps.append(Step(step.index, step.sigma, step.x.clone(), step.x0.clone()))
                step = trajectory.send(constrain(step.x))
        except StopIteration:
            return steps

    return run


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def gaussian(generator: torch.Generator) -> Gaussian:
    shape = (2, 3)
    mean = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Gaussian(mean, 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64))


@pytest.fixture
def mixture(generator: torch.Generator) -> Mixture:
    return Mixture(
        torch.randn(5, 2, 3, generator=generator, dtype=torch.float64),
        0.3 + torch.rand(5, generator=generator, dtype=torch.float64) / 2,
        torch.rand(5, generator=generator, dtype=torch.float64),
    )
