"""The checks of schedules catch what they are there to catch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import pytest
import torch
from pydantic import Field
from torch import Tensor

from kernel import LatentSpec, NativePath, Objective, Schedule, UsageError
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing import Inapplicable, Subject, Violation, checks_for


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
        power = min(self.beta_max or 1.0, 1.0)
        return [top * (sigma / self.sigma_max) ** power for sigma in super().sigmas(steps)]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = super().draw(count, generator) / self.sigma_max
        return (drawn ** min(self.beta_max or 1.0, 1.0) * self.sigma_max).clamp(min=self.sigma_min)


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


class Sorts(Grid):
    """Sort a batch, as stratified draws are where they are made."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return super().draw(count, generator).sort().values


class FallsAlong(Grid):
    """Draw less noise for later items."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = super().draw(count, generator)
        return drawn * torch.linspace(1, 0.8, count).clamp(min=0.5) + self.sigma_min


class Leaps(Grid):
    """Leave out the half of the way before the end."""

    def sigmas(self, steps: int) -> list[float]:
        *inside, last = super().sigmas(2 * steps if steps > 0 else steps)
        return [*inside[: steps - 1], inside[-1], last] if steps > 1 else [self.sigma_max, last]


class Narrow(Grid):
    """Train and sample in the upper decade of the range alone, but for the last step."""

    sigma_min: float = Field(0.001, description="smallest")

    def sigmas(self, steps: int) -> list[float]:
        grid = [self.sigma_max * 0.1 ** (index / steps) for index in range(steps)]
        return [*grid, 0.0] if steps > 0 else super().sigmas(steps)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return self.sigma_max * 0.1 ** torch.rand(count, generator=generator)


class DrawsTheRoot(Grid):
    """Draw as uniformly in the root of sigma."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return super().draw(count, generator).square() / self.sigma_max + self.sigma_min


class Normal(Grid):
    """Draw ln sigma from a normal distribution, from options that break it."""

    mean: float = Field(0.0, description="mean of ln sigma")
    std: float = Field(1.0, gt=0, description="standard deviation of ln sigma")
    deaf: Literal["none", "mean", "std"] = Field("none", description="which one is not heard")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        mean = 0.5 if self.deaf == "mean" else self.mean
        std = 0.7 if self.deaf == "std" else self.std
        drawn = torch.randn(count, generator=generator) * std + mean
        return drawn.exp().clamp(self.sigma_min, self.sigma_max)


class Stratifies(Normal):
    """Spread the draws of a batch, from an option that breaks it."""

    stratified: bool = Field(False, description="spread the draws evenly")
    together: bool = Field(True, description="whether the mean counts where they are spread")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        parts = torch.rand(count, generator=generator).double()
        if self.stratified:
            parts = (torch.randperm(count, generator=generator) + parts) / count
        normal = torch.special.ndtri(parts.clamp(1e-9, 1 - 1e-9))
        mean = self.mean if self.together or not self.stratified else 0.5
        return (normal * self.std + mean).exp().clamp(self.sigma_min, self.sigma_max).float()


class Multiplies(Normal):
    """Multiply the mean by the spread, too."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = (torch.randn(count, generator=generator) + self.mean) * self.std
        return drawn.exp().clamp(self.sigma_min, self.sigma_max)


class AloneIsCleaner(Grid):
    """Draw half where there is one draw alone."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return super().draw(count, generator) * (0.5 if count == 1 else 1.0) + self.sigma_min


class Sized(Grid):
    """Multiply the grid by the number of positions."""

    slope: float = Field(0.0, ge=0, le=0.5, description="growth of the shift with each position")
    kept: float = Field(1.0, gt=0, le=1, description="shift", exclude=True)

    def sigmas(self, steps: int) -> list[float]:
        first, *rest = super().sigmas(steps)
        return [first, *(self.kept * sigma for sigma in rest)]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return (super().draw(count, generator) * self.kept).clamp(min=self.sigma_min)

    def sized(self, latent: LatentSpec) -> Schedule:
        if self.slope == 0:
            return self
        kept = self.kept / (1 + self.slope * latent.size[-1])
        return self.model_copy(update={"kept": kept, **self.settled})

    @property
    def settled(self) -> dict[str, float]:
        return {"slope": 0.0}


class SizedTwice(Sized):
    """Shift at every size that it is told."""

    @property
    def settled(self) -> dict[str, float]:
        return {}


class ForgetsThePath(Timed):
    """Lose the path where it is sized."""

    def sized(self, latent: LatentSpec) -> Schedule:
        return type(self)(**self.model_dump())


class Levels(Grid):
    """Train at a thousand sigmas, from options that break it."""

    skip: int = Field(0, ge=0, le=1, description="levels at the top that are never drawn")

    def sigmas(self, steps: int) -> list[float]:
        return [round(sigma, 2) for sigma in super().sigmas(steps)]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(1, 1001 - self.skip, (count,), generator=generator) / 100


class Process(NativePath):
    """A path whose largest sigma is its number."""

    name = "vp"

    def __init__(self, beta_max: float) -> None:
        self.beta_max = beta_max

    @property
    def numbers(self) -> dict[str, float]:  # type: ignore[override]
        return {"beta_max": self.beta_max}

    def sigma(self, time: Any) -> Any:
        return self.beta_max * time


class Linear(Objective):
    """Have the process."""

    beta_max: float = Field(10.0, gt=0, description="largest sigma")

    @property
    def path(self) -> Any:
        return Process(self.beta_max)


class Adopts(Timed):
    """Take the largest sigma from its process or from its option, which may be misread."""

    factor: float = Field(1.0, gt=0, description="error of the option")

    def sigmas(self, steps: int) -> list[float]:
        own = self.sigma_max if self.beta_max is None else self.factor * self.beta_max
        top = self.adopted.sigma(1.0) if self.adopted else own
        return [top * sigma / self.sigma_max for sigma in Grid.sigmas(self, steps)]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return Grid.draw(self, count, generator)


class Idle(Grid):
    """Have an option that does nothing."""

    rho: float = Field(7.0, gt=0, description="nothing")


class Escapes(Grid):
    """Leave the range where an option is another."""

    shift: float = Field(1.0, gt=0, description="factor on sigma")

    def sigmas(self, steps: int) -> list[float]:
        return [self.shift * sigma for sigma in super().sigmas(steps)]


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Grid) == set()
    assert broken(Timed) == set()
    assert broken(Normal, deaf="none") == set()
    assert broken(Stratifies, deaf="none", together=True) <= {"options"}


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
        (Sorts, {}, "order_of_draws"),
        (FallsAlong, {}, "order_of_draws"),
        (DrawsTheRoot, {}, "distribution"),
        (Leaps, {}, "distribution"),
        (Narrow, {}, "draws_cover"),
        (AloneIsCleaner, {}, "distribution"),
        (Normal, {"deaf": "mean"}, "distribution"),
        (Normal, {"deaf": "std"}, "values"),
        (Multiplies, {"deaf": "none"}, "values"),
        (Stratifies, {"deaf": "none", "together": False}, "stratified"),
        (SizedTwice, {}, "sized"),
        (ForgetsThePath, {}, "sized"),
        (Idle, {}, "options"),
        (Escapes, {}, "values"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


def test_a_size_is_settled_once(subject: Any) -> None:
    (check,) = [each for each in checks_for("schedule") if each.name == "sized"]
    found = check.function(subject(Sized))
    assert found is not None and not found.startswith("0 of")


def test_levels_that_are_never_drawn_are_caught(catch: Any) -> None:
    assert "takes sigma 10, which is never drawn" in catch(Levels, "distribution", skip=1)


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_number_of_the_process_is_the_same_on_both_sides(subject: Any, factor: float) -> None:
    class Both(Registry):
        def load(self, info: PluginInfo) -> Any:
            return Linear if info.kind == "objective" else Adopts

    (check,) = [each for each in checks_for("schedule") if each.name == "process"]
    with pytest.raises(Inapplicable, match="no objective of its process is installed"):
        check.function(subject(Adopts))
    offers = PluginInfo("objective", "linear", "tests", "1", "kernel")
    tested = Subject(subject(Adopts).info, Both((offers,)), {"factor": factor})
    if factor == 1:
        assert check.function(tested) == "beta_max=5, beta_max=15"
    else:
        with pytest.raises(Violation, match="beta_max=5 of the schedule and of objective.linear"):
            check.function(tested)


class Elsewhere(Grid):
    """Begin the lower, the fewer steps there are."""

    def sigmas(self, steps: int) -> list[float]:
        return [0.9 ** (1 / max(steps, 1)) * sigma for sigma in super().sigmas(steps)]


class Jumps(Grid):
    """Leave the curve the more, the fewer steps there are."""

    def sigmas(self, steps: int) -> list[float]:
        grid = super().sigmas(steps)
        return [grid[0], *((1 - 2 / (steps + 2)) * sigma for sigma in grid[1:])]


def test_grids_of_several_sizes_belong_together(catch: Any) -> None:
    assert "begin at 9, 9.48683" in catch(Elsewhere, "first")
    assert "in finer grids" in catch(Jumps, "refined")
