"""What schedules are held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

from kernel.errors import UsageError
from kernel.kinds.schedule import Schedule
from kernel.values import LatentSpec
from kernel_audio_testing._options import choices, every_option_acts, holds
from kernel_audio_testing._schedule_draws import (
    SIZES,
    Stretched,
    check_distribution,
    check_order_of_draws,
    check_process,
    check_sized,
    check_stratified,
    draws_of,
    grid_of,
    stated,
    varied,
)
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import finite, generator_untouched, refuses

__all__ = ["CHECKS"]

STEPS = (1, 2, 3, 8, 50, 250)
_SLACK = 1 + 1e-6
"""Draws are float32."""


def check_range(subject: Subject) -> str | None:
    """Check that its range is 0 < sigma_min < sigma_max."""
    schedule = subject.make()
    low, high = schedule.sigma_min, schedule.sigma_max
    require(0 < low < high, f"sigma_min is {low} and sigma_max is {high}")
    return f"{low:.4g} to {high:.4g}"


def check_count(subject: Subject) -> str | None:
    """Check that a grid of n steps is n + 1 floats."""
    schedule = subject.make()
    for steps in STEPS:
        sigmas = grid_of(schedule, steps)
        require(
            len(sigmas) == steps + 1,
            f"the grid of {steps} steps has {len(sigmas)} values, not {steps + 1}",
        )
        strange = [type(sigma).__name__ for sigma in sigmas if type(sigma) is not float]
        require(not strange, f"the grid of {steps} steps holds a {strange[:1]}, not only floats")
    return None


def check_descending(subject: Subject) -> str | None:
    """Check that a grid goes strictly down."""
    schedule = subject.make()
    for steps in STEPS:
        for sigma, following in pairwise(grid_of(schedule, steps)):
            require(
                sigma > following,
                f"the grid of {steps} steps goes from {sigma:.6g} to {following:.6g}",
            )
    return None


def check_ends_at_zero(subject: Subject) -> str | None:
    """Check that the last value of a grid is exactly 0."""
    schedule = subject.make()
    for steps in STEPS:
        last = grid_of(schedule, steps)[-1]
        require(last == 0, f"the grid of {steps} steps ends at {last:.4g}, not at 0")
    return None


def check_grid_inside(subject: Subject) -> str | None:
    """Check that all other values are within the range, and the first is nearly its top."""
    schedule = subject.make()
    low, high = schedule.sigma_min, schedule.sigma_max
    for steps in STEPS:
        *inside, _ = grid_of(schedule, steps)
        require(
            inside[0] <= high * _SLACK and inside[-1] * _SLACK >= low,
            f"the grid of {steps} steps goes from {inside[0]:.4g} to {inside[-1]:.4g}, outside "
            f"{low:.4g} to {high:.4g}",
        )
        require(
            inside[0] >= high / 2,
            f"the grid of {steps} steps starts at {inside[0]:.4g}, far below sigma_max {high:.4g}",
        )
    return None


def check_first(subject: Subject) -> str | None:
    """Check that every grid begins at the same sigma, whatever the number of its steps."""
    schedule = subject.make()
    firsts = [grid_of(schedule, steps)[0] for steps in STEPS]
    require(
        max(firsts) <= min(firsts) * _SLACK,
        f"grids of {STEPS} steps begin at {', '.join(f'{each:.6g}' for each in firsts)}",
    )
    return f"{firsts[0]:.6g}"


def check_refined(subject: Subject) -> str | None:
    """Check that a grid of twice as many steps has all values of the grid.

    It takes one curve at equal distances of its parameter, to its last value above 0 or to 0.
    """
    schedule = subject.make()
    worst = 0.0
    for steps in (3, 5, 12):
        few = grid_of(schedule, steps)[:-1]
        step = math.log(few[0] / few[-1]) / (steps - 1)
        off = min(
            max(
                abs(math.log(finer / sigma)) / step
                for finer, sigma in zip(grid_of(schedule, count)[:-1:2], few, strict=True)
            )
            for count in (2 * steps - 1, 2 * steps)
        )
        require(
            off < 0.25, f"the grid of {steps} steps is off by {off:.0%} of a step in finer grids"
        )
        worst = max(worst, off)
    return f"off by {worst:.1%} of a step"


def check_no_steps(subject: Subject) -> str | None:
    """Check that fewer than one step is refused with a UsageError."""
    schedule = subject.make()
    grid_of(schedule, 1)
    for steps in (0, -1):
        refuses(UsageError, f"a grid of {steps} steps", schedule.sigmas, steps)
    return None


def check_draws(subject: Subject) -> str | None:
    """Check that draws have the requested number, are float32, on the CPU and in range."""
    return _check_draws(subject, (1, 2, 1_000_000))


def _check_draws(subject: Subject, counts: Sequence[int]) -> str:
    schedule = subject.make()
    low, high = schedule.sigma_min, schedule.sigma_max
    for count in counts:
        drawn = draws_of(schedule, count, 0)
        require(drawn.shape == (count,), f"{count} draws have the shape {tuple(drawn.shape)}")
        require(drawn.dtype == torch.float32, f"the draws are {drawn.dtype}, not torch.float32")
        require(drawn.device.type == "cpu", f"the draws are on {drawn.device}, not on the CPU")
        finite(drawn, "a draw")
        require(
            bool((drawn * _SLACK >= low).all() and (drawn <= high * _SLACK).all()),
            f"the draws go from {drawn.min():.4g} to {drawn.max():.4g}, outside {low:.4g} to "
            f"{high:.4g}",
        )
    require(bool(drawn.min() < drawn.max()), "all draws are the same")
    return f"median {drawn.median():.3g}"


def _few_draws(subject: Subject) -> str:
    return _check_draws(subject, (5000,))


def check_draws_cover(subject: Subject) -> str | None:
    """Check that training draws cover most of a grid and of the range."""
    schedule = subject.make()
    *grid, _ = grid_of(schedule, 50)
    drawn = draws_of(schedule, 20000, 0)
    low, high = float(drawn.min()) / _SLACK, float(drawn.max()) * _SLACK
    outside = sum(not low <= sigma <= high for sigma in grid)
    fact = (
        f"draws from {low:.3g} to {high:.3g} leave out {outside} of {len(grid)} sigmas from "
        f"{grid[-1]:.3g} to {grid[0]:.3g}"
    )
    require(outside <= len(grid) / 4, fact)
    spanned = math.log(high / low) / math.log(schedule.sigma_max / schedule.sigma_min)
    require(
        spanned > 0.6,
        f"draws from {low:.3g} to {high:.3g} span {spanned:.0%} of the decades from "
        f"{schedule.sigma_min:.3g} to {schedule.sigma_max:.3g}",
    )
    return fact


def check_seeded(subject: Subject) -> str | None:
    """Check that equal generator states give equal draws, and later states other draws."""
    schedule = subject.make()
    first = draws_of(schedule, 64, 1)
    require(torch.equal(first, draws_of(schedule, 64, 1)), "the same seed draws something else")
    require(not torch.equal(first, draws_of(schedule, 64, 2)), "another seed draws the same")
    generator = torch.Generator().manual_seed(1)
    schedule.draw(64, generator)
    again = schedule.draw(64, generator)
    require(not torch.equal(first, again), "the generator is not advanced by a draw")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that it draws only from the given generator."""
    schedule = subject.make()
    with generator_untouched("the schedule"):
        for use in (lambda: grid_of(schedule, 8), lambda: draws_of(schedule, 64, 1)):
            try:
                use()
            except Inapplicable:
                continue
    return None


def check_along(subject: Subject) -> str | None:
    """Check that it follows a path of its own process and ignores other paths.

    An option that contradicts a number of the path is refused with a UsageError that names both.
    """
    schedule = subject.make()
    other = schedule.along(Stretched("of another process", 1.0))
    require(grid_of(other, 8) == grid_of(schedule, 8), "a path of another process changes the grid")
    if schedule.process is None:
        return "written in the time of no process"
    one, two = (schedule.along(Stretched(schedule.process, unit)) for unit in (1.0, 2.0))
    require(grid_of(one, 8) != grid_of(two, 8), "the grid does not follow a path of its process")
    require(
        grid_of(one.along(None), 8) == grid_of(schedule, 8), "it keeps a path that was taken away"
    )
    contradicted = []
    for name, field in type(schedule).model_fields.items():
        if field.default is not None or name in subject.options:
            continue
        try:
            chosen = subject.make(**{name: 1.5})
        except UsageError:
            continue
        chosen.along(Stretched(schedule.process, 1.0, {name: 1.5}))
        error = refuses(
            UsageError,
            f"a path whose {name} is another",
            chosen.along,
            Stretched(schedule.process, 1.0, {name: 2.5}),
        )
        for spelling in (f"schedule.{name}", f"objective.{name}"):
            require(spelling in error, f"the refusal does not name {spelling}: {error}")
        contradicted.append(name)
    return f"process {schedule.process}, {len(contradicted)} numbers"


def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""

    def observe(schedule: Schedule) -> list[torch.Tensor | float]:
        found: list[torch.Tensor | float] = [schedule.sigma_min, schedule.sigma_max]
        for size in SIZES[:2]:
            sized = schedule.sized(LatentSpec(2, size))
            for make in (lambda s=sized: grid_of(s, 9), lambda s=sized: draws_of(s, 64, 1)):
                try:
                    found.append(torch.as_tensor(make()))
                except Inapplicable:
                    continue
        return found

    return every_option_acts(subject, observe, 1e-6)


def check_values(subject: Subject) -> str | None:
    """Check that other values of the options keep the range, the grid and the draws in order."""
    every = varied(subject)
    for each in every:
        holds(
            each,
            count=check_count,
            descending=check_descending,
            ends_at_zero=check_ends_at_zero,
            grid_inside=check_grid_inside,
            first=check_first,
            refined=check_refined,
            draws=_few_draws,
            distribution=stated,
        )
    for each in choices(subject):
        holds(
            each,
            draws_cover=check_draws_cover,
            seeded=check_seeded,
            order_of_draws=check_order_of_draws,
        )
    return f"{len(every)} settings"


CHECKS = (
    check_range,
    check_count,
    check_descending,
    check_ends_at_zero,
    check_grid_inside,
    check_first,
    check_refined,
    check_no_steps,
    check_draws,
    check_draws_cover,
    check_seeded,
    check_pure,
    check_along,
    check_distribution,
    check_order_of_draws,
    check_stratified,
    check_sized,
    check_process,
    check_options,
    check_values,
)
