"""The groups of parameters that a recipe trains, each with a loss and settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from kernel.config import GroupConfig, TrainConfig
from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.kinds.recipe import RecipeModule

__all__ = ["Groups"]


class Groups(dict[str, dict[str, nn.Parameter]]):
    """The parameters of each group, by their names in the recipe's module.

    owner: the spelling of the recipe that built `module`. Raises PluginError where its groups
    cannot be trained, and UsageError for settings of a group that it does not have.
    """

    def __init__(self, owner: str, module: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self._owner = owner
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        usual = config.model_dump(include={"learning_rate", "weight_decay", "clip"})
        settings: list[dict[str, Any]] = []
        for group, listed in cast("RecipeModule", module).groups.items():
            # A wrapper may have frozen a part of a network.
            parameters = {names.get(id(each), ""): each for each in listed if each.requires_grad}
            if "" in parameters:
                raise self._wrong(f"has a value in group {group!r} that its module lacks")
            for first, taken in self.items():
                for name in sorted(parameters.keys() & taken):
                    raise self._wrong(f"has {name!r} in the groups {first!r} and {group!r}")
            if not parameters:
                raise self._wrong(f"has nothing in group {group!r}")
            own = config.groups.get(group, GroupConfig()).model_dump(exclude_none=True)
            settings.append({"params": list(parameters.values()), **usual, **own})
            self[group] = parameters
        for group in config.groups:
            if group not in self:
                raise UsageError(
                    f"{owner} trains no group {group!r}"
                    f"{did_you_mean(group, self) or '; its groups are ' + ', '.join(self)}"
                )
        self.optimizer = torch.optim.AdamW(settings)

    def gather(self, losses: Mapping[str, Tensor], items: int, count: int) -> dict[str, Tensor]:
        """Add the gradients of losses [items], each for its own group alone.

        Returns what they add to the mean loss of the `count` items of the step.
        """
        shares = {}
        for name, loss in losses.items():
            if name not in self:
                raise self._wrong(f"returns a loss of {name!r}, which is no group of it")
            if loss.shape != (items,):
                raise self._wrong(
                    f"returns a loss of the shape {tuple(loss.shape)} for group {name!r}, not one "
                    f"for each of {items} items"
                )
            if not loss.requires_grad:
                raise self._wrong(f"returns a loss of {name!r} that has no gradient")
            shares[name] = loss.sum() / count
        for index, (name, share) in enumerate(shares.items(), 1):
            share.backward(  # type: ignore[no-untyped-call]
                inputs=list(self[name].values()), retain_graph=index < len(shares)
            )
        return {name: share.detach() for name, share in shares.items()}

    def advance(self, factor: float) -> None:
        """Let the groups that have gradients step, at `factor` of their learning rates."""
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], group["clip"])
            group["lr"] = group["learning_rate"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad()

    def moments(self) -> dict[str, Tensor]:
        """Return the optimizer's moments and counters, `ENTRY/PARAMETER`."""
        # By name, because the order of a network's parameters may change with its code.
        return {
            f"{entry}/{name}": value
            for group in self.values()
            for name, parameter in group.items()
            for entry, value in self.optimizer.state.get(parameter, {}).items()
        }

    def load(self, moments: Mapping[str, Tensor]) -> None:
        """Restore the optimizer's moments and counters."""
        named = {name: each for group in self.values() for name, each in group.items()}
        for key, value in moments.items():
            entry, _, name = key.partition("/")
            # AdamW counts the steps on the CPU, whatever the device.
            at_home = value if entry == "step" else value.to(named[name].device)
            self.optimizer.state[named[name]][entry] = at_home

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"{self._owner} {what}; its author has to mend that")
