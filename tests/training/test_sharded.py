"""What is whole in a process that holds a part of every weight."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from kernel.runner.processes import Processes
from kernel_audio_training.sharded import shard


class Stack(nn.Module):
    """Blocks in a list, a nested list among them, and a map beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.blocks = nn.ModuleList(
            [nn.Linear(3, 3), nn.ModuleList([nn.Linear(3, 3)]), nn.Identity(), nn.Linear(3, 3)]
        )
        self.whole: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for number, block in enumerate(self.flat()):
            block.register_forward_pre_hook(self._look(number), prepend=False)
            x = block(x)
        return x

    def flat(self) -> list[nn.Linear]:
        return [each for each in self.blocks.modules() if isinstance(each, nn.Linear)]

    def _look(self, number: int):
        def look(module: nn.Module, given: object) -> None:
            here = [not isinstance(each.weight, DTensor) for each in (self.first, *self.flat())]
            self.whole.append([index for index, found in enumerate(here) if found])

        return look


@pytest.fixture
def alone() -> Iterator[Processes]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Processes()
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("blocks", "whole"), [(True, [[0, 1], [0, 2], [0, 3]]), (False, [[0, 1, 2, 3]] * 3)]
)
def test_a_block_is_whole_while_it_computes(
    alone: Processes, blocks: bool, whole: list[list[int]]
) -> None:
    torch.manual_seed(0)
    stack, x = Stack().double(), torch.randn(5, 3, dtype=torch.float64)
    expected = torch.autograd.grad(stack(x).square().sum(), list(stack.parameters()))
    for each in stack.flat():
        each._forward_pre_hooks.clear()
    stack.whole.clear()
    shard(stack, "cpu", alone, blocks)
    stack(x).square().sum().backward()
    assert stack.whole == whole
    for parameter, gradient in zip(stack.parameters(), expected, strict=True):
        assert isinstance(parameter, DTensor)
        torch.testing.assert_close(parameter.grad.full_tensor(), gradient, rtol=1e-12, atol=0)
