"""What schedules are held to in their training draws, and for latents of several sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.schedule import Schedule
from kernel.values import LatentSpec
from kernel_audio_testing._options import together, variations
from kernel_audio_testing._subject import Inapplicable, Subject, require

__all__ = [
    "Stretched",
    "check_distribution",
    "check_order_of_draws",
    "check_process",
    "check_sized",
    "check_stratified",
    "draws_of",
    "grid_of",
    "varied",
]

COUNT = 20_000
BATCH = 32
FAR = 0.02
"""A distance of distribution functions that COUNT draws hardly ever have by chance (0.012)."""
SIZES = ((16,), (30,), (4, 6))


@attrs.frozen
class Stretched:
    """A path whose sigma grows as `unit` t^2."""

    name: str
    unit: float
    numbers: dict[str, float] = attrs.field(factory=dict)

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


def grid_of(schedule: Schedule, steps: int) -> list[float]:
    """Return a grid. Raises Inapplicable for a schedule that has none."""
    try:
        return schedule.sigmas(steps)
    except NotImplementedError:
        raise Inapplicable("the schedule is for training only") from None


def draws_of(schedule: Schedule, count: int, seed: int) -> Tensor:
    """Return draws. Raises Inapplicable for a schedule that makes none."""
    try:
        return schedule.draw(count, torch.Generator().manual_seed(seed))
    except NotImplementedError:
        raise Inapplicable("the schedule is for sampling only") from None


def check_distribution(subject: Subject) -> str | None:
    """Check that draws have the stated distribution.

    ln sigma is normal where it has the options `mean` and `std`, which are those of ln sigma, or of
    the logit of its process's time; else sigma is drawn as evenly as a grid of many steps takes it.
    Draws of one at a time have the distribution of many at a time.
    """
    fact = stated(subject)
    schedule = subject.make()
    many = draws_of(schedule, COUNT, 0).double().sort().values
    generator = torch.Generator().manual_seed(1)
    single = torch.cat([schedule.draw(1, generator) for _ in range(2000)]).double()
    places = torch.searchsorted(many, single).sort().values / COUNT
    apart = float((places - torch.linspace(0, 1, len(places))).abs().max())
    # Draws that are moved to an end of the range are all at the same place.
    ends = ((many == many[0]).double().mean() + (many == many[-1]).double().mean()) * 1.05
    require(
        apart < 0.05 + float(ends),
        f"draws of one at a time are off from those of {COUNT} at a time by {apart:.3f}",
    )
    return fact


def stated(subject: Subject) -> str:
    """Require that many draws have the distribution that the schedule states."""
    schedule = subject.make()
    many = draws_of(schedule, COUNT, 0).double().sort().values
    where, shares = _normal(schedule) or _gridded(schedule)
    fact = (
        f"the draws are off from {where} by {_distance(many, shares, schedule):.3f} in distribution"
    )
    require(_distance(many, shares, schedule) < FAR, fact)
    if not _normal(schedule):
        few = torch.tensor(grid_of(schedule, 9)[-2::-1], dtype=torch.float64)
        parts = (torch.searchsorted(many, few).double() / COUNT).diff()
        require(
            float(parts.max()) < 1.5 * float(parts.min()),
            f"between neighbours in a grid of 9 steps are {float(parts.min()):.0%} to "
            f"{float(parts.max()):.0%} of the draws",
        )
    levels = many[torch.cat([torch.tensor([True]), many[1:] != many[:-1]])]
    if len(levels) < COUNT / 8:  # a schedule of levels: a grid takes those that are trained
        for sigma in grid_of(schedule, min(50, len(levels)))[:-1]:
            away = float((levels / sigma - 1).abs().min())
            require(away < 1e-5, f"the grid takes sigma {sigma:.6g}, which is never drawn")
    return fact


def check_stratified(subject: Subject) -> str | None:
    """Check that stratified draws are as even as they can be: one in each part of equal chance.

    The option is the one of this name.
    """
    if "stratified" not in subject.load().model_fields:
        raise Inapplicable("no option is called stratified")
    count = 500
    for each in (subject, *varied(subject)):
        schedule: Schedule = attrs.evolve(each, options={**each.options, "stratified": True}).make()
        many = draws_of(schedule, count, 0).double().sort().values
        where, shares = _normal(schedule) or _gridded(schedule)
        apart = _distance(many, shares, schedule)
        told = f"with {dict(each.options)} " if each.options else ""
        require(apart < 0.009, f"{told}{count} draws are off from {where} by {apart:.3f}")
    return None


def _normal(schedule: Schedule) -> tuple[str, Callable[[Tensor], Tensor]] | None:
    """Return the distribution function of a schedule that has a mean and a spread of ln sigma."""
    if not {"mean", "std"} <= type(schedule).model_fields.keys():
        return None
    options = schedule.model_dump()
    middle = options["mean"] + math.log(options.get("shift", 1.0))
    return (
        f"ln sigma normal with mean {middle:.3g} and spread {options['std']:.3g}",
        lambda sigma: torch.special.ndtr((sigma.log() - middle) / options["std"]),
    )


def _gridded(schedule: Schedule) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Return the distribution function of the values of a grid of many steps."""
    *inside, _ = grid_of(schedule, 400)
    values = torch.tensor(inside[::-1], dtype=torch.float64)
    return "the values of its grid", lambda sigma: torch.searchsorted(values, sigma) / len(values)


def _distance(many: Tensor, stated: Callable[[Tensor], Tensor], schedule: Schedule) -> float:
    """Return the largest difference of the distribution functions inside the range."""
    shares = torch.linspace(0, 1, len(many), dtype=torch.float64)
    inside = (many > schedule.sigma_min * 1.001) & (many < schedule.sigma_max * 0.999)
    # Equal draws, of a schedule with few levels, are all counted at the last of them.
    last = torch.cat([many[1:] != many[:-1], torch.tensor([True])])
    kept = inside & last
    require(bool(kept.any()), "every draw is at an end of the range")
    return float((stated(many[kept]) - shares[kept]).abs().max())


def check_order_of_draws(subject: Subject) -> str | None:
    """Check that a draw does not depend on its place in the batch, nor on its neighbour."""
    schedule = subject.make()
    draws_of(schedule, 1, 0)
    generator = torch.Generator().manual_seed(2)
    ranks = torch.stack([_ranks(schedule.draw(BATCH, generator)) for _ in range(400)])
    places = _ranks(torch.arange(BATCH, dtype=torch.float64))
    by_place = float((ranks * places).mean())
    by_neighbour = float((ranks[:, 1:] * ranks[:, :-1]).mean())
    fact = f"correlation with the place {by_place:.3f}, with the neighbour {by_neighbour:.3f}"
    require(abs(by_place) < 0.06 and abs(by_neighbour) < 0.12, fact)
    means = ranks.mean(0).abs().max()
    require(
        float(means) < 0.3, f"at one place of the batch the mean rank is {float(means):.2f} off"
    )
    between = float((ranks[1:] * ranks[:-1]).mean())
    require(abs(between) < 0.06, f"a batch is correlated with the one before it: {between:.3f}")
    return fact


def _ranks(values: Tensor) -> Tensor:
    """Return the ranks of values, standardised: mean 0, variance 1."""
    ranks = values.double().argsort().argsort().double()
    return (ranks - ranks.mean()) / ranks.std(correction=0)


def check_sized(subject: Subject) -> str | None:
    """Check that a size is settled once, beside a path or before it, whatever the options."""
    changed = 0
    for each in (subject, *varied(subject)):
        schedule: Schedule = each.make()
        told = f" with {dict(each.options)}" if each.options else ""
        for size in SIZES:
            latent = LatentSpec(2, size)
            once = schedule.sized(latent)
            _alike(once.sized(latent), once, f"sized twice and once{told}")
            for other in SIZES:
                later = once.sized(LatentSpec(2, other))
                _alike(later, once, f"sized for {size} and then {other}, and for {size}{told}")
            for name in (schedule.process or "none", "of another process"):
                path = Stretched(name, 1.0)
                _alike(
                    schedule.along(path).sized(latent),
                    once.along(path),
                    f"taken along a path before and after it is sized{told}",
                )
            changed += _numbers(once) != _numbers(schedule)
    return f"{changed} of the settings depend on the size"


def check_process(subject: Subject) -> str | None:
    """Check that a number of its process does the same as an option and in an objective's path.

    The objectives are those that are installed and of the schedule's process.
    """
    schedule: Schedule = subject.make()
    if schedule.process is None:
        raise Inapplicable("written in the time of no process")
    found = []
    for info in subject.registry.plugins:
        if info.kind != "objective":
            continue
        objective = Subject(info, subject.registry)
        path = objective.make().path
        if path is None or path.name != schedule.process:
            continue
        own = [name for name in path.numbers if name in type(schedule).model_fields]
        for name, values in variations(objective, near=True).items():
            for value in values if name in own else ():
                told = f"{name}={value:g}"
                adopted = schedule.along(objective.make(**{name: value}).path)
                by_option = subject.make(**{name: value})
                _alike(by_option, adopted, f"{told} of the schedule and of {info.spelling}")
                found.append(told)
    if not found:
        raise Inapplicable("no objective of its process is installed that has its options")
    return ", ".join(found)


def varied(subject: Subject) -> list[Subject]:
    """Return the subject with other values of each option, and of all, where they leave a range."""
    changed = [
        attrs.evolve(subject, options={**subject.options, name: value})
        for name, values in variations(subject, near=True).items()
        for value in values
    ]
    return [each for each in (*changed, *together(subject)) if _ranges(each.make())]


def _ranges(schedule: Schedule) -> bool:
    try:
        return schedule.sigma_min < schedule.sigma_max
    except KernelError:
        return False


def _numbers(schedule: Schedule) -> list[float]:
    found: list[float] = []
    for make in (lambda: schedule.sigmas(7), lambda: draws_of(schedule, 16, 3).tolist()):
        try:
            found += make()
        except (NotImplementedError, Inapplicable):
            continue
    return found


def _alike(one: Schedule, other: Schedule, what: str) -> None:
    pairs = zip(_numbers(one), _numbers(other), strict=True)
    apart = max((abs(a - b) / max(abs(b), 1e-30) for a, b in pairs), default=0.0)
    require(apart < 1e-5, f"{what}: the grids or the draws differ by {apart:.2g}")
