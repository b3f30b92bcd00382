"""What solvers are held to as followers of a flow: symmetry, the origin, and what a step tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from kernel_audio_testing._following import (
    END,
    START,
    Draws,
    flow,
    grid,
    made,
    mixture_of,
    run,
    start,
)
from kernel_audio_testing._options import variations
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal, same
from kernel_audio_testing.exact import Gaussian

__all__ = [
    "check_drift",
    "check_leaps",
    "check_moved",
    "check_precision",
    "check_seen",
    "check_smooth",
    "check_units",
    "check_worth",
]


def check_seen(subject: Subject) -> str | None:
    """Check that the x0 of a step is what the denoiser returned in that step."""
    solver, mixture, x = made(subject), mixture_of(), start()
    returned: list[Tensor] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        returned.append(mixture.denoise(x, sigma))
        return returned[-1].clone()

    for step in solver.trajectory(denoise, x, grid(7), Draws(solver, x)):
        near = min((float((step.x0 - each).abs().max()) for each in returned), default=math.inf)
        require(
            near < 1e-5,
            f"step {step.index} tells of an x0 that is {near:.2g} away from all that the denoiser "
            "returned in it",
        )
        returned.clear()
    return None


def check_moved(subject: Subject) -> str | None:
    """Check that moving or negating the data moves or negates the result."""
    solver, mixture = made(subject), mixture_of()
    x, far = start(), 7.0 * normal(1, 3, seed=11)
    wanted = run(solver, mixture.denoise, x, grid(7))[-1].x
    moved = run(solver, lambda x, s: mixture.denoise(x - far, s) + far, x + far, grid(7))[-1].x
    same(moved - far, wanted, "the result for data that is moved, moved back, and the result", 1e-3)
    turned = run(
        solver,
        lambda x, sigma: -mixture.denoise(-x, sigma),
        -x,
        grid(7),
        noise=_Turned(Draws(solver, x)),
    )[-1].x
    same(-turned, wanted, "the result for data of the other sign and the result", 1e-6)
    return None


@attrs.frozen
class _Turned:
    """A Noise of the other sign."""

    draws: Draws

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next noise."""
        return -self.draws(sigma, following)


def check_worth(subject: Subject) -> str | None:
    """Check that its error is at most Euler's on the same grid, of 6, 12 and 24 steps.

    A quarter more is forgiven: with few steps no order is reached.
    """
    return _beside_euler(subject, [grid(steps) for steps in (6, 12, 24)])


def check_leaps(subject: Subject) -> str | None:
    """Check that its error is at most Euler's on grids whose last steps in ln sigma leap."""
    return _beside_euler(subject, [_leaping(steps, power) for steps in (9, 17) for power in (3, 5)])


def _leaping(steps: int, power: int) -> tuple[float, ...]:
    """Return a grid whose steps in ln sigma grow, as those of a cosine schedule at its end."""
    places = (index / (steps - 1) for index in range(steps))
    return (*(START * (END / START) ** ((each + each**power) / 2) for each in places), 0.0)


def _beside_euler(subject: Subject, grids: Sequence[tuple[float, ...]]) -> str:
    solver = made(subject)
    if solver.stochastic:
        raise Inapplicable("the solver is stochastic; see `law`")
    mixture, x = mixture_of(), start()
    facts = []
    for sigmas in grids:
        steps = run(solver, mixture.denoise, x, sigmas)
        found = next(step.x for step in steps if step.sigma == sigmas[-2])
        state = x
        for sigma, following in pairwise(sigmas[:-1]):
            state = mixture.denoise(state, sigma).lerp(state, following / sigma)
        error, euler = (float((each - flow()).abs().max()) for each in (found, state))
        fact = f"{error:.2g} after {len(sigmas) - 1} steps, Euler's {euler:.2g}"
        require(error <= 1.25 * euler, f"the error is {fact}")
        facts.append(fact)
    return "; ".join(facts)


def check_smooth(subject: Subject) -> str | None:
    """Check that the error falls as `order` claims on grids of equal steps in ln sigma."""
    solver = made(subject)
    if solver.stochastic:
        raise Inapplicable("the solver is stochastic; see `law`")
    errors = []
    for count in (40, 80):
        steps = run(solver, mixture_of().denoise, start(), grid(count))
        (found,) = [step.x for step in steps if step.sigma == grid(count)[-2]]
        errors.append(float((found - flow()).abs().max()))
    measured = math.log2(errors[0] / max(errors[1], 1e-300))
    fact = f"measured {measured:.2f}, claimed {solver.order}, error {errors[1]:.1e} at 80 steps"
    require(measured > solver.order - 0.35 or errors[1] < 1e-11, fact)
    return fact


def check_units(subject: Subject) -> str | None:
    """Check that in other units, of all data and all sigmas, the result is the same in them.

    That is of its default options. Those that are a sigma or a deviation, by their names, are in
    these units.
    """
    subject = attrs.evolve(subject, options={})
    solver, mixture, x = made(subject), mixture_of(), start()
    wanted = run(solver, mixture.denoise, x, grid(7))[-1].x
    own = {
        name: value
        for name, value in solver
        if isinstance(value, float) and name.startswith(("sigma_", "s_min", "s_max", "data_"))
    }
    for unit in (4.0, 0.25):
        scaled = attrs.evolve(
            subject, options={**subject.options, **{n: unit * own[n] for n in own if own[n]}}
        )
        found = run(
            made(scaled),
            lambda x, sigma, unit=unit: unit * mixture.denoise(x / unit, sigma / unit),
            unit * x,
            grid(7, unit * START, unit * END),
        )[-1].x
        same(found / unit, wanted, f"the result in units {unit:g} times as small, and it", 1e-4)
    return None


def check_precision(subject: Subject) -> str | None:
    """Check that a run in float32 ends where a run in float64 does, with large and small steps."""
    solver, mixture, x = made(subject), mixture_of(), start()
    zero = torch.zeros_like(x)
    worst = 0.0
    for count in (6, 100):
        wanted, rough = (
            run(solver, mixture.denoise, state, grid(count), noise=lambda s, f, z=z: z)[-1].x
            for state, z in ((x, zero), (x.float(), zero.float()))
        )
        same(rough.double(), wanted, f"the results of {count} steps in two precisions", 1e-3)
        worst = max(worst, float((rough - wanted).abs().max() / wanted.abs().max()))
    return f"differ by {worst:.1e}"


@attrs.frozen
class Drifting:
    """The path x_t = exp(-t) x0 + (1 - exp(-t)) y + s n with sigma = exp(t) - 1."""

    name: ClassVar[str] = "drifting"
    numbers: ClassVar[Mapping[str, float]] = {}

    def time(self, sigma: float) -> float:
        """Return t at sigma."""
        return math.log1p(sigma)

    def sigma(self, time: float) -> float:
        """Return sigma at t."""
        return math.expm1(time)

    def coefficients(self, time: float) -> tuple[float, float]:
        """Return (a, b) at t."""
        return math.exp(-time), -math.expm1(-time)

    def rates(self, time: float) -> tuple[float, float, float]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        return -math.exp(-time), math.exp(-time), 2 * math.expm1(time) * math.exp(time)


def check_drift(subject: Subject) -> str | None:
    """Check that a solver that steps in native time depends on the origin less with finer steps.

    D knows no origin here, so that the flow does not depend on it at all.
    """
    native = [each for each in (subject, *_others(subject)) if "path" in each.make().needs]
    if not native:
        raise Inapplicable("no option makes it need a `path`")
    facts = []
    data = Gaussian(torch.full((1, 3), 0.4).double(), torch.full((1, 3), 0.7).double())
    x = start(1)
    silence = torch.zeros_like(x)
    for changed in native:
        errors = []
        for count in (60, 240):
            ends = []
            for origin in (silence, silence + 5):
                solver = changed.make().along(Drifting(), origin)
                noise = None if not solver.stochastic else lambda sigma, following: silence
                ends.append(run(solver, data.denoise, x, grid(count), noise=noise)[-2].x)
            errors.append(float((ends[1] - ends[0]).abs().max()))
        fact = f"with {dict(changed.options)} an origin at 5 moves the state by {errors[1]:.2g}"
        require(
            errors[1] < 0.6 * errors[0] + 1e-6,
            f"{fact} with 240 steps, and by {errors[0]:.2g} with 60",
        )
        facts.append(fact)
    return "; ".join(facts)


def _others(subject: Subject) -> list[Subject]:
    return [
        attrs.evolve(subject, options={**subject.options, name: value})
        for name, values in variations(subject).items()
        for value in values
    ]
