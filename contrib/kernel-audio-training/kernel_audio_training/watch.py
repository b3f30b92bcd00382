"""Measures a training while it goes on, and changes nothing in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.errors import PluginError, UsageError
from kernel.kinds.recipe import Recipe
from kernel.kinds.task import Dataset
from kernel.runner.device import Machine
from kernel.runner.processes import ALONE, Processes
from kernel_audio_training.batches import Feed
from kernel_audio_training.config import TrainConfig

__all__ = ["Validation", "watching"]


@contextmanager
@torch.no_grad()
def watching(
    module: nn.Module, exports: nn.Module, average: Mapping[str, Tensor]
) -> Iterator[None]:
    """Have `exports`, which are parts of a module, hold their averages, in evaluation mode.

    average: by the names of the state of `exports`; it may be empty. Afterwards every value and
    every mode is as it was, to the bit.
    """
    modes = {each: each.training for each in module.modules()}
    state = exports.state_dict()

    @torch.no_grad()
    def swap() -> None:
        # One tensor at a time, so that no third copy of the weights is needed.
        for name, value in average.items():
            held = state[name].clone()
            state[name].copy_(value)
            value.copy_(held)

    swap()
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes.items():
            each.training = mode
        swap()


class Validation:
    """The losses of a recipe on held-out items, with noise that is always the same.

    data: the split `valid`, of which the first `validate_items` are taken. processes: those that
    share them. `every`: steps between validations, 0 for none. Raises UsageError where validation
    is asked for and there are none, or the recipe has no losses to watch.
    """

    def __init__(
        self,
        assembly: Assembly,
        data: Dataset | None,
        config: TrainConfig,
        machine: Machine,
        codec: nn.Module,
        processes: Processes = ALONE,
    ) -> None:
        self._processes = processes
        self._recipe = assembly.recipe
        self._owner = assembly.spelling("recipe")
        self._feed = None if data is None else Feed(assembly, data, config, machine, codec)
        self._count = 0 if data is None else min(len(data), config.validate_items)
        self._size = config.micro_batch or -(-config.batch // processes.count)
        every = config.validate_every
        watched = type(self._recipe).watch is not Recipe.watch
        if every and not watched:
            raise UsageError(f"{self._owner} does not validate; leave validate_every out")
        if every and not self._count:
            raise UsageError(
                "validate_every needs held-out items, and the task's valid split has none; set "
                "task.valid_fraction, or leave validate_every out"
            )
        usual = config.checkpoint_every if every is None else every
        self.every = usual if self._count and watched else 0

    @torch.no_grad()
    def scalars(self, module: nn.Module) -> dict[str, float]:
        """Return `valid.loss`, the mean of all, and `valid.loss.NAME` of each name, of a module.

        The module is in evaluation mode. Raises PluginError for losses that are not one for each
        item.
        """
        sums: dict[str, Tensor] = {}
        feed = cast("Feed", self._feed)
        for rows in self._parts():
            # A process without rows evaluates one too: the parts of a sharded module are gathered
            # by all processes together.
            batch = feed.fixed(rows or range(1))
            for name, loss in self._recipe.watch(module, batch).items():
                if loss.shape != (len(batch.audio),):
                    raise PluginError(
                        f"{self._owner} validates {name!r} with a loss of the shape "
                        f"{tuple(loss.shape)}, not one for each of {len(batch.audio)} items; its "
                        f"author has to mend that"
                    )
                part = loss[: len(rows)].cpu().double().sum()
                sums[name] = sums[name] + part if name in sums else part
        self._processes.sum(list(sums.values()))
        means = {name: each.item() / self._count for name, each in sums.items()}
        whole = sum(means.values()) / len(means)
        return {"valid.loss": whole, **{f"valid.loss.{name}": v for name, v in means.items()}}

    def _parts(self) -> list[range]:
        """Return the rows that this process computes together, some of them perhaps empty.

        Every process has the same number of them.
        """
        share = -(-self._count // self._processes.count)
        first = share * self._processes.rank
        own = range(self._count)[first : first + share]
        return [own[start : start + self._size] for start in range(0, share, self._size)]
