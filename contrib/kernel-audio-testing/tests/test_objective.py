"""The checks of objectives catch what they are there to catch."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from pydantic import Field
from torch import Tensor

from kernel import Objective, Preconditioning


class Good(Objective):
    """Predict x0 and noise as Karras et al."""

    def precondition(self, sigma: Any) -> Preconditioning:
        total = sigma**2 + 1
        log = sigma.log() if isinstance(sigma, Tensor) else torch.tensor(sigma).log().item()
        return Preconditioning(1 / total, sigma * total**-0.5, total**-0.5, log)


class VarianceForSigma(Good):
    """Take sigma squared where sigma is meant."""

    def precondition(self, sigma: Any) -> Preconditioning:
        return super().precondition(sigma**2)


class SigmaSquaredInTraining(Good):
    """Read a batch of sigmas in another way than one."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        squared = sigma**2 if isinstance(sigma, Tensor) else sigma
        return super().denoise(network, x, squared, condition)


class Waits(Good):
    """Look at x on the host."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        scale = 1.0 if bool(x.isfinite().all()) else 0.0
        return scale * super().denoise(network, x, sigma, condition)


class InPlace(Good):
    """Overwrite x."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        estimate = super().denoise(network, x, sigma, condition)
        x.mul_(2)
        return estimate


class NoNoiseLevel(Good):
    """Fold the noise level, so that two of them look the same."""

    def precondition(self, sigma: Any) -> Preconditioning:
        scale = super().precondition(sigma)
        return attrs.evolve(scale, c_noise=scale.c_noise**2)


@attrs.frozen
class Line:
    """The path (1 - t) x0 + t y + t n, with numbers that break it."""

    slip: float = 0.0
    rate: float = 1.0
    name: str = "line"

    @property
    def numbers(self) -> dict[str, float]:
        return {}

    def time(self, sigma: Any) -> Any:
        return sigma / (1 + sigma)

    def sigma(self, time: Any) -> Any:
        return time / (1 - time) * (1 + self.slip)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        return 1 - time, time

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        return -1.0, 1.0, 2 * self.rate * time / (1 - time) ** 3


class Native(Objective):
    """Predict the noise of the path, from options that break it."""

    slip: float = Field(0.0, description="error of sigma")
    rate: float = Field(1.0, description="error of the rate of sigma^2")
    c_in: float = Field(1.0, description="error of x in the input")
    c_origin: float = Field(1.0, description="error of y in the input")
    power: float = Field(1.0, description="of the time that the network is told")
    starts: float = Field(1.0, description="error of the start")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"origin"})

    @property
    def path(self) -> Line:
        return Line(self.slip, self.rate)

    def start(self, sigma: float) -> float:
        return sigma * self.starts

    def precondition(self, sigma: Any) -> Preconditioning:
        time = sigma / (1 + sigma)
        c_in = (1 - time) ** self.c_in
        return Preconditioning(1.0, -sigma, c_in, time**self.power, self.c_origin * time)


class Idle(Good):
    """Have an option that does nothing."""

    theta: float = Field(1.0, description="nothing")


class OneScale(Good):
    """Be right for one sigma_data alone."""

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Good, sigma_data=1.0) == set()
    assert broken(Native, **Native().model_dump()) <= {"options"}


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (VarianceForSigma, {}, "target_scale"),
        (SigmaSquaredInTraining, {}, "training_as_sampling"),
        (Waits, {}, "device"),
        (InPlace, {}, "pure"),
        (NoNoiseLevel, {}, "noise_level"),
        (Native, {"slip": 1e-5}, "path"),
        (Native, {"rate": 1.001}, "path"),
        (Native, {"c_in": 1.1}, "native"),
        (Native, {"c_origin": 1.01}, "native"),
        (Native, {"power": 2.0}, "native"),
        (Native, {"starts": 0.9}, "start"),
        (Idle, {}, "options"),
        (OneScale, {}, "values"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


class Twice(Good):
    """Evaluate the network two times."""

    def denoise(self, network, x, sigma, condition, origin=None):  # type: ignore[no-untyped-def]
        super().denoise(network, x, sigma, condition)
        return super().denoise(network, x, sigma, condition)


class Untold(Good):
    """Leave the condition out."""

    def denoise(self, network, x, sigma, condition, origin=None):  # type: ignore[no-untyped-def]
        return super().denoise(network, x, sigma, None)


class Cancels(Good):
    """Lose the digits of float32 in a difference."""

    def denoise(self, network, x, sigma, condition, origin=None):  # type: ignore[no-untyped-def]
        return super().denoise(network, (x + 1e5) - 1e5, sigma, condition)


class Hears(Good):
    """Give the network an origin that nobody is asked for."""

    def precondition(self, sigma: Any) -> Preconditioning:
        return attrs.evolve(super().precondition(sigma), c_origin=1.0)


@attrs.frozen
class Fast(Line):
    """A line that is followed at another speed, which it does not tell of."""

    speed: float = 1.0

    def time(self, sigma: Any) -> Any:
        return self.speed * super().time(sigma)


class Secret(Good):
    """Have an option of the process that is none of the path's numbers."""

    speed: float = Field(1.0, gt=0, description="how fast time goes")

    @property
    def path(self) -> Any:
        return Fast(speed=self.speed)


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Twice, "handed", "D takes 2 evaluations"),
        (Untold, "handed", "another condition"),
        (Cancels, "precision", "in two precisions"),
        (Hears, "origin", "which it does not need"),
        (Secret, "numbers", "the option speed changes the path"),
    ],
)
def test_what_the_network_is_handed(component: Any, check: str, message: str, catch: Any) -> None:
    assert message in catch(component, check)
