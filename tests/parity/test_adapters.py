"""Hold `lora` and `dora` to those of peft, which benchmarks/requirements.txt brings."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel_plugins.wrappers.dora import Dora
from kernel_plugins.wrappers.lora import Lora

LAYERS = ("narrow", "wide", "last")


class Network(nn.Module):
    """A convolution along one axis, one along two, and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(3, 5, 3)
        self.wide = nn.Conv2d(1, 4, 3)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 3, 4]. x: [B, 3, 10]."""
        found: Tensor = self.last(self.wide(self.narrow(x)[:, None]).mean(1))
        return found


def wrapped(wrapper: Any, network: nn.Module) -> Any:
    building = wrapper.build_backbone()
    next(building)
    with pytest.raises(StopIteration) as end:
        building.send(network)
    return end.value.value


@pytest.mark.parametrize("wrapper", [Lora(rank=2, alpha=3.0), Dora(rank=2, alpha=3.0)], ids=repr)
@pytest.mark.filterwarnings("ignore")
def test_outputs_and_gradients_are_those_of_peft(wrapper: Any) -> None:
    peft = pytest.importorskip("peft", exc_type=ImportError)
    torch.manual_seed(0)
    plain = Network().double()
    ours = wrapped(wrapper, copy.deepcopy(plain))
    settings = {"r": 2, "lora_alpha": 3, "use_dora": isinstance(wrapper, Dora)}
    config = peft.LoraConfig(target_modules=list(LAYERS), **settings)
    theirs = peft.get_peft_model(plain, config).double()
    pairs = []
    for name in LAYERS:
        own = ours.get_submodule(name).parametrizations["weight"][0]
        other = theirs.base_model.model.get_submodule(name)
        pairs.append((own.down, other.lora_A["default"].weight))
        pairs.append((own.up, other.lora_B["default"].weight))
        if isinstance(wrapper, Dora):
            pairs.append((own.magnitude, other.lora_magnitude_vector["default"].weight))
    with torch.no_grad():
        for one, other in pairs:
            one.add_(0.3 * torch.randn_like(one))
            other.copy_(one.view_as(other))
    x = torch.randn(2, 3, 10).double()
    slope = torch.randn(2, 3, 4).double()
    results = [network(x) for network in (ours, theirs)]
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    for result in results:
        (result * slope).sum().backward()
    for one, other in pairs:
        assert one.grad is not None and one.grad.any()
        torch.testing.assert_close(one.grad, other.grad.view_as(one), rtol=1e-12, atol=1e-12)
