"""The one problem that every sampler is given: a distribution, a start, noises and grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from kernel import Solver
from kernel_audio_testing.exact import Mixture
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.schedules.ve import VeSchedule

SHAPE = (6, 2, 4)


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MIXTURE = Mixture(
    normal(0, 5, *SHAPE[1:]),
    torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7], dtype=torch.float64),
    torch.ones(5, dtype=torch.float64),
)
START = normal(1, *SHAPE)
NOISES = normal(2, 64, *SHAPE)

GRIDS = {
    "edm, 7 steps": EdmSchedule().sigmas(7),
    "edm, 12 steps": EdmSchedule().sigmas(12),
    "edm, 20 steps": EdmSchedule().sigmas(20),
    "rf, 12 steps": RfSchedule().sigmas(12),
    "ve, 12 steps": VeSchedule().sigmas(12),
}


def refined(sigmas: Sequence[float], parts: int) -> list[float]:
    """Return a grid with each step above 0 cut into `parts` that are equal in ln sigma."""
    fine = [
        sigma * (following / sigma) ** (part / parts)
        for sigma, following in pairwise(sigmas[:-1])
        for part in range(parts)
    ]
    return [*fine, *sigmas[-2:]]


def rounded(sigmas: Sequence[float], dtype: torch.dtype) -> list[float]:
    """Return a grid as `dtype` keeps it."""
    values: list[float] = torch.tensor(sigmas, dtype=dtype).tolist()
    return values


def draws(dtype: torch.dtype) -> Iterator[Tensor]:
    """Yield the noises in order."""
    return (noise.to(dtype) for noise in NOISES)


class Path:
    """Noises of the intervals that a sampler asks for.

    Of two in a row that begin together, the noise of the longer contains that of the shorter, as
    on one Brownian path in sigma^2.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._draws = draws(dtype)
        self._last: tuple[float, float, Tensor] | None = None

    def __call__(self, sigma: Any, following: Any) -> Tensor:
        start, end = float(sigma), float(following)
        noise = next(self._draws)
        if self._last and math.isclose(self._last[0], start, rel_tol=1e-6):
            _, inner, part = self._last
            share = (start**2 - inner**2) / (start**2 - end**2)
            noise = part * math.sqrt(share) + noise * math.sqrt(1 - share)
        self._last = start, end, noise
        return noise


def states(solver: Solver, sigmas: Sequence[float], dtype: torch.dtype) -> list[Tensor]:
    """Return our states after every step."""
    noises = draws(dtype)
    start = sigmas[0] * START.to(dtype)
    trajectory = solver.trajectory(
        MIXTURE.denoise, start, sigmas, lambda sigma, following: next(noises)
    )
    step = next(trajectory)
    reached = [step.x]
    while step.sigma > 0:
        step = trajectory.send(step.x)
        reached.append(step.x)
    return reached


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the distance relative to the length of `theirs`."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())
