"""The memory that activation checkpointing saves is measured, not claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_plugins.backbones.dit import Dit
from kernel_plugins.backbones.unet import Unet
from kernel_plugins.wrappers.activation_checkpointing import ActivationCheckpointing

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def checkpointing() -> Any:
    """Import the script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import checkpointing

        yield checkpointing


@pytest.mark.parametrize("backbone", [Dit(width=48, depth=3, heads=2), Unet(width=16, blocks=1)])
def test_less_is_held_for_the_backward_pass_and_at_the_peak(
    checkpointing: Any, backbone: Any
) -> None:
    plain, less = (
        checkpointing.Trained(backbone, wrapper, batch=8, frames=256).cost()
        for wrapper in (None, ActivationCheckpointing())
    )
    assert less.held < 0.4 * plain.held
    assert less.peak < 0.75 * plain.peak


def test_memory_counts_what_a_graph_keeps(checkpointing: Any) -> None:
    x = torch.randn(1000, requires_grad=True)
    with checkpointing.Held() as memory:
        y = x.exp().exp()
        assert memory.now == 8000
        y.sum().backward()
        del y
        assert memory.now == 4000
    assert memory.peak >= 12000
