"""The kit's checks of a path and an origin pass what is sound and catch what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import pytest
import torch

from kernel import Preconditioning
from kernel_audio_testing._path import check_origin, check_path
from kernel_audio_testing._subject import Inapplicable, Violation
from kernel_plugins.mathematics.ouve import STANDARD, OrnsteinUhlenbeck
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.sb_ve import SbVe

NUMBERS = attrs.astuple(STANDARD)


@attrs.frozen
class Subject:
    """Makes one component, which is all that a check asks for."""

    kind: Any

    def make(self) -> Any:
        return self.kind()


def objective(process: OrnsteinUhlenbeck) -> type[Ouve]:
    """Return an objective with such a path."""

    class Altered(Ouve):
        @property
        def path(self) -> OrnsteinUhlenbeck:
            return process

    return Altered


@attrs.frozen
class Lost(OrnsteinUhlenbeck):
    """Does not come back from its time."""

    def sigma(self, time: Any) -> Any:
        return super().sigma(time) * 1.01


@attrs.frozen
class Backwards(OrnsteinUhlenbeck):
    """Lets time run from noise to data."""

    def time(self, sigma: Any) -> Any:
        return -super().time(sigma)


@attrs.frozen
class WrongRate(OrnsteinUhlenbeck):
    """Forgets that sigma is squared."""

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        a, b, variance = super().rates(time)
        return a, b, variance / (2 * self.sigma(time))


@attrs.frozen
class FloatsOnly(OrnsteinUhlenbeck):
    """Takes no tensors."""

    def time(self, sigma: Any) -> Any:
        return super().time(float(torch.as_tensor(sigma).max()))


@attrs.frozen
class Nameless(OrnsteinUhlenbeck):
    """Is of no process that a schedule could know."""

    name: ClassVar[str] = ""


@attrs.frozen
class OtherNumbers(OrnsteinUhlenbeck):
    """Says something else than the objective's options."""

    @property
    def numbers(self) -> Mapping[str, float]:
        return {**super().numbers, "theta": 1.0}


class Forgetful(Ouve):
    """Needs an origin and leaves it out."""

    def precondition(self, sigma: Any) -> Preconditioning:
        return attrs.evolve(super().precondition(sigma), c_origin=0.0)


class OnlyInTraining(Ouve):
    """Trains with the origin and samples without it."""

    def denoise(self, network, x, sigma, condition, origin=None):  # type: ignore[no-untyped-def]
        shown = origin if isinstance(sigma, torch.Tensor) else None
        return super().denoise(network, x, sigma, condition, shown)


@pytest.mark.parametrize("kind", [Ouve, SbVe])
def test_what_is_sound_passes(kind: Any) -> None:
    check_path(Subject(kind))  # type: ignore[arg-type]
    check_origin(Subject(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "kind", "sentence"),
    [
        (
            check_path,
            objective(Lost(*NUMBERS)),
            r"the time at sigma 0.001 is that of the sigma 0.00101",
        ),
        (check_path, objective(Backwards(*NUMBERS)), r"the time at sigma 0.001 is -.*, after 0"),
        (
            check_path,
            objective(WrongRate(*NUMBERS)),
            r"the rate of sigma\^2 at sigma .* but it changes by",
        ),
        (check_path, objective(FloatsOnly(*NUMBERS)), r"the time of a tensor is a float"),
        (check_path, objective(Nameless(*NUMBERS)), r"the path has no name"),
        (
            check_path,
            objective(OtherNumbers(*NUMBERS)),
            r"number theta is 1.0, but .* option is 1.5",
        ),
        (check_origin, Forgetful, r"it needs an origin and makes no use of it"),
        (check_origin, OnlyInTraining, r"the network's input in training and in sampling at"),
    ],
)
def test_what_is_broken_is_caught(check: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(Violation, match=sentence):
        check(Subject(kind))


@pytest.mark.parametrize("check", [check_path, check_origin])
def test_an_objective_without_them_is_left_alone(check: Any) -> None:
    with pytest.raises(Inapplicable, match="no native time|no origin"):
        check(Subject(Edm))
