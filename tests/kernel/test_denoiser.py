"""The denoiser: what it prepares and keeps, origins that a network moves, two times."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import Backbone, Condition, Prepared
from kernel.denoiser import Denoiser, Routed, prepare
from kernel.errors import MisfitError
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.ouve import Ouve


class Plain(nn.Module):
    """A network that returns its input and keeps what it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[tuple[Tensor, Tensor, Any]] = []
        self.prepared = 0

    def prepare(self, condition: Condition) -> Any:
        self.prepared += 1
        return [condition.vector]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        self.handed.append((x, c_noise, condition))
        return x


class Predicting(Plain):
    """A network that predicts the origin from the aligned part, times a gain."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def prepare(self, condition: Condition) -> Any:
        self.prepared += 1
        assert condition.aligned is not None
        return Prepared(None, self.gain * condition.aligned)


class Masking(Backbone):
    masks = True


class TwoTimes(Masking):
    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"two-times"})


class Even(Backbone):
    pass


X = torch.ones(2, 1, 4)


def noisy() -> Condition:
    return Condition(aligned=torch.arange(8.0).view(2, 1, 4))


def test_a_condition_is_prepared_once_and_forgotten_with_its_batch() -> None:
    module = Plain()
    denoise = Denoiser(Edm(), module)
    condition = Condition(vector=torch.ones(2, 3))
    for sigma in (2.0, 1.0):
        denoise(X, sigma, condition)
    assert module.prepared == 1
    module.handed.clear()
    assert condition.vector is not None
    gone = weakref.ref(condition.vector)
    del condition
    gc.collect()
    assert gone() is None


def test_an_origin_that_is_predicted_is_the_processs_in_every_branch() -> None:
    module, condition = Predicting(), noisy()
    denoise = Denoiser(Ouve(), module)
    settled = denoise.settled(condition)
    assert settled.moved is not None and settled.moved.equal(noisy().aligned)
    denoise(X, 1.0, settled)
    assert module.prepared == 1
    both = Condition.cat([settled, settled.dropped()])
    denoise(X.repeat(2, 1, 1), 1.0, both)
    told, null = module.handed[-1][0].chunk(2)
    assert told.equal(null) and told.equal(module.handed[0][0])
    assert not told.equal(X * Ouve().precondition(1.0).c_in)


def test_a_condition_whose_origin_stays_is_settled_already() -> None:
    condition = Condition(vector=torch.ones(2, 3), origin=X)
    assert Denoiser(Edm(), Plain()).settled(condition) is condition


def test_every_model_moves_the_origins_of_its_own_items() -> None:
    routed = Routed((None, "b"), lambda name: Denoiser(Edm(), Predicting(3.0 if name else 1.0)))
    moved = routed.settled(noisy(), X).moved
    assert moved is not None
    assert moved.equal(torch.arange(8.0).view(2, 1, 4) * torch.tensor([1.0, 3.0]).view(2, 1, 1))


def test_the_gradient_flows_through_an_origin_that_is_predicted() -> None:
    module = Predicting()
    given = prepare(module, noisy(), Masking())
    found = Ouve().denoise(module, X, torch.ones(2), given.tree, given.origin)
    found.square().sum().backward()  # type: ignore[no-untyped-call]
    assert module.gain.grad is not None and module.gain.grad != 0


@pytest.mark.parametrize(("backbone", "shape"), [(Masking(), (2,)), (TwoTimes(), (2, 2))])
def test_the_second_of_two_times_is_zero(backbone: Backbone, shape: tuple[int, ...]) -> None:
    module = Plain()
    Denoiser(Edm(), module, backbone=backbone)(X, 2.0, Condition())
    c_noise = module.handed[0][1]
    assert c_noise.shape == shape
    assert not c_noise[:, 1:].any() if len(shape) == 2 else c_noise.all()


PADDED = {
    "valid": Condition(valid=torch.tensor([[True, False]])),
    "mask": Condition(sequence=torch.ones(1, 2, 3), mask=torch.tensor([[True, False]])),
}


@pytest.mark.parametrize("name", PADDED)
def test_a_backbone_that_cannot_mask_refuses_unequal_lengths(name: str) -> None:
    prepare(Plain(), PADDED[name], Masking())
    with pytest.raises(MisfitError, match="backbone Even cannot mask, .* choose a backbone that m"):
        prepare(Plain(), PADDED[name], Even())


def test_a_backbone_that_cannot_mask_takes_equal_lengths_and_the_null_condition() -> None:
    seen: list[Condition] = []

    class Watched(Plain):
        def prepare(self, condition: Condition) -> None:
            seen.append(condition)

    mask = torch.tensor([[True, True], [False, False]])
    prepare(Watched(), Condition(valid=torch.ones(2, 4).bool(), mask=mask), Even())
    assert seen[0].valid is None and seen[0].mask is mask
