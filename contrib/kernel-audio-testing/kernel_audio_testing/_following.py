"""How the checks of solvers follow one: grids, start, noise and a mixture whose flow is known."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor

from kernel.kinds.solver import Solver
from kernel.values import Denoise, Noise, Step
from kernel_audio_testing._subject import Subject, Violation, require
from kernel_audio_testing._tools import normal
from kernel_audio_testing.exact import Mixture

__all__ = [
    "CHURN",
    "END",
    "ROUNDING",
    "START",
    "Draws",
    "Exploding",
    "flow",
    "grid",
    "made",
    "mixture_of",
    "run",
    "start",
    "steps_of",
    "uneven",
]

START, END = 10.0, 0.05
ROUNDING = 1e-9
"""How far a sigma that was computed from its logarithm may be from itself."""
CHURN = 2.0
"""How far above the first sigma a stochastic solver may go by adding noise before a step."""


def grid(steps: int, start: float = START, end: float = END) -> tuple[float, ...]:
    """Return steps values from `start` to `end`, equally spaced in ln sigma, and 0."""
    ratio = (end / start) ** (1 / max(steps - 1, 1))
    return (*(start * ratio**index for index in range(steps)), 0.0)


def uneven(steps: int) -> tuple[float, ...]:
    """Return a grid like `grid`'s whose steps in ln sigma are long and short in turn, as 2 to 1.

    There a multistep solver that forgets how long its last step was is of the first order.
    """
    ends = list(accumulate(2.0 - index % 2 for index in range(steps - 1)))
    return (
        START,
        *(START * (END / START) ** (end / ends[-1]) for end in ends[:-1]),
        END,
        0.0,
    )


class Exploding:
    """The native path of x = x0 + sigma n itself, whose time is sigma: what a solver is told of."""

    name: ClassVar[str] = "exploding"
    numbers: ClassVar[Mapping[str, float]] = {}

    def time(self, sigma: float) -> float:
        """Return sigma."""
        return sigma

    def sigma(self, time: float) -> float:
        """Return t."""
        return time

    def coefficients(self, time: float) -> tuple[float, float]:
        """Return (1, 0)."""
        return 1.0, 0.0

    def rates(self, time: float) -> tuple[float, float, float]:
        """Return the derivatives of 1, of 0 and of t^2."""
        return 0.0, 0.0, 2 * time


def made(subject: Subject) -> Solver:
    solver: Solver = subject.make().along(Exploding(), None)
    return solver


class Draws:
    """A Noise whose items have generators of their own, or one that refuses to be drawn from."""

    def __init__(self, solver: Solver, x: Tensor, seeds: Sequence[int] | None = None) -> None:
        seeds = range(len(x)) if seeds is None else seeds
        self._generators = [torch.Generator().manual_seed(100 + seed) for seed in seeds]
        self._allowed, self._like = solver.stochastic, x[0].detach()
        self.count = 0

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next noise."""
        self.count += 1
        if not self._allowed:
            raise Violation("it draws noise although `stochastic` is false")
        shape, dtype = self._like.shape, self._like.dtype
        return torch.stack(
            [torch.randn(shape, generator=each, dtype=dtype) for each in self._generators]
        )


def steps_of(
    solver: Solver,
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    seeds: Sequence[int] | None = None,
    correct: Callable[[Step], Tensor] = lambda step: step.x,
    noise: Noise | None = None,
) -> Generator[Step, None, None]:
    """Yield copies of a trajectory's steps, sending back what `correct` makes of each state."""
    trajectory = solver.trajectory(denoise, x, sigmas, noise or Draws(solver, x, seeds))
    step = next(trajectory, None)
    while step is not None:
        yield Step(step.index, step.sigma, step.x.clone(), step.x0.clone())
        try:
            step = trajectory.send(correct(step))
        except StopIteration:
            return


def run(*arguments: Any, **named: Any) -> list[Step]:
    steps = list(steps_of(*arguments, **named))
    require(bool(steps), "the trajectory yields no step at all")
    return steps


def mixture_of() -> Mixture:
    means = torch.tensor([[[-1.0, 0.5, 0.2]], [[0.8, -0.3, 1.1]]], dtype=torch.float64)
    stds, weights = torch.tensor([0.4, 0.6]).double(), torch.tensor([0.4, 0.6]).double()
    return Mixture(means, stds, weights)


def start(items: int = 3, sigma: float = START) -> Tensor:
    return sigma * normal(items, 1, 3)


@cache
def flow() -> Tensor:
    """Return where the flow of the mixture takes the start, from START to END."""
    return mixture_of().flow(start(), START, END)
