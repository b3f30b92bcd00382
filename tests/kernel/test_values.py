"""Conditions of any length: padded, masked, dropped, and prepared with an origin of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Condition, ConditionSpec, LatentSpec, Prepared


def prompt(length: int, batch: int = 1, masked: bool = False, value: float = 1.0) -> Condition:
    mask = torch.ones(batch, length, dtype=torch.bool) if masked else None
    return Condition(sequence=torch.full((batch, length, 2), value), mask=mask)


@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True), (False, False)])
def test_sequences_are_padded_to_the_longest_and_masked(masked: tuple[bool, bool]) -> None:
    short, long = prompt(2, masked=masked[0]), prompt(5, batch=2, masked=masked[1])
    both = Condition.cat([short, long])
    assert both.sequence is not None and both.mask is not None
    assert both.sequence.shape == (3, 5, 2)
    assert both.mask.tolist() == [[True] * 2 + [False] * 3, [True] * 5, [True] * 5]
    assert both.sequence.ne(0).any(-1).equal(both.mask)


def test_a_mask_is_made_where_another_has_one_and_says_nothing_of_the_null_condition() -> None:
    both = Condition.cat([prompt(3, masked=True), prompt(3).dropped()])
    assert both.mask is not None and both.mask.tolist() == [[True] * 3, [False] * 3]


def test_sequences_of_one_length_without_masks_need_none() -> None:
    assert Condition.cat([prompt(3), prompt(3)]).mask is None


def test_a_part_that_only_some_have_is_refused() -> None:
    with pytest.raises(ValueError, match="have the part 'vector' and some have not"):
        Condition.cat([prompt(2), Condition(vector=torch.ones(1, 2))])


@pytest.mark.parametrize(
    "null", [Condition.dropped, lambda each: each.drop(torch.tensor([True]))], ids=["all", "one"]
)
def test_what_is_dropped_keeps_its_origin_and_its_length(null: Any) -> None:
    origin, moved, valid = torch.ones(1, 1, 4), torch.ones(1, 1, 4), torch.ones(1, 4).bool()
    found = null(Condition(torch.ones(1, 2), torch.ones(1, 3, 2), None, None, origin, valid, moved))
    assert not found.vector.any() and not found.sequence.any()
    assert (found.origin, found.valid, found.moved) == (origin, valid, moved)


def test_the_latents_channels_take_the_place_of_their_name() -> None:
    spec = ConditionSpec(vector=3, aligned=ConditionSpec.LATENT, origin=ConditionSpec.LATENT)
    assert spec.of(LatentSpec(6, (8,))) == ConditionSpec(vector=3, aligned=6, origin=6)
    assert not ConditionSpec(origin=2)


@pytest.mark.parametrize("own", [None, torch.zeros(1, 1, 4)])
def test_an_origin_that_is_prepared_takes_the_place_of_the_conditions(own: Tensor | None) -> None:
    condition, tree = Condition(origin=torch.ones(1, 1, 4)), {"keys": torch.ones(1)}
    assert Prepared.of(tree, condition).origin is condition.origin
    made = Prepared.of(Prepared(tree, own), condition)
    assert made.tree is tree
    assert made.origin is (condition.origin if own is None else own)
