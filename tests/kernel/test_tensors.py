from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from kernel.errors import InputError
from kernel.tensors import load_weights, write_tensors


class Masked(nn.Module):
    """A network with weights of two precisions and a mask among its buffers."""

    def __init__(self, mask: float) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64).half()
        self.register_buffer("mask", torch.tensor([0.0, mask]))


def written(folder: Path, module: nn.Module) -> Path:
    write_tensors(folder / "model.safetensors", module.state_dict())
    return folder / "model.safetensors"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["first.weight", "second.bias"])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, name: str, value: float) -> None:
    module = Masked(0)
    module.get_parameter(name).detach().view(-1)[3] = value
    with pytest.raises(InputError) as raised:
        load_weights(Masked(0), written(tmp_path, module), "model m")
    assert str(raised.value) == (
        f"{tmp_path}/model.safetensors of model m holds values that are not finite, first in "
        f"{name!r}; get the file again, or train the model again"
    )


def test_large_finite_weights_and_infinite_masks_are_loaded(tmp_path: Path) -> None:
    module, loaded = Masked(-math.inf), Masked(0)
    module.second.weight.detach().fill_(6e4)  # the sum is beyond float16
    load_weights(loaded, written(tmp_path, module), "model m")
    assert all(map(torch.equal, loaded.state_dict().values(), module.state_dict().values()))


def test_a_mask_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="first in 'mask'"):
        load_weights(Masked(0), written(tmp_path, Masked(math.nan)), "model m")
