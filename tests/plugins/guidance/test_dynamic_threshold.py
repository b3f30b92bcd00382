"""Dynamic thresholding of estimates whose quantiles are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Condition, Context
from kernel_plugins.guidance import dynamic_threshold
from kernel_plugins.guidance.dynamic_threshold import DynamicThreshold

SIGMA_DATA = 0.5


def limited(x0: Tensor, **options: Any) -> Tensor:
    """Return an estimate after thresholding; the state is of no interest."""
    context = Context(Condition(), (1.0, 0.0), sigma_data=SIGMA_DATA)
    guidance = DynamicThreshold(**options)
    return guidance.wrap(lambda *_: x0, context)(torch.zeros_like(x0), 0.7, Condition())


def ramp(largest: float) -> Tensor:
    """Return 200 values in [1, 2, 100] whose sizes are the multiples of largest / 200."""
    sizes = torch.arange(1, 201, dtype=torch.float64) * largest / 200
    return (sizes * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(100)).view(1, 2, 100)


def test_is_offered_as_the_last_of_all_stages() -> None:
    assert dynamic_threshold.guidance() is DynamicThreshold
    assert DynamicThreshold.stage == "limit"


def test_what_stays_within_the_limit_is_left_as_it_is() -> None:
    x0 = ramp(4.0 * SIGMA_DATA)
    assert limited(x0, limit=4.0).equal(x0)


def test_few_large_values_are_clamped_at_the_limit() -> None:
    """The limit is 2, above which are 10 of 200 values; the quantile 0.9 is below."""
    x0 = ramp(2 * 200 / 190)
    assert limited(x0, limit=4.0, quantile=0.9).equal(x0.clamp(-2, 2))


@pytest.mark.parametrize("quantile", [0.5, 0.9, 1.0])
def test_many_large_values_turn_the_whole_item_down(quantile: float) -> None:
    x0 = ramp(40.0)
    threshold = 40.0 * quantile
    expected = x0.clamp(-threshold, threshold) * 2 / threshold
    torch.testing.assert_close(limited(x0, limit=4.0, quantile=quantile), expected)


def test_every_item_has_its_own_threshold() -> None:
    items = [ramp(40.0), ramp(1.0), ramp(7.0)]
    together = limited(torch.cat(items), limit=4.0)
    for item, alone in zip(together, items, strict=True):
        assert item.equal(limited(alone, limit=4.0)[0])
    assert together[1].equal(items[1][0])


def test_nothing_given_is_changed() -> None:
    x0 = ramp(40.0)
    limited(x0)
    assert x0.equal(ramp(40.0))
