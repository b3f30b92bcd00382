"""What schedules are held to."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import attrs
import torch

from kernel.errors import UsageError
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import finite, generator_untouched, refuses

__all__ = ["CHECKS"]

STEPS = (1, 2, 3, 8, 50, 250)
_SLACK = 1 + 1e-6
"""Draws are float32."""


def _grid(schedule: Any, steps: int) -> list[float]:
    try:
        sigmas: list[float] = schedule.sigmas(steps)
    except NotImplementedError:
        raise Inapplicable("the schedule is for training only") from None
    return sigmas


def _draw(schedule: Any, count: int, seed: int) -> torch.Tensor:
    try:
        drawn: torch.Tensor = schedule.draw(count, torch.Generator().manual_seed(seed))
    except NotImplementedError:
        raise Inapplicable("the schedule is for sampling only") from None
    return drawn


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
        sigmas = _grid(schedule, steps)
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
        for sigma, following in pairwise(_grid(schedule, steps)):
            require(
                sigma > following,
                f"the grid of {steps} steps goes from {sigma:.6g} to {following:.6g}",
            )
    return None


def check_ends_at_zero(subject: Subject) -> str | None:
    """Check that the last value of a grid is exactly 0."""
    schedule = subject.make()
    for steps in STEPS:
        last = _grid(schedule, steps)[-1]
        require(last == 0, f"the grid of {steps} steps ends at {last:.4g}, not at 0")
    return None


def check_grid_inside(subject: Subject) -> str | None:
    """Check that all other values are within the range, and the first is nearly its top."""
    schedule = subject.make()
    low, high = schedule.sigma_min, schedule.sigma_max
    for steps in STEPS:
        *inside, _ = _grid(schedule, steps)
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


def check_no_steps(subject: Subject) -> str | None:
    """Check that fewer than one step is refused with a UsageError."""
    schedule = subject.make()
    _grid(schedule, 1)
    for steps in (0, -1):
        refuses(UsageError, f"a grid of {steps} steps", schedule.sigmas, steps)
    return None


def check_draws(subject: Subject) -> str | None:
    """Check that draws are as many as asked for, float32, on the CPU and within the range."""
    schedule = subject.make()
    low, high = schedule.sigma_min, schedule.sigma_max
    for count in (1, 2, 1_000_000):
        drawn = _draw(schedule, count, 0)
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


def check_draws_cover(subject: Subject) -> str | None:
    """Check that training reaches where sampling goes: draws span most of a grid."""
    schedule = subject.make()
    *grid, _ = _grid(schedule, 50)
    drawn = _draw(schedule, 20000, 0)
    low, high = float(drawn.min()) / _SLACK, float(drawn.max()) * _SLACK
    outside = sum(not low <= sigma <= high for sigma in grid)
    fact = (
        f"draws from {low:.3g} to {high:.3g} leave out {outside} of {len(grid)} sigmas from "
        f"{grid[-1]:.3g} to {grid[0]:.3g}"
    )
    require(outside <= len(grid) / 4, fact)
    return fact


def check_seeded(subject: Subject) -> str | None:
    """Check that the same generator state draws the same, a later one something else."""
    schedule = subject.make()
    first = _draw(schedule, 64, 1)
    require(torch.equal(first, _draw(schedule, 64, 1)), "the same seed draws something else")
    require(not torch.equal(first, _draw(schedule, 64, 2)), "another seed draws the same")
    generator = torch.Generator().manual_seed(1)
    schedule.draw(64, generator)
    again = schedule.draw(64, generator)
    require(not torch.equal(first, again), "the generator is not advanced by a draw")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that only the generator that is given is drawn from."""
    schedule = subject.make()
    with generator_untouched("the schedule"):
        for use in (lambda: _grid(schedule, 8), lambda: _draw(schedule, 64, 1)):
            try:
                use()
            except Inapplicable:
                continue
    return None


@attrs.frozen
class Stretched:
    """A path whose sigma grows as `unit` t^2."""

    name: str
    unit: float
    numbers: Mapping[str, float] = attrs.field(factory=dict)

    def time(self, sigma: Any) -> Any:
        """Return t at sigma, a float or a tensor."""
        return (sigma / self.unit) ** 0.5

    def sigma(self, time: Any) -> Any:
        """Return sigma at t, a float or a tensor."""
        return time**2 * self.unit

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (1, 0)."""
        return 1.0, 0.0

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of 1, of 0 and of sigma^2."""
        return 0.0, 0.0, 4 * self.unit**2 * time**3


def check_along(subject: Subject) -> str | None:
    """Check that it follows a path of its own process, and of no other.

    An option that contradicts a number of the path is refused with a UsageError that names both.
    """
    schedule = subject.make()
    other = schedule.along(Stretched("of another process", 1.0))
    require(_grid(other, 8) == _grid(schedule, 8), "a path of another process changes the grid")
    if schedule.process is None:
        return "written in the time of no process"
    one, two = (schedule.along(Stretched(schedule.process, unit)) for unit in (1.0, 2.0))
    require(_grid(one, 8) != _grid(two, 8), "the grid does not follow a path of its process")
    require(_grid(one.along(None), 8) == _grid(schedule, 8), "it keeps a path that was taken away")
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


CHECKS = (
    check_range,
    check_count,
    check_descending,
    check_ends_at_zero,
    check_grid_inside,
    check_no_steps,
    check_draws,
    check_draws_cover,
    check_seeded,
    check_pure,
    check_along,
)
