from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kernel.errors import MisfitError, UsageError
from kernel_audio_training.start import freeze, start_from


def pack(folder: Path, module: nn.Module) -> Any:
    """Return what is read of a model's pack, with the weights of a module in float16."""
    path = folder / "model.safetensors"
    save_file({name: value.half() for name, value in module.state_dict().items()}, path)
    return SimpleNamespace(name="old", weights=path)


def network(inputs: int = 3, more: bool = False) -> nn.Module:
    torch.manual_seed(inputs)
    parts = {"first": nn.Linear(inputs, 8), "last": nn.Linear(8, 8)}
    return nn.ModuleDict(parts | ({"told": nn.Linear(2, 4)} if more else {}))


def test_the_same_network_is_taken_whole(tmp_path: Path) -> None:
    old, new = network(), network()
    nn.init.zeros_(new["last"].weight)  # type: ignore[index]
    assert start_from(pack(tmp_path, old), new) == []
    for name, value in new.state_dict().items():
        assert torch.equal(value, old.state_dict()[name].half().float())


def test_what_is_new_and_what_is_left_is_named(tmp_path: Path) -> None:
    old, new = network(), network(more=True)
    old["head"] = nn.Linear(1, 1)  # type: ignore[operator]
    before = new["told"].weight.clone()  # type: ignore[index]
    assert start_from(pack(tmp_path, old), new) == [
        "the network starts with new values in told.weight, told.bias beside model old",
        "the network takes nothing for head.bias, head.weight beside model old",
    ]
    assert torch.equal(new["told"].weight, before)  # type: ignore[index]


def test_more_inputs_begin_as_zeros_and_change_nothing(tmp_path: Path) -> None:
    old, new = network(3), network(5)
    said = start_from(pack(tmp_path, old), new)
    assert said == [
        "the network starts with zeros for more inputs of first.weight beside model old"
    ]
    x = torch.randn(2, 5)
    wanted = nn.functional.linear(x[:, :3], old["first"].weight, old["first"].bias)  # type: ignore[index]
    assert torch.allclose(new["first"](x), wanted, atol=1e-2)  # type: ignore[index]


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    other = nn.ModuleDict({"first": nn.Linear(3, 6), "last": nn.Linear(6, 6)})
    with pytest.raises(MisfitError, match=r"^model old has no weights for most .* \(first.wei"):
        start_from(pack(tmp_path, other), network())


def test_what_matches_is_frozen_and_the_rest_is_not() -> None:
    module = network(more=True)
    freeze({"backbone": module}, ["first.*", "told.bia?"])
    trained = {name for name, each in module.named_parameters() if each.requires_grad}
    assert trained == {"last.weight", "last.bias", "told.weight"}
    with pytest.raises(UsageError, match=r"^freeze 'frist.bias' matches no .*; did you mean 'fi"):
        freeze({"backbone": module}, ["frist.bias"])
