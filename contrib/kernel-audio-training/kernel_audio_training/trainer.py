"""The training loop: every random choice of step k derives from (seed, k), so resuming is exact."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.errors import InputError, NumericalError, OutputError, PluginError, UsageError
from kernel.files import write_atomic
from kernel.kinds.observer import Observer
from kernel.kinds.recipe import RecipeModule
from kernel.kinds.task import Dataset
from kernel.runner.device import Machine
from kernel.runner.processes import ALONE, Processes
from kernel.runner.sampling import Companion, alone
from kernel.seeds import derive
from kernel.tensors import load_weights, not_finite, read_tensors
from kernel_audio_training import sharded
from kernel_audio_training.averages import Averages
from kernel_audio_training.batches import Feed
from kernel_audio_training.checkpoints import checkpoints, checksum, damage, save_checkpoint
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.groups import Groups
from kernel_audio_training.latents import latent_cache
from kernel_audio_training.loading import micro_batches
from kernel_audio_training.optimizers import factor
from kernel_audio_training.order import order
from kernel_audio_training.parts import Average, provide
from kernel_audio_training.report import Diverged, Report
from kernel_audio_training.samples import Samples
from kernel_audio_training.start import freeze
from kernel_audio_training.watch import Validation, watching

EARLY = 10
"""The step of the first checkpoint, so that whatever is wrong with checkpoints is known early."""

NAMED = 8
"""How many items of a batch are named at most."""


class Trainer:
    """Trains what an assembly's recipe builds, from step 0 or from a checkpoint.

    companion: loads another model by its name, for a recipe that learns from one. held: what is
    validated on. processes: those that train together, each on rows of every batch. Raises
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
        held: Dataset | None = None,
        processes: Processes = ALONE,
    ) -> None:
        torch.manual_seed(derive(config.seed, "weights"))
        self._config = config
        self._observers = observers
        self._processes = processes
        recipe = assembly.recipe
        self.codec = machine.place(assembly.build_codec())
        if "codec" not in recipe.trains:
            self.codec.eval().requires_grad_(False)
        latents = latent_cache(config, assembly, data, self.codec, machine)
        self._feed = Feed(
            assembly,
            data,
            config,
            machine,
            self.codec,
            processes,
            latents,
            order(assembly, data, config),
        )
        self._samples = Samples(assembly, config, machine, self.codec, observers, companion)
        self._validation = Validation(assembly, held, config, machine, self.codec, processes)
        self._averages: list[Average] = []
        self._parts = provide(assembly, self.codec, machine, self._averages, companion)
        self.module: nn.Module = machine.place(recipe.build(self._parts))
        for number, average in enumerate(self._averages):
            # One that the recipe did not make a part of its module is saved with it too.
            if all(average.module is not each for each in self.module.modules()):
                self.module.add_module(f"average-{number}", average.module)
        owner = assembly.spelling(type(recipe).kind)
        self.exports = nn.ModuleDict(cast("RecipeModule", self.module).exports)
        if sorted(self.exports) != sorted(recipe.trains):
            raise PluginError(
                f"{owner} exports {sorted(self.exports)} but says that it trains "
                f"{sorted(recipe.trains)}; its author has to make them agree"
            )
        freeze(dict(self.exports.items()), config.freeze)
        self._groups = Groups(owner, self.module, config, machine.scaler())
        self._report = Report(machine.device, self._groups.scaler.is_enabled())
        self._kept = Averages(config, self.exports)
        self._owner, self._machine = owner, machine
        self.step = 0
        self._signals: list[int] = []
        self._stopped = False
        self._unshared = self.exports

    def resume(self, folder: Path) -> None:
        """Take up the newest checkpoint in `folder` that is whole, if there are any.

        A damaged one is a warning. Raises InputError where all are, and UsageError for a checkpoint
        of more steps than are to be taken.
        """
        found = checkpoints(folder)
        for place in reversed(found):
            if wrong := damage(place):
                warnings.warn(
                    f"checkpoint {place} is damaged ({wrong}) and is passed over", stacklevel=2
                )
                continue
            self.step = int(place.name)
            if self.step > self._config.steps:
                raise UsageError(
                    f"{folder} has taken {self.step} steps already; set --steps to that or more"
                )
            load_weights(self.module, place / "weights.safetensors", str(place))
            self._kept.load(place)
            self._groups.load(read_tensors(place / "optimizer.safetensors"))
            return
        if found:
            raise InputError(
                f"all {len(found)} checkpoints in {folder} are damaged; train anew with kernel "
                f"train --from {folder} --out OTHER"
            )

    @property
    def skipped(self) -> Counter[str]:
        """Return how often other items stood in for those that could not be read, and why."""
        return self._feed.skipped

    def averaged(self, folder: Path) -> Mapping[str, nn.Module]:
        """Return what is exported, by kind, with its averaged weights (unless ema is 0) loaded.

        folder: where the snapshots are. The training cannot go on from there.
        """
        state = self._kept.exported(folder, self.step)
        if self._processes.first:
            self._unshared.load_state_dict(state)
        return dict(cast("nn.ModuleDict", self._machine.place(self._unshared)).items())

    def run(self, folder: Path) -> float | None:
        """Train to the configured step, with a checkpoint every so often and one at the end.

        Returns the mean loss of the last steps, that of the recipe's first group. An interruption
        waits for the end of a step and for a checkpoint of it; that of one process is one of all.
        Raises NumericalError at the first loss, weight or average that is not finite, and for
        processes that drift apart; the last checkpoint stays.
        """
        if self._processes.count == 1:
            return self._run(folder)
        if self._config.shard != "none":
            self._share()
        with _uninterrupted(deliver=False) as self._signals:
            return self._run(folder)

    def _share(self) -> None:
        """Leave a part of every parameter, moment and average here, and the rest to the others."""
        if len(self._groups) > 1:
            raise UsageError(
                f"{self._owner} trains the groups {' and '.join(self._groups)}, and shard takes a "
                f"recipe of one; leave shard out"
            )
        if self._groups.scaler.is_enabled():
            raise UsageError("shard takes no float16; use --precision bfloat16 or float32")
        if self._processes.first:
            # What FSDP2 has changed cannot be changed back.
            self._unshared = deepcopy(self.exports).cpu()
        moments = self._groups.moments()
        blocks = self._config.shard == "blocks"
        sharded.shard(self.module, self._machine.device.type, self._processes, blocks)
        self._groups = Groups(self._owner, self.module, self._config, parts=True)
        if self.step:
            self._groups.load(moments)
        held = self.exports.state_dict()
        for state in self._kept.values():
            state |= {name: sharded.part(each, held[name]) for name, each in state.items()}

    def _run(self, folder: Path) -> float | None:
        config, path = self._config, folder / "history.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        # The steps after a resumed checkpoint are written anew.
        history = [each for each in map(json.loads, lines) if each["step"] <= self.step]
        began, saved, whole = time.monotonic(), self.step, True
        # A kill may come between a checkpoint and its samples.
        lost = self._due(config.sample_every) and not self._samples.there(folder, self.step)
        self._restart()
        self._check_equal(folder)
        try:
            if self.step and lost:
                self._sample(folder)
            while self.step < config.steps:
                whole = False
                with _uninterrupted():
                    self._advance()
                    whole = True
                if self._stopped:
                    raise KeyboardInterrupt
                due = self.step == EARLY or self._due(config.checkpoint_every)
                validated = self._due(self._validation.every)
                sampled = self._due(config.sample_every)
                reported = due or validated or sampled or self.step % 10 == 0
                if reported:
                    scalars = self._scalars(folder)
                    if validated:
                        whole = False
                        with _uninterrupted():
                            scalars |= self._validated(folder)
                            whole = True
                    history.append(self._entry(scalars, began))
                    for observer in self._observers:
                        observer.step(self.step, config.steps, scalars)
                if self._due(config.snapshot_every):
                    self._kept.snapshot(folder, self.step, self._processes)
                if due:
                    self._save(folder, history)
                    saved = self.step
                if sampled:
                    self._sample(folder)
                if reported:
                    self._restart()
        except KeyboardInterrupt:
            if whole and self.step > saved:
                if not history or history[-1]["step"] < self.step:
                    history.append(self._entry(self._scalars(folder), began))
                self._save(folder, history)
                saved = self.step
            raise KeyboardInterrupt(
                f"at step {self.step} of {config.steps}; kernel train --resume {folder} goes on "
                f"from step {saved}"
            ) from None
        except OutputError as error:
            raise OutputError(
                f"{error}; then kernel train --resume {folder} goes on from step {saved}"
            ) from error
        finally:
            self._feed.close()
        return next((each["loss"] for each in reversed(history) if "loss" in each), None)

    def _due(self, every: int | None) -> bool:
        """Return whether a step is one of `every` so many, or the last; never for 0 and None."""
        if not every:
            return False
        return self.step % every == 0 or self.step == self._config.steps

    def _advance(self) -> None:
        """Take one step."""
        config = self._config
        means: dict[str, Tensor] = {}
        for rows in micro_batches(config, self._processes):
            # The networks' own randomness (dropout) uses the global generator.
            torch.manual_seed(derive(config.seed, "network", self.step, rows.start))
            losses = self.module(self._feed.batch(self.step, rows), self.step)
            for name, share in self._groups.gather(losses, len(rows), config.batch).items():
                means[name] = means[name] + share if name in means else share
        if self._processes.count > 1:
            signals = torch.tensor([float(len(self._signals))])
            self._groups.reduce(means, signals, self._processes)
            self._stopped = bool(signals)
        norms = self._groups.advance(factor(config, self.step))
        self.step += 1
        self._report.add(self.step, config.batch, means, norms)
        for average in self._averages:
            average.advance()
        self._kept.advance(self.step)

    def _scalars(self, folder: Path) -> dict[str, float]:
        """Return what the steps since the last report are said to have been like."""
        try:
            scalars = self._report.scalars(self._groups.rates())
        except Diverged as error:
            raise self._diverged(error.name, folder, error.step) from None
        return scalars | self._feed.scalars()

    def _restart(self) -> None:
        """Begin to measure what the next report says."""
        self._report.restart()
        self._feed.scalars()

    def _entry(self, scalars: Mapping[str, float], began: float) -> dict[str, float]:
        """Return the line of the history on this step."""
        return {"step": self.step, **scalars, "seconds": round(time.monotonic() - began, 2)}

    def _sample(self, folder: Path) -> None:
        """Make the samples of this step."""
        weights = sharded.whole(self._kept.watched or self.exports.state_dict())
        if self._processes.first:
            self._samples.make(folder, self.step, weights)

    def _validated(self, folder: Path) -> dict[str, float]:
        with watching(self.module, self.exports, self._kept.watched):
            scalars = self._validation.scalars(self.module)
        for name, value in scalars.items():
            if not math.isfinite(value):
                raise self._diverged(name, folder)
        return scalars

    def _save(self, folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
        """Write a checkpoint and the loss curve, one JSON object a line."""
        kept = {name: sharded.whole(each) for name, each in self._kept.items()}
        weights = sharded.whole(self.module.state_dict())
        moments = sharded.whole(self._groups.moments())
        if name := not_finite(weights, self.module):
            raise self._diverged(f"the weight {name!r}", folder)
        for average in kept.values():
            if name := not_finite(average, self.exports):
                raise self._diverged(f"the averaged weight {name!r}", folder)
        self._check_equal(folder)
        if not self._processes.first:
            return
        lines = "".join(f"{json.dumps(entry)}\n" for entry in history)
        write_atomic(folder / "history.jsonl", lines.encode())
        tensors = {"weights": weights, "optimizer": moments, **kept}
        place = save_checkpoint(folder, self.step, self._config.keep, tensors)
        for observer in self._observers:
            observer.checkpoint(place)

    def _check_equal(self, folder: Path) -> None:
        """Raise NumericalError when a process is at another step or has another state."""
        if self._processes.count == 1:
            return
        state = {**self.module.state_dict(), **self._groups.moments()}
        for average, values in self._kept.items():
            state |= {f"{average}/{name}": value for name, value in values.items()}
        state = sharded.common(state)
        found = self._processes.odd(torch.tensor([self.step, len(state)]))
        if found is None:
            sums = torch.tensor([int(checksum(each)) for each in state.values()])
            found = self._processes.odd(sums)
            name = repr(list(state)[found[1]]) if found else ""
        else:
            name = ("step", "number of tensors")[found[1]]
        if found:
            raise NumericalError(
                f"process {found[0]} has not the {name} of process 0 at step {self.step}; "
                f"{self._good(folder)}; look for a recipe that draws from elsewhere than its "
                f"batch, or a folder that the processes do not share"
            )

    def _good(self, folder: Path) -> str:
        last = next(reversed(checkpoints(folder)), None)
        return f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"

    def _diverged(self, what: str, folder: Path, step: int | None = None) -> NumericalError:
        learnt = ""
        if step is not None:
            batch = self._config.batch
            items = ", ".join(self._feed.names(step - 1, range(min(batch, NAMED))))
            more = f" and {batch - NAMED} more" * (batch > NAMED)
            learnt = f", which learnt from the items {items}{more} of the data"
        rate = f"--learning-rate {self._config.learning_rate / 2:g}"
        whole = " --precision float32" * (self._machine.autocast_dtype is not None)
        return NumericalError(
            f"{what} is not finite at step {step or self.step}{learnt}; {self._good(folder)}; go "
            f"on from there with kernel train --resume {folder} {rate}{whole}"
        )


@contextmanager
def _uninterrupted(deliver: bool = True) -> Iterator[list[int]]:
    """Hold back the signals that end a training until the block is done; a second one goes through.

    Yields those that came. Where they are not to be delivered, the block has to heed them. Only the
    main thread is sent signals; in another nothing is changed.
    """
    usual: dict[int, Any] = {}
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held and deliver:
            usual[number](number, frame)
        held.append(number)

    if threading.current_thread() is threading.main_thread():
        for each in signal.Signals:
            if each.name in ("SIGINT", "SIGTERM", "SIGHUP") and callable(signal.getsignal(each)):
                usual[each] = signal.getsignal(each)
                signal.signal(each, hold)
    try:
        yield held
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    for number in held[: int(deliver)]:
        usual[number](number, None)
