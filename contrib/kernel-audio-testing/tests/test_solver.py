"""The checks of solvers catch what they are there to catch."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field

from kernel import Solver, Step


class Midway(Solver):
    """Take Heun's step, from options that break it."""

    correct: bool = Field(True, description="use the corrector")
    finish: bool = Field(True, description="make the last step")
    reach: bool = Field(True, description="remove the last noise")
    in_place: bool = Field(False, description="overwrite x")
    listen: bool = Field(True, description="go on from what is sent")
    claim: int = Field(2, description="order")
    extra: int = Field(0, description="evaluations that nfe does not tell of")
    draw: bool = Field(False, description="draw noise and throw it away")
    global_noise: bool = Field(False, description="use the global generator")
    batch: bool = Field(False, description="mix the batch")
    below: bool = Field(False, description="look once more, below the grid")
    wait: bool = Field(False, description="look at the state on the host")
    four_d: bool = Field(False, description="take 4-D states only")

    shared: ClassVar[list[Any]] = []

    @property
    def order(self) -> int:
        return self.claim

    def nfe(self, steps: int) -> int:
        return 2 * steps - 1 if self.correct else steps

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        pairs = list(pairwise(sigmas))
        for index, (sigma, following) in enumerate(pairs if self.finish else pairs[:-1]):
            if self.four_d:
                x = (
                    x * x.new_ones(1, 1, *x.shape[2:])[..., :, :]
                    if x.ndim == 4
                    else x.clone()[:, :1]
                )
            x0 = denoise(x, sigma)
            for _ in range(self.extra):
                denoise(x, sigma)
            if self.below:
                denoise(x, sigma / 1000)
            if self.wait and float(x.max()) > 1e9:
                return
            slope = (x - x0) / sigma
            end = following if following or self.reach else sigma / 10
            new = x + (end - sigma) * slope
            if following > 0 and self.correct:
                late = (new - denoise(new, following)) / following
                new = x + (following - sigma) * (slope + late) / 2
            if self.in_place:
                new = x.copy_(new)
            if self.draw:
                noise(sigma, following)
            if self.global_noise:
                new = new + 0 * torch.randn_like(new)
            if self.batch:
                new = new + 0.01 * following * new.mean(0, keepdim=True)
            sent = yield Step(index, following, new, x0)
            x = sent if self.listen else new


class Chatty(Midway):
    """Keep the last evaluation of a run in the class."""

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        self.shared.clear()
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            self.shared.append(x0)
            x = yield Step(index, following, self.shared[index // 2].lerp(x, following / sigma), x0)

    def nfe(self, steps: int) -> int:
        return steps

    @property
    def order(self) -> int:
        return 1


class OnlyAnswers(Midway):
    """Go on from zero where no state is sent."""

    def trajectory(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def,misc,override]
        steps = self.steps(denoise, x, sigmas, noise)
        try:
            step = next(steps)
            while True:
                sent = yield step
                step = steps.send(0 * step.x if sent is None else sent)
        except StopIteration:
            return


class Ancestral(Solver):
    """Take Euler's step with the noise of DDPM, from options that break it."""

    eta: float = Field(1.0, ge=0, le=1, description="share of the noise; 0 is none")
    s_min: float = Field(0.0, ge=0, description="smallest sigma at which noise is added")
    s_max: float = Field(100.0, ge=0, description="largest sigma at which noise is added")
    fault: Literal["none", "loud", "twice", "once", "backwards", "late", "floor", "ceiling"] = (
        Field("none", description="what is wrong")
    )

    @property
    def order(self) -> int:
        return 1

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        kept = None
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            up = self.eta * following / sigma * (sigma**2 - following**2) ** 0.5
            low, high = self.s_min, self.s_max
            if not self.outside(low if self.fault != "floor" else 0, high, sigma):
                up = 0.0
            down = (following**2 - up**2) ** 0.5
            x = x0.lerp(x, down / sigma)
            if self.fault == "loud":
                up *= 1.05
            if up > 0:
                ends = (following, sigma) if self.fault == "backwards" else (sigma, following)
                draw = noise(*ends)
                kept = draw if kept is None else kept
                x = x.add(kept if self.fault == "once" else draw, alpha=up)
                if self.fault == "twice":
                    x = x.add(noise(*ends), alpha=0.3 * up)
            if self.fault == "late" and following == 0 and self.eta > 0:
                noise(sigma, following)
            x = yield Step(index, following, x, x0)

    def outside(self, low: float, high: float, sigma: float) -> bool:
        return low <= sigma and (sigma <= high or self.fault == "ceiling")


class Jumps(Ancestral):
    """Step down as with all of the noise, however little is added."""

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            x = x0.lerp(x, (following / sigma) ** (2 if self.eta > 0 else 1))
            if self.eta > 0 and following > 0:
                up = following / sigma * (sigma**2 - following**2) ** 0.5
                x = x.add(noise(sigma, following), alpha=self.eta * up)
            x = yield Step(index, following, x, x0)


class Idle(Ancestral):
    """Have an option that does nothing."""

    rate: float = Field(1.0, ge=0, description="nothing")


class Seldom(Ancestral):
    """Have an option that acts beside another alone."""

    double: bool = Field(False, description="look twice")
    share: float = Field(0.0, ge=0, le=1, description="how much of the second look counts")

    def nfe(self, steps: int) -> int:
        return 2 * steps if self.double else steps

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        def twice(x, sigma):  # type: ignore[no-untyped-def]
            first = denoise(x, sigma)
            if not self.double:
                return first
            return first.lerp(denoise(x.lerp(first, 1e-5), sigma), self.share)

        yield from super().steps(twice, x, sigmas, noise)


class Strange(Solver):
    """Take Euler's step, from options that break it."""

    fault: Literal["none", "tells x", "tells late", "clamps", "bends", "slow"] = Field(
        "none", description="what is wrong"
    )

    @property
    def order(self) -> int:
        return 1

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        before = None
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if self.fault == "clamps":
                x0 = x0.clamp(-2, 2)
            if self.fault == "bends":
                x0 = x0 + 1e-3 * following * x0.abs()
            end = (
                following * (1 - 0.5 * (1 - following / sigma))
                if self.fault == "slow"
                else following
            )
            x = x0.lerp(x, end / sigma)
            told = {"tells x": x, "tells late": x0 if before is None else before}
            before = x0
            x = yield Step(index, following, x, told.get(self.fault, x0))


class Drifts(Solver):
    """Step in native time by a share of the origin that is right, or is not."""

    share: float = Field(1.0, ge=0, description="of the drift towards the origin")

    _path: Any = None
    _origin: Any = None

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"path"})

    @property
    def order(self) -> int:
        return 1

    def along(self, path, origin):  # type: ignore[no-untyped-def]
        solver = self.model_copy()
        solver._path, solver._origin = path, origin
        return solver

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            (_, b), (a_end, b_end) = (
                self._path.coefficients(self._path.time(each)) for each in (sigma, following)
            )
            x = x0.lerp(x, following / sigma)
            if self._origin is not None and following > 0:
                x = x + (1 - self.share) * (b_end - b) / a_end * self._origin
            x = yield Step(index, following, x, x0)


class Chooses(Ancestral):
    """Break its order under one of its choices."""

    eta: float = Field(0.0, ge=0, le=0, description="none")
    form: Literal["good", "bad"] = Field("good", description="how it steps")

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            ratio = following / sigma
            x = x0.lerp(x, ratio if self.form == "good" else ratio**1.1)
            x = yield Step(index, following, x, x0)


def test_what_is_sound_passes(broken: Any) -> None:
    # Its options are faults, one of which nothing here may see.
    assert broken(Midway, **Midway().model_dump()) <= {"options"}
    assert broken(Ancestral, fault="none") == set()
    assert broken(Ancestral, fault="none", eta=0.0) == set()
    assert broken(Seldom, fault="none") == set()
    assert broken(Strange, fault="none") == set()
    assert broken(Drifts, share=1.0) <= {"options"}


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Midway, {"finish": False}, "steps"),
        (Midway, {"reach": False}, "reaches_zero"),
        (Midway, {"correct": False}, "order"),
        (Midway, {"claim": 3}, "order"),
        (Midway, {"in_place": True}, "pure"),
        (Midway, {"listen": False}, "send"),
        (Midway, {"extra": 1}, "nfe"),
        (Midway, {"below": True}, "nfe"),
        (Midway, {"wait": True}, "device"),
        (Midway, {"draw": True}, "noise"),
        (Midway, {"global_noise": True}, "pure"),
        (Midway, {"batch": True}, "batch"),
        (Midway, {"four_d": True}, "shapes"),
        (Chatty, {}, "repeatable"),
        (OnlyAnswers, {}, "loop"),
        (Ancestral, {"fault": "loud"}, "law"),
        (Ancestral, {"fault": "once"}, "law"),
        (Ancestral, {"fault": "twice"}, "law"),
        (Ancestral, {"fault": "backwards"}, "noise_steps"),
        (Ancestral, {"fault": "late"}, "noise_steps"),
        (Ancestral, {"fault": "floor"}, "bounds"),
        (Ancestral, {"fault": "ceiling"}, "bounds"),
        (Ancestral, {"fault": "once"}, "variance"),
        (Jumps, {"fault": "none"}, "noise_off"),
        (Idle, {"fault": "none"}, "options"),
        (Strange, {"fault": "tells x"}, "seen"),
        (Strange, {"fault": "tells late"}, "seen"),
        (Strange, {"fault": "clamps"}, "moved"),
        (Strange, {"fault": "bends"}, "moved"),
        (Strange, {"fault": "slow"}, "worth"),
        (Drifts, {"share": 0.5}, "drift"),
        (Chooses, {"fault": "none"}, "choices"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


class Follows(Midway):
    """Take Heun's step, and a fault."""

    fault: Literal["none", "tenth", "absolute", "rough"] = Field("none", description="what")

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        def other(x, sigma):  # type: ignore[no-untyped-def]
            if self.fault == "tenth":
                return denoise(x, sigma) * (1 - 0.1 / len(sigmas))
            if self.fault == "absolute":
                return denoise(x, sigma) * (1 - 0.01 / (1 + sigma**2))
            return (denoise(x, sigma) + 3e4) - 3e4

        return super().steps(denoise if self.fault == "none" else other, x, sigmas, noise)


class Absolute(Follows):
    """Have a constant in units of the data."""

    fault: Literal["none", "tenth", "absolute", "rough"] = Field("absolute", description="what")


class Extrapolates(Solver):
    """Continue the last slope of ln sigma, however far."""

    @property
    def order(self) -> int:
        return 1

    def steps(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        before = None
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            ahead = x0
            if before is not None and following:
                leap = math.log(following / sigma) / math.log(sigma / sigmas[index - 1])
                ahead = x0 + (x0 - before) * leap**2
            before = x0
            x = yield Step(index, following, ahead.lerp(x, following / sigma), x0)


def test_steps_of_any_size_and_unit(catch: Any) -> None:
    assert "claimed 2" in catch(Follows, "smooth", fault="tenth")
    assert "in units" in catch(Absolute, "units")
    assert "in two precisions" in catch(Follows, "precision", fault="rough")
    assert "Euler's" in catch(Extrapolates, "leaps")
