"""The checks of objectives catch what they are there to catch."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
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


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Good) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (VarianceForSigma, {}, "target_scale"),
        (SigmaSquaredInTraining, {}, "training_as_sampling"),
        (Waits, {}, "device"),
        (InPlace, {}, "pure"),
        (NoNoiseLevel, {}, "noise_level"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)
