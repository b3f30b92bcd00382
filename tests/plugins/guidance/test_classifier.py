"""Classifier guidance with a classifier whose gradient is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import AudioSpec, Condition, Context, LatentSpace, LatentSpec, UsageError
from kernel.runner.guide import guided
from kernel_audio_testing.exact import Gaussian, Mixture
from kernel_plugins.guidance import classifier
from kernel_plugins.guidance.classifier import Classifier
from kernel_plugins.solvers.heun import Heun

SIGMA_DATA = 0.5
X = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
WEIGHTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
GAUSSIAN = Gaussian(torch.tensor(0.0), torch.tensor(SIGMA_DATA))


def linear(audio: Tensor, sample_rate: int) -> Tensor:
    assert sample_rate == 8000 and audio.shape[1:] == (1, 8)
    return audio.flatten(1) @ WEIGHTS


def context(encoder: Any = linear, size: tuple[int, ...] = (2, 4)) -> Context:
    samples = torch.Size(size).numel()
    space = LatentSpace(
        AudioSpec(8000),
        samples,
        LatentSpec(size[0], size[1:]),
        lambda audio: audio.reshape(-1, *size) * SIGMA_DATA,
        lambda x0, length: x0.reshape(-1, 1, samples)[..., :length] / SIGMA_DATA,
        lambda spelling: {"linear": encoder}[spelling],
        torch.float64,
        torch.device("cpu"),
    )
    return Context(Condition(), (1.0, 0.0), sigma_data=SIGMA_DATA, space=space)


def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
    return GAUSSIAN.denoise(x, sigma)


def added(sigma: float, encoder: Any = linear, **options: Any) -> Tensor:
    guidance = Classifier(encoder="linear", **options)
    found = guided(denoise, {"classifier": guidance}, context(encoder))(X, sigma, Condition())
    return found - GAUSSIAN.denoise(X, sigma)


def test_is_offered() -> None:
    assert classifier.guidance() is Classifier
    assert Classifier().needs == {"gradient"}


@pytest.mark.parametrize("on", ["x0", "x"])
@pytest.mark.parametrize("sigma", [0.1, 3.0])
def test_equals_the_formula(on: str, sigma: float) -> None:
    """The gradient of log softmax(W audio)_k is W_k - sum_j p_j W_j, by the chain rule."""
    shrink = SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2) if on == "x0" else 1.0
    audio = shrink * X.flatten(1) / SIGMA_DATA
    chances = (audio @ WEIGHTS).softmax(1)
    gradient = (WEIGHTS[:, 2] - chances @ WEIGHTS.T) * shrink / SIGMA_DATA
    expected = 1.7 * sigma**2 * gradient.view_as(X)
    torch.testing.assert_close(added(sigma, on=on, target=2, scale=1.7), expected)


def test_without_weight_nothing_changes() -> None:
    assert not added(1.0, scale=0.0).any()


def test_bayes_rule_picks_a_component_of_a_mixture() -> None:
    """p(x) times p(k | x), with the exact chances of the noisy state, is component k."""
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1)
    stds = torch.full((2,), 0.3, dtype=torch.float64)
    mixture = Mixture(means, stds, torch.tensor([0.7, 0.3], dtype=torch.float64))
    sigmas = [20 * (1 - i / 40) ** 3 for i in range(41)]
    reached = sigmas[0]

    def ears(audio: Tensor, sample_rate: int) -> Tensor:
        offsets = (audio.flatten(1) * SIGMA_DATA - means.flatten()).square()
        return mixture.weights.log() - offsets / (2 * (0.3**2 + reached**2))

    def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        nonlocal reached
        reached = sigma
        return mixture.denoise(x, sigma)

    guidance = Classifier(encoder="linear", target=1, on="x")
    estimate = guided(denoise, {"classifier": guidance}, context(ears, (1, 1)))
    draws = torch.Generator().manual_seed(0)
    x = sigmas[0] * torch.randn(2000, 1, 1, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        steps = Heun().trajectory(
            lambda x, sigma: estimate(x, sigma, Condition()), x, sigmas, lambda *_: x
        )
        step = next(steps)
        while step.sigma:
            step = steps.send(step.x)
    assert float(step.x.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(step.x.std()) == pytest.approx(0.3, abs=0.03)


def test_without_a_classifier_it_says_what_to_name() -> None:
    with pytest.raises(UsageError, match=r"set -o guidance.classifier.encoder=NAME"):
        guided(denoise, {"c": Classifier()}, context())(X, 1.0, Condition())


def test_a_class_that_it_does_not_know_is_named() -> None:
    sentence = r"needs the logit of class 3 for 3 sounds and linear returned the shape \(3, 3\)"
    with pytest.raises(UsageError, match=sentence):
        added(1.0, target=3)


def test_the_encoder_is_declared() -> None:
    assert Classifier().encoders == ()
    assert Classifier(encoder="digits").encoders == ("digits",)
