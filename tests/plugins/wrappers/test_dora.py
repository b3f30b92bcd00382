"""Magnitudes and directions are what the paper says, and are gone once they are merged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from kernel import UsageError
from kernel_plugins.wrappers.dora import Dora

Around = Callable[[Any, nn.Module], nn.Module]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 5, 3), nn.GroupNorm(1, 5), nn.Linear(6, 4)).double()


def added(whole: nn.Module) -> dict[str, nn.Parameter]:
    return {name: each for name, each in whole.named_parameters() if each.requires_grad}


def moved(whole: nn.Module) -> nn.Module:
    """Change all that is trained."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in added(whole).values():
            each.add_(torch.randn(each.shape, generator=draws, dtype=each.dtype), alpha=0.3)
    return whole


def by_hand(weight: Tensor, magnitude: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Return the weight of eq. 5, one row at a time. weight: [out, in, ...]."""
    rows = []
    for row, size, left in zip(weight, magnitude, up, strict=True):
        direction = row.flatten() + scale * sum(a * b for a, b in zip(left, down, strict=True))
        rows.append(size * direction / direction.square().sum().sqrt())
    return torch.stack(rows).view_as(weight)


def test_it_starts_as_the_network_to_the_bit(around: Around) -> None:
    x = torch.randn(2, 3, 8).double()
    before = network()(x)
    torch.testing.assert_close(around(Dora(rank=2), network())(x), before, rtol=0, atol=0)


def test_magnitudes_and_thin_matrices_alone_are_trained(around: Around) -> None:
    whole = around(Dora(rank=2), network())
    shapes = {name.replace(".parametrizations", ""): each for name, each in added(whole).items()}
    assert {name: tuple(each.shape) for name, each in shapes.items()} == {
        "0.weight.0.down": (2, 9),
        "0.weight.0.up": (5, 2),
        "0.weight.0.magnitude": (5,),
        "2.weight.0.down": (2, 6),
        "2.weight.0.up": (4, 2),
        "2.weight.0.magnitude": (4,),
    }


@pytest.mark.parametrize("index", [0, 2])
def test_the_weight_is_that_of_the_paper(around: Around, index: int) -> None:
    plain = network().get_submodule(str(index))
    assert isinstance(plain.weight, Tensor)
    whole = moved(around(Dora(rank=2, alpha=3.0), copy.deepcopy(plain)))
    parts = {name.rpartition(".")[2]: each.detach() for name, each in added(whole).items()}
    wanted = by_hand(plain.weight.detach(), scale=3 / 2, **parts)
    assert not torch.allclose(wanted, plain.weight)
    torch.testing.assert_close(whole.weight, wanted)


def test_the_norm_is_a_constant_of_the_gradient(around: Around) -> None:
    """Section 4.3: the gradient of a direction is that of W', times m / norm, through B A alone."""
    whole = moved(around(Dora(rank=2), nn.Linear(6, 4, bias=False).double()))
    parts = {name.rpartition(".")[2]: each for name, each in added(whole).items()}
    frozen = next(each for each in whole.parameters() if not each.requires_grad)
    direction = (frozen + parts["up"] @ parts["down"]).detach()
    norm = direction.norm(dim=1, keepdim=True)
    assert isinstance(whole.weight, Tensor)
    slope = torch.randn(4, 6).double()
    found = torch.autograd.grad((whole.weight * slope).sum(), list(parts.values()))
    by_name = dict(zip(parts, found, strict=True))
    through = slope * parts["magnitude"].detach()[:, None] / norm
    torch.testing.assert_close(by_name["up"], through @ parts["down"].detach().T)
    torch.testing.assert_close(by_name["down"], parts["up"].detach().T @ through)
    torch.testing.assert_close(by_name["magnitude"], (slope * direction / norm).sum(1))


def test_a_merged_network_is_the_wrapped_one_and_has_its_own_names(around: Around) -> None:
    whole = moved(around(Dora(rank=2, alpha=4.0), network()))
    x = torch.randn(2, 3, 8).double()
    before = whole(x)
    merged = Dora().merge(whole)
    torch.testing.assert_close(merged(x), before, rtol=0, atol=0)
    assert merged.state_dict().keys() == network().state_dict().keys()
    assert type(merged.get_submodule("0")) is nn.Conv1d


def test_a_row_of_zeros_stays_zero_at_first_and_learns(around: Around) -> None:
    """The last layer of many networks starts at zero, where a direction has no norm."""
    layer = nn.Linear(6, 4, bias=False)
    nn.init.zeros_(layer.weight)
    whole = around(Dora(rank=2), layer)
    x, wanted = torch.randn(32, 6), torch.randn(32, 4)
    assert not whole(x).any()
    optimizer = torch.optim.Adam(added(whole).values(), 0.05)
    losses = []
    for _ in range(100):
        loss = (whole(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_targets_choose_by_name_and_have_to_match(around: Around) -> None:
    whole = around(Dora(targets="^2$"), network())
    assert {name.split(".")[0] for name in added(whole)} == {"2"}
    with pytest.raises(UsageError, match=r"matches wrapper\.dora\.targets 'attention'; change"):
        around(Dora(targets="attention"), network())
    with pytest.raises(ValidationError, match="it is not a regular expression"):
        Dora(targets="(")
