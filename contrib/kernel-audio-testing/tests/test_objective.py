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
    """Train at another noise level than it samples at."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma**2, noise, condition, mask)


class LossPerBatch(Good):
    """Divide the loss by the batch size."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition, mask) / len(x0)


class LossIgnoresMask(Good):
    """Count the padding."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition)


class LossCountsPadding(Good):
    """Leave the padding out of the sum, but not out of what it is divided by."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        mean = super().loss(network, x0, sigma, noise, condition, mask)
        return mean if mask is None else mean * mask.mean((1, 2))


class LossSum(Good):
    """Add where a mean is meant."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition, mask) * x0[0].numel()


class ClampedInTraining(Good):
    """Clamp what the network returns, in training only."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        def clamped(*arguments: Any) -> Tensor:
            return network(*arguments).clamp(-1, 1)

        return super().loss(clamped, x0, sigma, noise, condition, mask)


class RootOfLoss(Good):
    """Take the root of each item's mean squared error."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition, mask).sqrt()


class Waits(Good):
    """Look at x on the host."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        scale = 1.0 if bool(x.isfinite().all()) else 0.0
        return scale * super().denoise(network, x, sigma, condition)


class InPlace(Good):
    """Overwrite x."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        scale = self.precondition(sigma)
        prediction = network(x * scale.c_in, x.new_full((len(x),), scale.c_noise), condition)
        return x.mul_(scale.c_skip) + prediction * scale.c_out


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
        (LossPerBatch, {}, "loss_batch"),
        (LossIgnoresMask, {}, "loss_mask"),
        (LossCountsPadding, {}, "loss_mask"),
        (LossSum, {}, "loss_length"),
        (ClampedInTraining, {}, "loss_zero"),
        (RootOfLoss, {}, "gaussian"),
        (Waits, {}, "device"),
        (InPlace, {}, "pure"),
        (NoNoiseLevel, {}, "noise_level"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)
