"""The groups of parameters that a recipe trains, each with a loss and settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.kinds.recipe import RecipeModule
from kernel.runner.processes import Processes
from kernel_audio_training import optimizers, sharded
from kernel_audio_training.config import GroupConfig, TrainConfig

__all__ = ["Groups"]

SCALER = "scaler"
"""The name of what is stored of the scaler; no optimizer calls an entry so."""


class Groups(dict[str, dict[str, nn.Parameter]]):
    """The parameters of each group, by their names in the recipe's module.

    owner: the spelling of the recipe that built `module`. scaler: the machine's, none by default.
    parts: whether every process holds a part of each parameter. Raises PluginError where its groups
    cannot be trained, and UsageError for settings of a group that it does not have.
    """

    def __init__(
        self,
        owner: str,
        module: nn.Module,
        config: TrainConfig,
        scaler: GradScaler | None = None,
        parts: bool = False,
    ) -> None:
        super().__init__()
        self._owner, self._sharded = owner, parts
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
        self.optimizer = optimizers.build(config, settings)
        self.scaler = scaler or GradScaler("cpu", enabled=False)

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
            # A parameter in parts is no leaf of the graph; its whole group is all there is.
            inputs = None if self._sharded else list(self[name].values())
            self.scaler.scale(share).backward(  # type: ignore[no-untyped-call]
                inputs=inputs, retain_graph=index < len(shares)
            )
        return {name: share.detach() for name, share in shares.items()}

    def reduce(self, means: Mapping[str, Tensor], told: Tensor, processes: Processes) -> None:
        """Sum over the processes, in place, the gradients of groups, their mean losses, and `told`.

        Each process has gathered the losses of its own rows, of the same groups.
        """
        # Not DistributedDataParallel: that follows one backward pass of one module's forward, and a
        # recipe has a pass for each group and calls whatever it likes.
        names = [] if self._sharded else sorted(means)
        trained = [each for name in names for each in self[name].values()]
        found = torch.tensor([float(each.grad is not None) for each in trained])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        processes.sum([*gradients, *(means[name] for name in sorted(means)), found, told])
        for parameter, gradient, count in zip(trained, gradients, found.tolist(), strict=True):
            # One that no process has used stays without, and without a step of its optimizer.
            parameter.grad = gradient if count else None

    def advance(self, factor: float) -> dict[str, Tensor]:
        """Let the groups that have gradients step, at `factor` of their learning rates.

        Returns the norm of each group's gradient before it is clipped. With a gradient that
        float16 cannot hold no group steps, and the next losses are scaled less.
        """
        self.scaler.unscale_(self.optimizer)
        norms = {}
        for name, group in zip(self, self.optimizer.param_groups, strict=True):
            norm = torch.nn.utils.clip_grad_norm_(group["params"], group["clip"])
            group["lr"] = group["learning_rate"] * factor
            if any(each.grad is not None for each in group["params"]):
                norms[name] = norm.detach()
        if self._sharded:
            norms = sharded.whole(norms)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return norms

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each group in the last step."""
        return {
            name: float(group["lr"])
            for name, group in zip(self, self.optimizer.param_groups, strict=True)
        }

    def moments(self) -> dict[str, Tensor]:
        """Return the state of the optimizer, `ENTRY/PARAMETER`, and of the scaler."""
        scaler = self.scaler.state_dict().items()
        own = {f"{SCALER}/{name}": torch.tensor(value).double() for name, value in scaler}
        return optimizers.moments(self.optimizer, self._named()) | own

    def load(self, moments: Mapping[str, Tensor]) -> None:
        """Restore the state of the optimizer and of the scaler."""
        own = {k: v for k, v in moments.items() if not k.startswith(f"{SCALER}/")}
        if self._sharded:
            named = self._named()
            own = {k: sharded.part(v, named[k.partition("/")[2]]) for k, v in own.items()}
        optimizers.load(self.optimizer, self._named(), own)
        if self.scaler.is_enabled():
            state = self.scaler.state_dict()
            for name, value in state.items():
                found = moments.get(f"{SCALER}/{name}", torch.tensor(value))
                state[name] = type(value)(found.item())
            self.scaler.load_state_dict(state)

    def _named(self) -> dict[str, nn.Parameter]:
        return {name: each for group in self.values() for name, each in group.items()}

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"{self._owner} {what}; its author has to mend that")
