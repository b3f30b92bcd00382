"""What solvers are held to in their noise: its law, its bounds and the steps that it belongs to.

On normal data D is linear in x, and so is every step of most solvers, in the state and in each
draw. Unit values in place of the start and of each draw, one an item, then show every weight of
the final state, and with them its variance, exactly and without any sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.kinds.solver import Solver
from kernel.values import Noise
from kernel_audio_testing._following import (
    ROUNDING,
    Draws,
    grid,
    made,
    mixture_of,
    run,
    start,
    uneven,
)
from kernel_audio_testing._options import variations
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require

__all__ = ["check_bounds", "check_law", "check_noise_off", "check_noise_steps", "check_variance"]

DATA = torch.tensor([[0.3, 1.0, 2.0]], dtype=torch.float64)
"""The standard deviations of three independent values, [1, 3]."""

LOW, HIGH = ("s_min", "s_tmin"), ("s_max", "s_tmax")
"""The options that say from which sigma to which noise is added."""


def _denoise(x: Tensor, sigma: float) -> Tensor:
    variance = DATA.to(x).square()
    return variance / (variance + sigma**2) * x


@attrs.define
class Units:
    """A Noise whose draw number k is 1 in item k + 1 and 0 in every other."""

    like: Tensor
    count: int = 0

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next draw."""
        self.count += 1
        draw = torch.zeros_like(self.like)
        if self.count < len(draw):
            draw[self.count] = 1
        return draw


def _weights(solver: Solver, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return the weights of the start and of the draws in the state at END: [1, 3], [K, 1, 3]."""
    counting = Units(torch.zeros(1, 1, 3).double())
    run(solver, _denoise, counting.like, sigmas, noise=counting)
    x = torch.zeros(1 + counting.count, 1, 3).double()
    x[0] = 1
    steps = run(solver, _denoise, x, sigmas, noise=Units(x))
    (found,) = [step.x for step in steps if step.sigma == sigmas[-2]]
    return found[0], found[1:]


def _error(solver: Solver, sigmas: Sequence[float]) -> float:
    """Return how far the variance of the state at the last sigma above 0 is off, relatively."""
    state, draws = _weights(solver, sigmas)
    data = DATA.square()
    found = state.square() * (data + sigmas[0] ** 2) + draws.square().sum(0)
    return float((found / (data + sigmas[-2] ** 2) - 1).abs().max())


def _noisy(subject: Subject) -> list[tuple[Subject, str]]:
    """Return the subject where it draws noise, else with each option that makes it do so, in words.

    Raises Inapplicable when none does.
    """
    if made(subject).stochastic:
        return [(subject, "")]
    found = []
    for name, values in variations(subject).items():
        for value in values:
            changed = attrs.evolve(subject, options={**subject.options, name: value})
            if made(changed).stochastic:
                found.append((changed, f"with {name}={value!r}, "))
                break
    if not found:
        raise Inapplicable("the solver draws no noise, whatever its options")
    return found


def check_law(subject: Subject) -> str | None:
    """Check that with noise the variance tends to that of the data as fast as `order` claims."""
    facts = []
    for noisy, told in _noisy(subject):
        solver = made(noisy)
        if not _linear(solver):
            continue
        errors = [_error(solver, uneven(count)) for count in (48, 96, 192)]
        measured = math.log2(errors[1] / max(errors[2], 1e-300))
        fact = (
            f"{told}measured {measured:.2f}, claimed {solver.order}, the variance is off by "
            f"{errors[2]:.1e} after 192 steps"
        )
        require(measured > solver.order - 0.35 or errors[2] < 1e-9, fact)
        facts.append(fact)
    if not facts:
        raise Inapplicable("a step is not linear in the state and the noise; see `distribution`")
    return "; ".join(facts)


def check_variance(subject: Subject) -> str | None:
    """Check that with noise the variance ends within a quarter of that of the data."""
    facts = []
    for noisy, told in _noisy(subject):
        solver = made(noisy)
        if _linear(solver):
            error = _error(solver, uneven(96))
            fact = f"{told}the variance is off by {error:.1%} after 96 steps"
            require(error < 0.25, fact)
            facts.append(fact)
    if not facts:
        raise Inapplicable("a step is not linear in the state and the noise; see `distribution`")
    return "; ".join(facts)


def _linear(solver: Solver) -> bool:
    """Return whether the start and all draws together do what they do one by one."""
    sigmas = grid(4)
    ones = torch.ones(1, 1, 3).double()
    steps = run(solver, _denoise, ones, sigmas, noise=lambda sigma, following: ones)
    (together,) = [step.x for step in steps if step.sigma == sigmas[-2]]
    state, draws = _weights(solver, sigmas)
    return torch.allclose(together[0], state + draws.sum(0), rtol=1e-6, atol=1e-9)


def check_noise_off(subject: Subject) -> str | None:
    """Check that almost no noise gives almost the result without noise.

    Of each option that switches the noise off at 0, a value of 1e-6 is compared with 0.
    """
    facts = []
    mixture, x = mixture_of(), start()
    for name, field in subject.load().model_fields.items():
        if field.annotation is not float or name in subject.options:
            continue
        ends = []
        for value in (0.0, 1e-6):
            try:
                solver = made(attrs.evolve(subject, options={**subject.options, name: value}))
            except Exception:  # refused: 0 is no value of this option
                break
            ends.append((solver.stochastic, run(solver, mixture.denoise, x, grid(8))[-1].x))
        if [stochastic for stochastic, _ in ends] != [False, True]:
            continue
        change = float((ends[0][1] - ends[1][1]).abs().max())
        fact = f"{name}=1e-6 in place of 0 changes the result by {change:.1g}"
        require(change < 0.05, fact)
        facts.append(fact)
    if not facts:
        raise Inapplicable("no option switches the noise off at 0")
    return "; ".join(facts)


def check_bounds(subject: Subject) -> str | None:
    """Check that no noise is drawn outside the sigmas that its bounds allow, and some inside.

    Such bounds are options called s_min or s_tmin, and s_max or s_tmax.
    """
    fields = subject.load().model_fields
    bounds = [name for name in (*LOW, *HIGH) if name in fields and name not in subject.options]
    if not bounds:
        raise Inapplicable("no option is called s_min, s_tmin, s_max or s_tmax")
    middle = 1.0
    for noisy, told in _noisy(subject):
        for name in bounds:
            bounded = attrs.evolve(noisy, options={**noisy.options, name: middle})
            sigmas = [sigma for sigma, _ in _calls(made(bounded), grid(12))]
            outside = [s for s in sigmas if (s < middle if name in LOW else s > middle)]
            require(
                not outside, f"{told}{name}={middle:g} and noise is drawn at sigma {outside[:1]}"
            )
            require(
                bool(sigmas), f"{told}{name}={middle:g} and no noise is drawn at any other sigma"
            )
    return ", ".join(bounds)


def _calls(solver: Solver, sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """Return the arguments of every draw of noise."""
    x, asked = start(1), []
    draws = Draws(solver, x)

    def noise(sigma: float, following: float) -> Tensor:
        asked.append((sigma, following))
        return draws(sigma, following)

    run(solver, mixture_of().denoise, x, sigmas, noise=noise)
    return asked


def check_noise_steps(subject: Subject) -> str | None:
    """Check that each draw names the part of its step that it belongs to, as floats.

    noise(sigma, following) is asked with sigma >= following, both within the step. What goes back
    up to a larger sigma evaluates the denoiser there next.
    """
    mixture, x = mixture_of(), start(1)
    most = 0
    for noisy, told in _noisy(subject):
        solver = made(noisy)
        sigmas = grid(7)
        events: list[tuple[str, float, float]] = []
        draws = Draws(solver, x)

        def noise(
            sigma: float, following: float, events: Any = events, draws: Noise = draws
        ) -> Tensor:
            for each in (sigma, following):
                require(type(each) is float, f"noise is asked with a {type(each).__name__}")
            events.append(("noise", sigma, following))
            return draws(sigma, following)

        def denoise(x: Tensor, sigma: float, events: Any = events) -> Tensor:
            events.append(("denoise", sigma, sigma))
            return mixture.denoise(x, sigma)

        trajectory = solver.trajectory(denoise, x, sigmas, noise)
        for step, (high, low) in zip(trajectory, pairwise(sigmas), strict=True):
            _check_draws(events, high * (1 + ROUNDING), low * (1 - ROUNDING), told)
            most = max(most, sum(kind == "noise" for kind, *_ in events))
            require(
                not (step.sigma == 0 and events[-1][0] == "noise"),
                f"{told}noise is drawn after the last evaluation",
            )
            events.clear()
    return f"at most {most} draw(s) a step"


def _check_draws(
    events: Sequence[tuple[str, float, float]], high: float, low: float, told: str
) -> None:
    for place, (kind, sigma, following) in enumerate(events):
        if kind != "noise":
            continue
        next_up = [s for name, s, _ in events[place + 1 :] if name == "denoise"][:1]
        above = sigma > high and next_up != [sigma]
        if not low <= following <= sigma or above or following > high:
            raise Violation(
                f"{told}in the step from {high:.4g} to {low:.4g} noise({sigma:.4g}, "
                f"{following:.4g}) is asked for"
            )
