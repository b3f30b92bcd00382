"""What solvers are held to, on distributions whose probability flow is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from kernel.kinds.solver import Solver
from kernel.values import Denoise, Noise, Step
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)
from kernel_audio_testing.exact import Gaussian, Mixture

__all__ = ["CHECKS"]

_START, _END = 10.0, 0.05
_ROUNDING = 1e-9
"""How far a sigma that was computed from its logarithm may be from itself."""
_CHURN = 2.0
"""How far above the first sigma a stochastic solver may go by adding noise before a step."""


def _grid(steps: int, start: float = _START, end: float = _END) -> tuple[float, ...]:
    """Return steps values from `start` to `end`, equally spaced in ln sigma, and 0."""
    ratio = (end / start) ** (1 / max(steps - 1, 1))
    return (*(start * ratio**index for index in range(steps)), 0.0)


def _uneven(steps: int) -> tuple[float, ...]:
    """Return a grid like `_grid`'s whose steps in ln sigma are long and short in turn, as 2 to 1.

    There a multistep solver that forgets how long its last step was is of the first order.
    """
    ends = list(accumulate(2.0 - index % 2 for index in range(steps - 1)))
    return (
        _START,
        *(_START * (_END / _START) ** (end / ends[-1]) for end in ends[:-1]),
        _END,
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


def _made(subject: Subject) -> Solver:
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


def _steps(
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


def _run(*arguments: Any, **named: Any) -> list[Step]:
    steps = list(_steps(*arguments, **named))
    require(bool(steps), "the trajectory yields no step at all")
    return steps


def _mixture() -> Mixture:
    means = torch.tensor([[[-1.0, 0.5, 0.2]], [[0.8, -0.3, 1.1]]], dtype=torch.float64)
    stds, weights = torch.tensor([0.4, 0.6]).double(), torch.tensor([0.4, 0.6]).double()
    return Mixture(means, stds, weights)


def _start(items: int = 3, sigma: float = _START) -> Tensor:
    return sigma * normal(items, 1, 3)


def check_order(subject: Subject) -> str | None:
    """Check that the error falls with the step as fast as `order` claims."""
    solver = _made(subject)
    if solver.stochastic:
        raise Inapplicable("the solver is stochastic; see `distribution`")
    mixture, x = _mixture(), _start()
    wanted = mixture.flow(x, _START, _END)
    errors = []
    for count in (24, 48, 96):
        steps = _run(solver, mixture.denoise, x, _uneven(count))
        found = next((step for step in steps if step.sigma == _END), None)
        if found is None:
            raise Violation("no step reaches the last sigma above 0")
        errors.append(float((found.x - wanted).abs().max()))
    measured = math.log2(errors[1] / max(errors[2], 1e-300))
    fact = f"measured {measured:.2f}, claimed {solver.order}, error {errors[2]:.1e} at 96 steps"
    require(measured > solver.order - 0.3 or errors[2] < 1e-11, fact)
    return fact


def check_distribution(subject: Subject) -> str | None:
    """Check that many small steps end at the mean and the variance of the data."""
    solver = _made(subject)
    data = Gaussian(torch.full((1, 256), 0.3).double(), torch.full((1, 256), 0.7).double())
    x = 0.3 + math.hypot(20, 0.7) * normal(16, 1, 256)
    x = 0.3 + (x - x.mean()) * (math.hypot(20, 0.7) / float(x.std()))
    final = _run(solver, data.denoise, x, _grid(200, 20.0, 0.01))[-1].x
    mean, std = float(final.mean()), float(final.std())
    fact = f"mean {mean:.3f} (0.3), standard deviation {std:.3f} (0.7) after 200 steps"
    require(abs(mean - 0.3) < 0.06 and abs(std / 0.7 - 1) < 0.08, fact)
    return fact


def check_steps(subject: Subject) -> str | None:
    """Check that it yields one step for each pair of sigmas, in order, with what it reached."""
    solver, mixture, x = _made(subject), _mixture(), _start()
    for count in (1, 2, 3, 7):
        sigmas = _grid(count)
        steps = _run(solver, mixture.denoise, x, sigmas)
        found = [(step.index, step.sigma) for step in steps]
        wanted = [(index, following) for index, (_, following) in enumerate(pairwise(sigmas))]
        require(
            found == wanted,
            f"with {count} steps it reaches {[round(s, 4) for _, s in found]}, not "
            f"{[round(s, 4) for _, s in wanted]}",
        )
    return None


def check_reaches_zero(subject: Subject) -> str | None:
    """Check that when all data is one point, it ends at that point and no noise is left."""
    solver = _made(subject)
    point = normal(1, 3, seed=5)
    data = Gaussian(point, torch.zeros(1, 3).double())
    for count in (1, 2, 5, 20):
        final = _run(solver, data.denoise, point + _start(), _grid(count))[-1].x
        same(final, point.expand_as(final), f"after {count} steps the state and the data", 1e-8)
    return None


def check_nfe(subject: Subject) -> str | None:
    """Check that it evaluates the denoiser as often as `nfe` says, at sigmas inside the grid."""
    solver, mixture, x = _made(subject), _mixture(), _start()
    for count in (1, 2, 3, 10):
        seen: list[float] = []

        def denoise(x: Tensor, sigma: float, seen: list[float] = seen) -> Tensor:
            seen.append(sigma)
            return mixture.denoise(x, sigma)

        _run(solver, denoise, x, _grid(count))
        strange = [sigma for sigma in seen if type(sigma) is not float or not 0 < sigma < math.inf]
        require(not strange, f"the denoiser is called with sigma {strange[:1]}")
        floor, ceiling = _grid(count)[-2] * (1 - _ROUNDING), _START * (1 + _ROUNDING)
        ceiling *= _CHURN if solver.stochastic else 1
        wild = [sigma for sigma in seen if not floor <= sigma <= ceiling]
        require(not wild, f"the denoiser is called at sigma {wild[:1]}, outside the grid")
        require(
            len(seen) == solver.nfe(count),
            f"{count} steps take {len(seen)} evaluations and nfe says {solver.nfe(count)}",
        )
    return f"{solver.nfe(10)} evaluations for 10 steps"


def check_shapes(subject: Subject) -> str | None:
    """Check that states with two, three or four axes give the same numbers."""
    solver = _made(subject)
    data = Gaussian(torch.tensor(0.2).double(), torch.tensor(0.7).double())
    flat = _start(2).repeat(1, 1, 8)
    wanted = _run(solver, data.denoise, flat, _grid(6), [0, 1])[-1].x
    for shape in ((2, 24), (2, 4, 6), (2, 2, 3, 4)):
        found = _run(solver, data.denoise, flat.reshape(shape), _grid(6), [0, 1])[-1].x
        require(found.shape == shape, f"a state {shape} becomes {tuple(found.shape)}")
        same(found.reshape(flat.shape), wanted, f"the result for {shape} and {tuple(flat.shape)}")
    return None


def check_dtypes(subject: Subject) -> str | None:
    """Check that the state keeps its floating dtype."""
    solver = _made(subject)
    data = Gaussian(torch.tensor(0.2), torch.tensor(0.7))
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for step in _run(solver, data.denoise, _start().to(dtype), _grid(5)):
            require(step.x.dtype == dtype, f"a {dtype} state becomes {step.x.dtype}")
            finite(step.x, f"the state in {dtype}")
    return None


def check_device(subject: Subject) -> str | None:
    """Check that a step is computed where x is and never waits for the device."""
    solver = _made(subject)
    x = torch.empty(2, 3, 8, device="meta")

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x / (1 + sigma**2)

    def noise(sigma: float, following: float) -> Tensor:
        return torch.empty_like(x)

    with on_meta("a step"):
        for step in _run(solver, denoise, x, _grid(5), noise=noise):
            require_meta(step.x, "the state")
            require_meta(step.x0, "the x0 of a step")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that nothing is changed in place and nothing is drawn from a global generator."""
    solver, mixture, x = _made(subject), _mixture(), _start()
    returned: list[tuple[Tensor, Tensor]] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        with unchanged(**{"the denoiser's input": x}):
            x0 = mixture.denoise(x, sigma)
        returned.append((x0, x0.clone()))
        return x0

    sigmas = list(_grid(6))
    with generator_untouched("the solver"), unchanged(x=x):
        _run(solver, denoise, x, sigmas)
    require(sigmas == list(_grid(6)), "the list of sigmas is changed in place")
    for found, before in returned:
        require(torch.equal(found, before), "what the denoiser returned is changed in place")
    return None


def check_repeatable(subject: Subject) -> str | None:
    """Check that the same noise gives the same result, in interleaved runs too."""
    solver, mixture = _made(subject), _mixture()
    first, second = _start(), normal(3, 1, 3, seed=9) * _START
    wanted = [_run(solver, mixture.denoise, x, _grid(6))[-1].x for x in (first, second)]
    again = _run(solver, mixture.denoise, first, _grid(6))[-1].x
    require(torch.equal(again, wanted[0]), "a second run of the same gives another result")
    runs = zip(
        _steps(solver, mixture.denoise, first, _grid(6)),
        _steps(solver, mixture.denoise, second, _grid(6)),
        strict=True,
    )
    *_, last = runs
    for step, alone in zip(last, wanted, strict=True):
        require(torch.equal(step.x, alone), "two interleaved runs disturb each other")
    return None


def check_batch(subject: Subject) -> str | None:
    """Check that an item's result does not depend on what it is batched with."""
    solver, mixture, x = _made(subject), _mixture(), _start()
    together = _run(solver, mixture.denoise, x, _grid(6))[-1].x
    for item in range(len(x)):
        one = slice(item, item + 1)
        alone = _run(solver, mixture.denoise, x[one], _grid(6), [item])[-1].x
        same(together[one], alone, "the result of an item in a batch and alone")
    return None


def check_send(subject: Subject) -> str | None:
    """Check that it goes on from the state that is sent back, not from the one that it yielded."""
    solver, mixture, x = _made(subject), _mixture(), _start()

    def moved(step: Step) -> Tensor:
        return step.x + 1.0 if step.index == 4 else step.x

    kept = _run(solver, mixture.denoise, x, _grid(8))
    corrected = _run(solver, mixture.denoise, x, _grid(8), correct=moved)
    require(torch.equal(kept[4].x, corrected[4].x), "a step depends on what is sent after it")
    change = float((kept[5].x - corrected[5].x).abs().min())
    require(change > 1e-3, "a state that is sent back makes no difference to the next step")
    return None


def check_noise(subject: Subject) -> str | None:
    """Check that it draws noise exactly when it says that it is stochastic."""
    solver, mixture, x = _made(subject), _mixture(), _start()
    draws = Draws(solver, x)
    trajectory = solver.trajectory(mixture.denoise, x, _grid(8), draws)
    step = next(trajectory)
    for _ in range(7):
        step = trajectory.send(step.x)
    trajectory.close()
    if solver.stochastic:
        require(draws.count > 0, "it says that it is stochastic and draws no noise")
        return f"{draws.count} draws in 8 steps"
    return None


def check_loop(subject: Subject) -> str | None:
    """Check that a plain loop over a trajectory makes the steps that `send` makes."""
    solver, mixture, sigmas = _made(subject), _mixture(), _grid(4)
    x = _start()
    sent = _run(solver, mixture.denoise, x, sigmas)
    for index, step in enumerate(solver.trajectory(mixture.denoise, x, sigmas, Draws(solver, x))):
        same(step.x, sent[index].x, f"step {index} of a loop and of one that sends the state back")
    return None


CHECKS = (
    check_order,
    check_distribution,
    check_steps,
    check_reaches_zero,
    check_nfe,
    check_shapes,
    check_dtypes,
    check_device,
    check_pure,
    check_repeatable,
    check_batch,
    check_send,
    check_loop,
    check_noise,
)
