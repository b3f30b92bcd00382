"""Low-rank additions are what the paper says, and are gone once they are merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from kernel import UsageError
from kernel_plugins.wrappers.lora import Lora

Around = Callable[[Any, nn.Module], nn.Module]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 5, 3), nn.GroupNorm(1, 5), nn.Linear(6, 4))


def added(whole: nn.Module) -> list[str]:
    return [name for name, each in whole.named_parameters() if each.requires_grad]


def test_it_starts_as_the_network_and_trains_thin_matrices_alone(around: Around) -> None:
    x = torch.randn(2, 3, 8)
    before = network()(x)
    whole = around(Lora(rank=2), network())
    torch.testing.assert_close(whole(x), before, rtol=0, atol=0)
    assert [name.split(".")[0] for name in added(whole)] == ["0", "0", "2", "2"]
    shapes = [tuple(each.shape) for each in whole.parameters() if each.requires_grad]
    assert shapes == [(2, 9), (5, 2), (2, 6), (4, 2)]


def test_the_sum_is_that_of_the_paper(around: Around) -> None:
    whole = around(Lora(rank=2, alpha=3.0), nn.Linear(6, 4, bias=False))
    down, up = (each for each in whole.parameters() if each.requires_grad)
    with torch.no_grad():
        up.normal_()
    x = torch.randn(5, 6)
    frozen = next(each for each in whole.parameters() if not each.requires_grad)
    torch.testing.assert_close(whole(x), x @ frozen.T + 3 / 2 * (x @ down.T) @ up.T)


def test_a_merged_network_does_the_same_and_has_its_own_names(around: Around) -> None:
    whole = around(Lora(rank=2, alpha=4.0), network())
    with torch.no_grad():
        for each in whole.parameters():
            if each.requires_grad:
                each.normal_(std=0.3)
    x = torch.randn(2, 3, 8)
    before = whole(x)
    merged = Lora().merge(whole)
    torch.testing.assert_close(merged(x), before)
    assert merged.state_dict().keys() == network().state_dict().keys()
    assert type(merged.get_submodule("0")) is nn.Conv1d


def test_targets_choose_by_name_and_have_to_match(around: Around) -> None:
    whole = around(Lora(targets="^2$"), network())
    assert {name.split(".")[0] for name in added(whole)} == {"2"}
    with pytest.raises(UsageError, match=r"matches wrapper\.lora\.targets 'attention'; change"):
        around(Lora(targets="attention"), network())
    with pytest.raises(ValidationError, match="it is not a regular expression"):
        Lora(targets="(")


def test_only_what_it_added_is_merged() -> None:
    plain = network()
    assert Lora().merge(plain) is plain
