"""The groups of parameters that a recipe trains, each with a loss and an optimizer of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import attrs
import torch
from torch import Tensor, nn

from kernel.config import GroupConfig, TrainConfig
from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.kinds.recipe import RecipeModule

__all__ = ["Group", "Groups"]


@attrs.frozen(eq=False)
class Group:
    """Parameters, by their names in the recipe's module, and how they are trained."""

    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    learning_rate: float
    clip: float


class Groups(dict[str, Group]):
    """The groups by their names.

    owner: the spelling of the recipe that built `module`. Raises PluginError where its groups
    cannot be trained, and UsageError for settings of a group that it does not have.
    """

    def __init__(self, owner: str, module: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self._owner = owner
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        taken: dict[str, str] = {}
        usual = config.model_dump(include={"learning_rate", "weight_decay", "clip"})
        for group, listed in cast("RecipeModule", module).groups.items():
            # A wrapper may have frozen a part of a network.
            parameters = {names.get(id(each), ""): each for each in listed if each.requires_grad}
            if "" in parameters:
                raise self._wrong(f"has a value in group {group!r} that its module lacks")
            if twice := sorted(parameters.keys() & taken):
                first = taken[twice[0]]
                raise self._wrong(f"has {twice[0]!r} in the groups {first!r} and {group!r}")
            if not parameters:
                raise self._wrong(f"has nothing in group {group!r}")
            taken |= dict.fromkeys(parameters, group)
            own = config.groups.get(group, GroupConfig()).model_dump(exclude_none=True)
            settings = usual | own
            rate, clip = settings.pop("learning_rate"), settings.pop("clip")
            optimizer = torch.optim.AdamW(parameters.values(), **settings)
            self[group] = Group(parameters, optimizer, rate, clip)
        for group in config.groups:
            if group not in self:
                raise UsageError(
                    f"{owner} trains no group {group!r}"
                    f"{did_you_mean(group, self) or '; its groups are ' + ', '.join(self)}"
                )

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
                inputs=list(self[name].parameters.values()), retain_graph=index < len(shares)
            )
        return {name: share.detach() for name, share in shares.items()}

    def advance(self, names: Iterable[str], factor: float) -> None:
        """Let some groups step, at `factor` of their learning rates."""
        for name in names:
            group = self[name]
            torch.nn.utils.clip_grad_norm_(group.parameters.values(), group.clip)
            for settings in group.optimizer.param_groups:
                settings["lr"] = group.learning_rate * factor
            group.optimizer.step()
            group.optimizer.zero_grad(set_to_none=True)

    def moments(self) -> dict[str, Tensor]:
        """Return the optimizers' moments and counters, `ENTRY/PARAMETER`."""
        # By name, because the order of a network's parameters may change with its code.
        return {
            f"{entry}/{name}": value
            for group in self.values()
            for name, parameter in group.parameters.items()
            for entry, value in group.optimizer.state[parameter].items()
        }

    def load(self, moments: Mapping[str, Tensor]) -> None:
        """Restore the optimizers' moments and counters."""
        homes = {name: group for group in self.values() for name in group.parameters}
        for key, value in moments.items():
            entry, _, name = key.partition("/")
            parameter = homes[name].parameters[name]
            # AdamW counts the steps on the CPU, whatever the device.
            at_home = value if entry == "step" else value.to(parameter.device)
            homes[name].optimizer.state[parameter][entry] = at_home

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"{self._owner} {what}; its author has to mend that")
