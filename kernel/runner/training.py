"""The training loop: every random choice of step k derives from (seed, k), so resuming is exact."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from kernel import checkpoint
from kernel.denoiser import leveled, prepare
from kernel.errors import NumericalError
from kernel.files import write_atomic
from kernel.items import Item
from kernel.runner.balance import Balance
from kernel.runner.batches import clean, collated, latent_space
from kernel.runner.encoders import encoders
from kernel.seeds import derive, generator

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.assembly import Assembly
    from kernel.config import TrainConfig
    from kernel.kinds.backbone import NetworkModule
    from kernel.kinds.observer import Observer
    from kernel.kinds.task import Dataset
    from kernel.runner.device import Machine

__all__ = ["Trainer"]


class Trainer:
    """Trains an assembly's network on a data set of its task, from step 0 or from a checkpoint."""

    def __init__(
        self,
        assembly: Assembly,
        data: Dataset,
        config: TrainConfig,
        machine: Machine,
        observers: Sequence[Observer] = (),
    ) -> None:
        torch.manual_seed(derive(config.seed, "weights"))
        self._assembly = assembly
        self._config = config
        self._machine = machine
        self._observers = observers
        self.codec = machine.place(assembly.build_codec()).eval().requires_grad_(False)
        hear = encoders(assembly, machine)
        self._space = latent_space(assembly, assembly.task.samples, self.codec, machine, hear)
        self.module: nn.Module = machine.place(assembly.build_network(assembly.condition)).train()
        self._network = leveled(machine.network(self.module), assembly.backbone)
        self._average = {
            name: value.detach().clone() for name, value in self.module.state_dict().items()
        }
        # With a learned weighting the balance is trained too, and is part of every checkpoint.
        self._balance: Balance | None = None
        self._trained = self.module
        if assembly.objective.weighting == "learned":
            self._balance = Balance()
            machine.place(self._balance)
            self._trained = nn.ModuleDict({"network": self.module, "balance": self._balance})
        self._optimizer = torch.optim.AdamW(
            [each for each in self._trained.parameters() if each.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self._schedule = assembly.schedule.sized(assembly.latent)
        self._data = data
        self.step = 0

    @property
    def parameters(self) -> int:
        """Return the number of trained values."""
        return sum(each.numel() for each in self.module.parameters() if each.requires_grad)

    @property
    def averaged(self) -> dict[str, Tensor]:
        """Return the weights to sample with: the moving average, or the weights when ema is 0."""
        return self._average if self._config.ema else dict(self.module.state_dict())

    def resume(self, folder: Path) -> None:
        """Take up the newest checkpoint in `folder`, if there is one."""
        found = checkpoint.latest(folder)
        if found is None:
            return
        checkpoint.load_weights(self._trained, found / "weights.safetensors", str(found))
        average = checkpoint.read_tensors(found / "ema.safetensors")
        for name, value in average.items():
            self._average[name].copy_(value)
        checkpoint.load_optimizer(self._optimizer, self._trained, found / "optimizer.safetensors")
        self.step = checkpoint.read_state(found)["step"]

    def run(self, folder: Path, record: dict[str, Any]) -> float | None:
        """Train to the configured step, with a checkpoint every so often and one at the end.

        Returns the mean loss of the last steps, None when there was nothing left to do. Raises
        NumericalError at the first loss that is not finite; the last checkpoint stays.
        """
        config = self._config
        history = _History(folder / "history.jsonl", self.step)
        losses: list[Tensor] = []
        began = time.monotonic()
        loss = None
        while self.step < config.steps:
            losses.append(self._advance())
            due = self.step % config.checkpoint_every == 0 or self.step == config.steps
            if due or self.step % 10 == 0:
                loss = torch.stack(losses).mean().item()
                losses.clear()
                if not math.isfinite(loss):
                    raise NumericalError(
                        f"the loss is not finite at step {self.step}; resume from the last "
                        f"checkpoint with a lower learning_rate or --precision float32"
                    )
                scalars = {"loss": loss, "learning_rate": self._learning_rate(self.step - 1)}
                history.add(self.step, scalars, time.monotonic() - began)
                for observer in self._observers:
                    observer.step(self.step, config.steps, scalars)
            if due:
                history.write()
                place = checkpoint.save_checkpoint(
                    folder,
                    self.step,
                    self._trained,
                    self._average,
                    self._optimizer,
                    record,
                    config.keep,
                )
                for observer in self._observers:
                    observer.checkpoint(place)
        return loss

    def _advance(self) -> Tensor:
        config, machine, objective = self._config, self._machine, self._assembly.objective
        draws = generator(config.seed, "step", self.step)
        # The network's own randomness (dropout) uses the global generator.
        torch.manual_seed(derive(config.seed, "network", self.step))
        items = list(self._items())
        condition = collated(
            self._assembly.task, items, self._space, self._assembly.condition, machine
        )
        if not condition.empty:
            dropped = torch.rand(len(items), generator=draws) < config.condition_dropout
            condition = condition.drop(machine.put(dropped))
        x0 = clean(items, self._space)
        mask = self._mask(items, x0)
        sigma = machine.put(self._schedule.draw(len(items), draws))
        noise = machine.put(torch.randn(x0.shape, generator=draws))

        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        with machine.autocast():
            module, backbone = cast("NetworkModule", self.module), self._assembly.backbone
            given = prepare(module, condition, backbone)
        loss = objective.loss(self._network, x0, sigma, noise, given.tree, mask, given.origin)
        if self._balance is not None:
            loss = self._balance(loss, sigma)
        loss = loss.mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trained.parameters(), config.clip)
        self._optimizer.step()
        self.step += 1
        self._update_average()
        return loss.detach()

    def _items(self) -> Iterator[Item]:
        """Yield the batch of this step: a slice of one endless sequence of shuffled epochs."""
        size, seed = len(self._data), self._config.seed
        orders: dict[int, list[int]] = {}
        for position in range(self.step * self._config.batch, (self.step + 1) * self._config.batch):
            epoch = position // size
            if epoch not in orders:
                orders[epoch] = torch.randperm(
                    size, generator=generator(seed, "epoch", epoch)
                ).tolist()
            draws = generator(seed, "example", position)
            yield self._data.item(orders[epoch][position % size], draws)

    def _mask(self, items: Sequence[Item], x0: Tensor) -> Tensor | None:
        """Return [B, 1, ..., T], 0 where the last axis of the latent lies wholly in the padding."""
        samples = self._assembly.task.samples
        lengths = [samples if item.valid is None else item.valid for item in items]
        if all(length >= samples for length in lengths):
            return None
        frames = x0.shape[-1]
        valid = torch.tensor([math.ceil(length / samples * frames) for length in lengths])
        mask = (torch.arange(frames) < valid[:, None]).to(x0.dtype)
        return self._machine.put(mask.view(len(lengths), *[1] * (x0.ndim - 2), frames))

    def _learning_rate(self, step: int) -> float:
        config = self._config
        rise = min(1.0, (step + 1) / max(config.warmup, 1))
        if config.decay == "constant":
            return config.learning_rate * rise
        part = max(0, step - config.warmup) / max(1, config.steps - config.warmup)
        return config.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average must forget its random start faster than an old one forgets anything.
        decay = min(self._config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.module.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)


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
