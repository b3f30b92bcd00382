"""Measure the memory and the time of a gradient with and without `activation-checkpointing`.

python benchmarks/checkpointing.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import kernel
from kernel import Backbone, Condition, ConditionSpec, LatentSpec

REPEATS = 9
NETWORKS: dict[str, dict[str, Any]] = {
    "dit": {"patch": 2},
    "dit, 12 blocks": {"patch": 2, "depth": 12},
    "unet": {},
}


class Held(TorchDispatchMode):
    """Follows the memory of the results of all operations: `now`, and at its `peak`, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and take in its results."""
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                reference = StorageWeakRef(storage)
                self._alive[reference.cdata] = (reference, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return found

    @property
    def now(self) -> int:
        """Return the bytes that are held."""
        self._alive = {key: each for key, each in self._alive.items() if not each[0].expired()}
        return sum(count for _, count in self._alive.values())


@attrs.frozen
class Cost:
    """Bytes held between the forward and the backward pass and at the peak of both; their time."""

    held: int
    peak: int
    seconds: float


class Trained:
    """A network in training, with `wrapper` around it where there is one, and a batch for it."""

    def __init__(
        self, backbone: Backbone, wrapper: Any, batch: int, frames: int, channels: int = 48
    ) -> None:
        torch.manual_seed(0)
        self.network: Any = backbone.build(
            LatentSpec(channels, (frames,)), ConditionSpec(vector=10)
        )
        if wrapper is not None:
            self.network = wrapped(wrapper, self.network)
        self.network.train()
        self._inputs = torch.randn(batch, channels, frames), torch.randn(batch)
        self._condition = Condition(vector=torch.eye(10)[torch.arange(batch) % 10])

    def loss(self) -> Tensor:
        """Return the mean square of F."""
        prepared = self.network.prepare(self._condition)
        found: Tensor = self.network(*self._inputs, prepared)
        return found.square().mean()

    def cost(self) -> Cost:
        """Return the cost of one gradient."""
        # The first gradient makes the tensors of the gradients, which stay.
        self.loss().backward()
        started = time.perf_counter()
        self.loss().backward()
        seconds = time.perf_counter() - started
        with Held() as memory:
            loss = self.loss()
            held = memory.now
            loss.backward()
        return Cost(held, memory.peak, seconds)


def wrapped(wrapper: Any, network: nn.Module) -> nn.Module:
    """Return what a wrapper makes of a network."""
    building = wrapper.build_backbone()
    next(building)
    try:
        building.send(network)
    except StopIteration as end:
        found: nn.Module = end.value
        return found
    raise TypeError(f"{wrapper!r} yields twice")


def main() -> None:
    """Print a table; the times are medians of interleaved repeats."""
    print("| network | memory held for the backward pass | peak | time of a gradient |")
    print("|---|---|---|---|")
    around = kernel.component("wrapper.activation-checkpointing")
    for name, options in NETWORKS.items():
        backbone = kernel.component(f"backbone.{name.partition(',')[0]}", **options)
        pair = [Trained(backbone, each, 32, 64) for each in (None, around)]
        costs = [[each.cost() for each in pair] for _ in range(REPEATS)]
        plain, less = costs[-1]
        seconds = [
            statistics.median(each.seconds for each in row) for row in zip(*costs, strict=True)
        ]
        print(
            f"| `{name}` | {plain.held / 1e6:.0f} -> {less.held / 1e6:.0f} MB "
            f"| {plain.peak / 1e6:.0f} -> {less.peak / 1e6:.0f} MB "
            f"| {seconds[1] / seconds[0]:.2f} times as long |"
        )


if __name__ == "__main__":
    main()
