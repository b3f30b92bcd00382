"""The training loop: every random choice of step k derives from (seed, k), so resuming is exact."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from kernel import checkpoint
from kernel.assembly import Assembly
from kernel.config import TrainConfig
from kernel.errors import NumericalError, PluginError
from kernel.files import write_atomic
from kernel.kinds.observer import Observer
from kernel.kinds.recipe import RecipeModule
from kernel.kinds.task import Dataset
from kernel.runner.device import Machine
from kernel.runner.feed import Feed
from kernel.runner.groups import Groups
from kernel.runner.parts import Companion, Provider, alone, blend
from kernel.seeds import derive


class Trainer:
    """Trains what an assembly's recipe builds, from step 0 or from a checkpoint.

    companion: loads another model by its name, for a recipe that learns from one. Raises
    PluginError for a recipe that does not keep its promises.
    """

    def __init__(
        self,
        assembly: Assembly,
        data: Dataset,
        config: TrainConfig,
        machine: Machine,
        observers: Sequence[Observer] = (),
        companion: Companion = alone,
    ) -> None:
        torch.manual_seed(derive(config.seed, "weights"))
        self._config = config
        self._observers = observers
        recipe = assembly.recipe
        self.codec = machine.place(assembly.build_codec())
        if "codec" not in recipe.trains:
            self.codec.eval().requires_grad_(False)
        self._feed = Feed(assembly, data, config, machine, self.codec)
        self._provider = Provider(assembly, self.codec, machine, companion)
        self.module: nn.Module = machine.place(recipe.build(self._provider.parts()))
        for number, average in enumerate(self._provider.averages):
            # One that the recipe did not make a part of its module is saved with it too.
            if all(average is not each for each in self.module.modules()):
                self.module.add_module(f"average-{number}", average)
        owner = assembly.spelling(type(recipe).kind)
        self.exports: Mapping[str, nn.Module] = cast("RecipeModule", self.module).exports
        if sorted(self.exports) != sorted(recipe.trains):
            raise PluginError(
                f"{owner} exports {sorted(self.exports)} but says that it trains "
                f"{sorted(recipe.trains)}; its author has to make them agree"
            )
        self._groups = Groups(owner, self.module, config)
        self._average = {name: value.detach().clone() for name, value in self._exported().items()}
        self.step = 0

    @property
    def parameters(self) -> int:
        """Return the number of trained values of what becomes the model."""
        every = [p for each in self.exports.values() for p in each.parameters()]
        return sum(each.numel() for each in every if each.requires_grad)

    def averaged(self, kind: str) -> dict[str, Tensor]:
        """Return the weights of what is exported for a kind: averaged, unless ema is 0."""
        found = self._average if self._config.ema else self._exported()
        return {
            name.removeprefix(f"{kind}."): value
            for name, value in found.items()
            if name.startswith(f"{kind}.")
        }

    def resume(self, folder: Path) -> None:
        """Take up the newest checkpoint in `folder`, if there is one."""
        found = checkpoint.latest(folder)
        if found is None:
            return
        checkpoint.load_weights(self.module, found / "weights.safetensors", str(found))
        for name, value in checkpoint.read_tensors(found / "ema.safetensors").items():
            self._average[name].copy_(value)
        self._groups.load(checkpoint.read_tensors(found / "optimizer.safetensors"))
        self.step = checkpoint.read_state(found)["step"]

    def run(self, folder: Path, record: dict[str, Any]) -> float | None:
        """Train to the configured step, with a checkpoint every so often and one at the end.

        Returns the mean loss of the last steps, that of the recipe's first group, None when there
        was nothing left to do. Raises NumericalError at the first loss that is not finite; the last
        checkpoint stays.
        """
        config = self._config
        history = _History(folder / "history.jsonl", self.step)
        losses: dict[str, list[Tensor]] = {}
        began = time.monotonic()
        loss = None
        while self.step < config.steps:
            for name, each in self._advance().items():
                losses.setdefault(name, []).append(each)
            due = self.step % config.checkpoint_every == 0 or self.step == config.steps
            if due or self.step % 10 == 0:
                scalars = self._scalars(losses)
                losses.clear()
                loss = scalars.get("loss", loss)
                history.add(self.step, scalars, time.monotonic() - began)
                for observer in self._observers:
                    observer.step(self.step, config.steps, scalars)
            if due:
                history.write()
                place = checkpoint.save_checkpoint(
                    folder,
                    self.step,
                    self.module,
                    self._average,
                    self._groups.moments(),
                    record,
                    config.keep,
                )
                for observer in self._observers:
                    observer.checkpoint(place)
        return loss

    def _advance(self) -> dict[str, Tensor]:
        """Take one step; return the mean loss of each group that it trained."""
        config = self._config
        size = config.micro_batch or config.batch
        means: dict[str, Tensor] = {}
        for first in range(0, config.batch, size):
            rows = range(first, min(first + size, config.batch))
            # The networks' own randomness (dropout) uses the global generator.
            torch.manual_seed(derive(config.seed, "network", self.step, first))
            losses = self.module(self._feed.batch(self.step, rows), self.step)
            for name, share in self._groups.gather(losses, len(rows), config.batch).items():
                means[name] = means[name] + share if name in means else share
        self._groups.advance(means, self._rise(self.step))
        self.step += 1
        self._provider.advance()
        # A young average must forget its random start faster than an old one forgets anything.
        blend(self._average, self._exported(), min(config.ema, (1 + self.step) / (10 + self.step)))
        return means

    def _scalars(self, losses: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        """Return what is reported: `loss` of the first group and `loss.NAME` of every other."""
        scalars = {}
        for index, name in enumerate(self._groups):
            if name in losses:
                mean = torch.stack(list(losses[name])).mean().item()
                scalars[f"loss.{name}" if index else "loss"] = mean
                if not math.isfinite(mean):
                    raise NumericalError(
                        f"the loss is not finite at step {self.step}; resume from the last "
                        f"checkpoint with a lower learning_rate or --precision float32"
                    )
        rate = self._config.learning_rate * self._rise(self.step - 1)
        return scalars | {"learning_rate": rate}

    def _rise(self, step: int) -> float:
        """Return the share of the peak learning rate at a step."""
        config = self._config
        rise = min(1.0, (step + 1) / max(config.warmup, 1))
        if config.decay == "constant":
            return rise
        part = max(0, step - config.warmup) / max(1, config.steps - config.warmup)
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))

    def _exported(self) -> dict[str, Tensor]:
        return {
            f"{kind}.{name}": value
            for kind, module in self.exports.items()
            for name, value in module.state_dict().items()
        }


class _History:
    """The loss curve, one JSON object a line; steps after a resumed checkpoint are written anew."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._lines = [line for line in lines if json.loads(line)["step"] <= step]

    def add(self, step: int, scalars: dict[str, float], seconds: float) -> None:
        entry = {"step": step, **scalars, "seconds": round(seconds, 2)}
        self._lines.append(json.dumps(entry))

    def write(self) -> None:
        write_atomic(self._path, "".join(f"{line}\n" for line in self._lines).encode())
