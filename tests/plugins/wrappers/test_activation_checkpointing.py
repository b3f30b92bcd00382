"""Blocks are computed again in the backward pass, and the gradients stay the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernel import Condition, ConditionSpec, LatentSpec, UsageError
from kernel_plugins.backbones.dit import Dit
from kernel_plugins.backbones.unet import Unet
from kernel_plugins.wrappers.activation_checkpointing import ActivationCheckpointing
from kernel_plugins.wrappers.lora import Lora

Around = Callable[[Any, nn.Module], nn.Module]

SPEC = ConditionSpec(vector=3, sequence=5, aligned=2)
BACKBONES = {
    "dit": Dit(width=48, depth=3, heads=2, dropout=0.2),
    "unet": Unet(width=16, blocks=1, dropout=0.2),
}


def network(name: str, **options: Any) -> Any:
    """Return a network in float64 with no weight at zero."""
    torch.manual_seed(0)
    backbone: Any = BACKBONES[name].model_copy(update=options)
    built = backbone.build(LatentSpec(4, (32,)), SPEC).double()
    with torch.no_grad():
        for each in built.parameters():
            each.add_(torch.randn(each.shape, dtype=each.dtype), alpha=0.05)
    return built


def evaluated(network: Any) -> Tensor:
    """Return the mean square of F, with the dropout of one seed."""
    draws = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64)

    condition = Condition(vector=normal(2, 3), sequence=normal(2, 6, 5), aligned=normal(2, 2, 32))
    torch.manual_seed(2)
    prepared = network.prepare(condition)
    found: Tensor = network(normal(2, 4, 32), normal(2), prepared)
    return found.square().mean()


def gradients(network: Any) -> dict[str, Tensor]:
    loss = evaluated(network)
    named = {name: each for name, each in network.named_parameters() if each.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()))
    return {"loss": loss.detach(), **dict(zip(named, found, strict=True))}


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_gradients_are_those_without_it_to_the_bit(around: Around, name: str) -> None:
    wanted = gradients(network(name).train())
    found = gradients(around(ActivationCheckpointing(), network(name).train()))
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert value.any(), key
        torch.testing.assert_close(found[key], value, rtol=0, atol=0, msg=key)


def computed(network: Any, name: str) -> list[int]:
    """Return how often each layer called `name` is computed for one gradient."""
    counts: dict[str, int] = {}
    handles = []
    for path, layer in network.named_modules():
        if path.rpartition(".")[2] == name:
            counts[path] = 0

            def count(*_: Any, path: str = path) -> None:
                counts[path] += 1

            handles.append(layer.register_forward_hook(count))
    gradients(network)
    for handle in handles:
        handle.remove()
    return list(counts.values())


@pytest.mark.parametrize(
    ("blocks", "wanted"),
    [("", [2, 2, 2]), (r"^blocks\.[02]$", [2, 1, 2]), ("blocks", [2, 2, 2]), ("cross", [1, 1, 1])],
)
def test_blocks_are_chosen_by_name_and_no_block_within_another(
    around: Around, blocks: str, wanted: list[int]
) -> None:
    whole = around(ActivationCheckpointing(blocks=blocks), network("dit"))
    assert computed(whole, "contract") == wanted


def test_an_evaluation_without_gradient_computes_once(around: Around) -> None:
    whole = around(ActivationCheckpointing(), network("dit"))
    calls = []
    whole.get_submodule("blocks.0.expand").register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        evaluated(whole)
    assert len(calls) == 1


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_merged_network_is_as_it_was(around: Around, name: str) -> None:
    plain = network(name)
    own = {path: set(vars(module)) for path, module in plain.named_modules()}
    keys = plain.state_dict().keys()
    whole = around(ActivationCheckpointing(), plain)
    assert whole.state_dict().keys() == keys
    merged = ActivationCheckpointing().merge(whole)
    assert {path: set(vars(module)) for path, module in merged.named_modules()} == own


def test_a_copy_computes_with_its_own_weights(around: Around) -> None:
    whole = around(ActivationCheckpointing(), network("dit"))
    before = gradients(whole)["loss"]
    twin = copy.deepcopy(whole)
    with torch.no_grad():
        for each in twin.parameters():
            each.mul_(1.1)
    assert gradients(twin)["loss"] != before
    assert gradients(whole)["loss"] == before


def test_it_stands_around_and_inside_of_adapters(around: Around) -> None:
    wanted = gradients(around(Lora(rank=2), network("dit").train()))
    inside = around(Lora(rank=2), around(ActivationCheckpointing(), network("dit").train()))
    outside = around(ActivationCheckpointing(), around(Lora(rank=2), network("dit").train()))
    for whole in (inside, outside):
        found = gradients(whole)
        assert found.keys() == wanted.keys()
        torch.testing.assert_close(found["loss"], wanted["loss"], rtol=0, atol=0)
    merged = Lora().merge(ActivationCheckpointing().merge(outside))
    assert merged.state_dict().keys() == network("dit").state_dict().keys()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_network_has_the_same_gradients_and_is_one_graph(around: Around) -> None:
    wanted = gradients(network("dit", depth=1).eval())
    whole = around(ActivationCheckpointing(), network("dit", depth=1).eval())
    whole.compile(backend="aot_eager", fullgraph=True)
    found = gradients(whole)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, msg=key)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_forward_derivative_is_that_without_it(around: Around) -> None:
    """As consistency models take it, with a gradient of the value."""
    ones, found = torch.ones(1, 4, 32).double(), []
    for whole in (network("dit").eval(), around(ActivationCheckpointing(), network("dit").eval())):
        told = whole.prepare(
            Condition(vector=ones[:, 0, :3], sequence=ones[:, :2, :5], aligned=ones[:, :2])
        )

        def evaluate(x: Tensor, whole: Any = whole, told: Any = told) -> Any:
            return whole(x, ones[:, 0, 0], told)

        with sdpa_kernel(SDPBackend.MATH):
            value, tangent = torch.func.jvp(evaluate, (ones,), (ones,))
        value.sum().backward()
        found.append((value, tangent, whole.get_parameter("blocks.1.expand.weight").grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


class Counting(nn.Module):
    """A batch norm, and a layer that takes what is next of an iterator."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))])
        self.takes = nn.ModuleList([Taking()])

    def forward(self, x: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        """Return [B, 3]."""
        found: Tensor = self.takes[0](self.blocks[0](x), shifts)
        return found


class Taking(nn.Module):
    """Adds what is next."""

    def forward(self, x: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        """Return [B, 3]."""
        return x + next(shifts)


def test_running_statistics_see_a_batch_once(around: Around) -> None:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    states = []
    for blocks in (None, "blocks"):
        torch.manual_seed(0)
        whole: nn.Module = Counting()
        if blocks:
            whole = around(ActivationCheckpointing(blocks=blocks), whole)
        for _ in range(2):
            whole(x, iter([x])).sum().backward()
        states.append(whole.state_dict())
    assert states[1]["blocks.0.1.num_batches_tracked"] == 2
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=0, atol=0, msg=key)


def test_a_block_that_uses_up_an_argument_is_refused(around: Around) -> None:
    whole = around(ActivationCheckpointing(), Counting())
    with pytest.raises(UsageError, match=r"takes\.0 takes an iterator.*activation-checkpointing"):
        whole(torch.randn(8, 3), iter([torch.ones(3)]))


def test_blocks_have_to_match(around: Around) -> None:
    with pytest.raises(UsageError, match=r"activation-checkpointing\.blocks 'layers'; change"):
        around(ActivationCheckpointing(blocks="layers"), network("dit"))
    with pytest.raises(UsageError, match=r"no list of modules.*activation-checkpointing\.blocks"):
        around(ActivationCheckpointing(), nn.Linear(3, 3))
