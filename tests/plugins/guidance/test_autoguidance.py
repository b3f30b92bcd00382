"""Autoguidance between two Gaussians, the weaker model's being wider."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Condition, Context, GuidedDenoise, UsageError
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.guidance import autoguidance
from kernel_plugins.guidance.autoguidance import Autoguidance

X = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CONDITION = Condition(vector=torch.eye(3, dtype=torch.float64))
MODELS = {"": (0.0, 1.0), "weak": (0.5, 2.0)}


class Model:
    """A Gaussian whose mean the condition moves; counts its calls."""

    def __init__(self, name: str) -> None:
        mean, std = (torch.tensor(each, dtype=torch.float64) for each in MODELS[name])
        self.data, self.told = Gaussian(mean, std), list[Condition]()

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        self.told.append(condition)
        assert condition.vector is not None
        shift = condition.vector.argmax(1).view(-1, 1, 1)
        return self.data.denoise(x - shift, sigma) + shift


def wrap(own: Model, weak: Model | None = None, **options: Any) -> GuidedDenoise:
    weak = weak or Model("weak")

    def model(name: str) -> Model:
        assert name == "early"
        return weak

    guidance = Autoguidance(model="early", **options)
    return guidance.wrap(own, Context(CONDITION, (1.0, 0.0), model=model))


def test_is_offered() -> None:
    assert autoguidance.guidance() is Autoguidance


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 3.5])
def test_equals_the_formula(scale: float) -> None:
    found = wrap(Model(""), guidance_scale=scale)(X, 0.7, CONDITION)
    own, weak = Model("")(X, 0.7, CONDITION), Model("weak")(X, 0.7, CONDITION)
    torch.testing.assert_close(found, weak + scale * (own - weak))


def test_both_models_are_told_the_condition_of_the_call() -> None:
    own, weak = Model(""), Model("weak")
    guided = wrap(own, weak)
    other = CONDITION.map(lambda part: part.flip(0))
    for condition in (CONDITION, other):
        guided(X, 0.7, condition)
    assert own.told == weak.told == [CONDITION, other]


@pytest.mark.parametrize(("sigma", "calls"), [(0.2, 0), (0.3, 1), (2.0, 1), (2.1, 0)])
def test_outside_the_interval_the_weaker_model_is_not_asked(sigma: float, calls: int) -> None:
    weak = Model("weak")
    found = wrap(Model(""), weak, sigma_low=0.2, sigma_high=2.0)(X, sigma, CONDITION)
    assert len(weak.told) == calls
    assert found.equal(Model("")(X, sigma, CONDITION)) == (not calls)


def test_scale_one_is_the_denoiser_itself() -> None:
    own = Model("")
    assert wrap(own, guidance_scale=1.0) is own


def test_gradients_pass_through_both_models() -> None:
    x = X.clone().requires_grad_()
    wrap(Model(""), guidance_scale=2.0)(x, 1.0, CONDITION).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 2 * 1 / 2 - 4 / 5))


@pytest.mark.parametrize("model", [None, "early"])
def test_a_run_without_a_weaker_model_says_what_to_name(model: str | None) -> None:
    context = Context(CONDITION, (1.0, 0.0))
    with pytest.raises(UsageError, match=r"set -o guidance.autoguidance.model to a model's name"):
        Autoguidance(model=model).wrap(Model(""), context)
