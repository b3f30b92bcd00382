"""The checks of schedules catch what they are there to catch."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import pytest
import torch
from pydantic import Field
from torch import Tensor

from kernel import NativePath, Schedule, UsageError


class Grid(Schedule):
    """Equal steps."""

    sigma_min: float = Field(0.01, description="smallest")
    sigma_max: float = Field(10.0, description="largest")

    def sigmas(self, steps: int) -> list[float]:
        if steps < 1:
            raise UsageError("at least one step; ask for more")
        return [self.sigma_max * (1 - index / steps) for index in range(steps)] + [0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.empty(count).uniform_(self.sigma_min, self.sigma_max, generator=generator)


class StopsShort(Grid):
    """End at sigma_min."""

    def sigmas(self, steps: int) -> list[float]:
        return [*super().sigmas(steps)[:-1], self.sigma_min]


class OneTooFew(Grid):
    """Make one step less than asked for."""

    def sigmas(self, steps: int) -> list[float]:
        return super().sigmas(max(steps - 1, 1) if steps > 0 else steps)


class DrawsOutside(Grid):
    """Forget the range."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return super().draw(count, generator) * 2


class DrawsElsewhere(Grid):
    """Train at the smallest sigmas only."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return (super().draw(count, generator) * 0.1).clamp(min=self.sigma_min)


class DrawsGlobally(Grid):
    """Draw from the global generator."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.empty(count).uniform_(self.sigma_min, self.sigma_max)


class AcceptsNoSteps(Grid):
    """Return a grid of no steps."""

    def sigmas(self, steps: int) -> list[float]:
        return super().sigmas(steps) if steps > 0 else [0.0]


class Timed(Grid):
    """Take the largest sigma from a process."""

    process: ClassVar[str | None] = "vp"

    beta_max: float | None = Field(None, description="a number of the process")

    def sigmas(self, steps: int) -> list[float]:
        top = self.adopted.sigma(1.0) if self.adopted else self.sigma_max
        return [top * sigma / self.sigma_max for sigma in super().sigmas(steps)]


class Deaf(Timed):
    """Adopt a path and leave it aside."""

    def sigmas(self, steps: int) -> list[float]:
        return Grid.sigmas(self, steps)


class FollowsAnyone(Timed):
    """Adopt the path of another process."""

    def along(self, path: NativePath | None) -> Self:
        schedule = self.model_copy()
        schedule._adopted = path
        return schedule


class Contradicts(Timed):
    """Keep a number of its own without a word."""

    def along(self, path: NativePath | None) -> Self:
        return self.model_copy(update={"beta_max": None}).narrowed(path)

    def narrowed(self, path: NativePath | None) -> Self:
        return super().along(path)


class Mumbles(Timed):
    """Refuse a contradiction and not say which."""

    def along(self, path: NativePath | None) -> Self:
        try:
            return super().along(path)
        except UsageError:
            raise UsageError("the process is another; take another") from None


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Grid) == set()
    assert broken(Timed) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (StopsShort, {}, "ends_at_zero"),
        (OneTooFew, {}, "count"),
        (DrawsOutside, {}, "draws"),
        (DrawsElsewhere, {}, "draws_cover"),
        (DrawsGlobally, {}, "pure"),
        (DrawsGlobally, {}, "seeded"),
        (AcceptsNoSteps, {}, "no_steps"),
        (Deaf, {}, "along"),
        (FollowsAnyone, {}, "along"),
        (Contradicts, {}, "along"),
        (Mumbles, {}, "along"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)
