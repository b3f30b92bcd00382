from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import LatentSpace, Task, UsageError, Window
from kernel_plugins.mathematics.losses import bce
from kernel_plugins.tasks.classify import Classify

RATE = 8000


def classify(**options: object) -> Classify:
    given = {"sample_rate": RATE, "seconds": 0.01, "encoder": "three", "target": 1, **options}
    return Classify.model_validate(given)


def three(audio: Tensor, sample_rate: int) -> Tensor:
    """Return three logits: the first samples of the first channel."""
    assert sample_rate == RATE
    return audio[:, 0, :3]


def measured(task: Classify, space: LatentSpace, count: int = 2):  # type: ignore[no-untyped-def]
    heard = attrs.evolve(space, encoder=lambda spelling: three)
    return task.measure([Window(task.samples)] * count, heard)


def test_new_sounds_are_numbered() -> None:
    requests = classify().requests([], 2)
    assert [(each.name, each.window.samples) for each in requests] == [("00", 80), ("01", 80)]


def test_a_class_has_the_probability_one(space: Callable[[Task], LatentSpace]) -> None:
    known = measured(classify(), space(classify()))
    assert known.target.tolist() == [[0, 1, 0]] * 2
    assert known.project is None
    x0 = torch.zeros(2, 1, 80)
    x0[0, 0, 1] = 30
    distance = known.distance(known.operator(x0), known.target)
    third = -(math.log(1 / 3) + 2 * math.log(2 / 3))
    assert distance.tolist() == pytest.approx([0, third], abs=1e-4)


def test_probabilities_of_several_classes_may_be_named(
    space: Callable[[Task], LatentSpace],
) -> None:
    task = classify(target=(0.5, 0.0, 1.0), exclusive=False)
    known = measured(task, space(task))
    assert known.target.tolist() == [[0.5, 0, 1]] * 2
    x0 = torch.zeros(2, 1, 80)
    assert known.operator(x0).tolist() == [[0.5, 0.5, 0.5]] * 2


def test_the_gradient_leads_to_the_class(space: Callable[[Task], LatentSpace]) -> None:
    known = measured(classify(), space(classify()), 1)
    x0 = torch.zeros(1, 1, 80, requires_grad=True)
    loss = known.distance(known.operator(x0), known.target).sum()
    (gradient,) = torch.autograd.grad(loss, x0)
    assert gradient[0, 0, 1] < 0 < gradient[0, 0, 0]


def test_cross_entropy_is_least_at_the_target_and_finite_where_certain() -> None:
    target = torch.tensor([[0.3, 0.9, 0.0]], dtype=torch.float64)
    predicted = target.clone().clamp(1e-4, 1 - 1e-4).requires_grad_()
    (gradient,) = torch.autograd.grad(bce(predicted, target).sum(), predicted)
    assert gradient[0, :2].abs().max() < 1e-4
    assert bce(1 - target.round(), target.round()).isfinite().all()


@pytest.mark.parametrize(
    ("target", "asked"), [(3, "class 3"), ((0.5, 0.5), "2 of them"), ((1.0,) * 4, "4 of them")]
)
def test_a_target_that_the_classifier_does_not_have_is_refused(
    target: object, asked: str, space: Callable[[Task], LatentSpace]
) -> None:
    task = classify(target=target)
    with pytest.raises(UsageError, match=rf"three knows 3 classes, .*the target is {asked}"):
        measured(task, space(task))


@pytest.mark.parametrize(
    ("target", "message"), [(-1, "counted from 0"), ((0.5, 1.5), "between 0 and 1")]
)
def test_an_impossible_target_is_refused(target: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        classify(target=target)


def test_a_target_has_to_be_named() -> None:
    with pytest.raises(UsageError, match=r"has no class to make; set -o task.target=N"):
        classify(target=None).requests([], 1)


def test_input_files_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'classify' takes no input files and got a.wav"):
        classify().requests([Path("a.wav")], 1)


def test_an_encoder_has_to_be_named() -> None:
    with pytest.raises(UsageError, match=r"needs an encoder and none is named"):
        classify(encoder=None).requests([], 1)
