"""The sounds that are made while a training goes on, and change nothing in it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.errors import NumericalError, UsageError
from kernel.files import staged
from kernel.kinds.observer import Observer
from kernel.kinds.solver import Solver
from kernel.runner.device import Machine
from kernel.runner.run import write_sound
from kernel.runner.sampling import Companion, Sampler
from kernel.values import Sound
from kernel_audio_training.config import TrainConfig

__all__ = ["Samples"]

FOLDER = "samples"


class Samples:
    """Makes the first sounds of the task with averaged weights, the same noise every time.

    codec: placed on the machine's device, frozen. Raises UsageError where samples are asked for and
    cannot be made, such as without a solver.
    """

    def __init__(
        self,
        assembly: Assembly,
        config: TrainConfig,
        machine: Machine,
        codec: nn.Module,
        observers: Sequence[Observer],
        companion: Companion,
    ) -> None:
        if not config.sample_every:
            return
        if assembly.recipe.trains != ("backbone",):
            raise UsageError(
                f"{assembly.spelling('recipe')} trains {' and '.join(assembly.recipe.trains)}, "
                f"and samples are made of a network alone; leave sample_every out"
            )
        if not assembly.all(Solver):
            raise UsageError(
                "sample_every needs a solver, e.g. --plugins unipc; name one, or leave it out"
            )
        task = assembly.task
        self._requests = task.requests(config.sample_inputs, config.sample_count)
        self._steps = config.sampling_steps or 16
        self._batch, self._seed = config.micro_batch or config.batch, config.seed
        self._observers, self._machine = observers, machine
        with self._apart():
            self._network = assembly.build_network(assembly.condition)
        network = self._network
        self._sampler = Sampler(
            assembly, assembly.condition, network, codec, machine, companion=companion
        )

    def there(self, folder: Path, step: int) -> bool:
        """Return whether the samples of a step were made."""
        return (folder / FOLDER / f"{step:08d}").exists()

    def make(self, folder: Path, step: int, exports: Mapping[str, Tensor]) -> None:
        """Write the sounds of the `backbone` into `samples/STEP`, in place of any there.

        The observers are told of each, with the `step` in its entry. Weights that make no sound are
        a warning.
        """
        prefix = "backbone."
        weights = {n.removeprefix(prefix): v for n, v in exports.items() if n.startswith(prefix)}
        self._network.load_state_dict(weights)
        try:
            made = self._made(folder / FOLDER / f"{step:08d}", step)
        except NumericalError as error:
            warnings.warn(f"there are no samples of step {step}: {error}", stacklevel=2)
            return
        for sound, entry in made:
            for observer in self._observers:
                observer.sound(sound, entry)

    def _made(self, place: Path, step: int) -> list[tuple[Sound, dict[str, Any]]]:
        """Write the sounds of a step into a folder; return them with what is said of each."""
        made = []
        with self._apart(), staged(place, replace=True) as stage:
            sounds = self._sampler.sounds(self._requests, self._steps, self._seed, self._batch)
            for index, sound in sounds:
                entry = write_sound(stage, sound)
                for name in ("file", "given"):
                    if entry[name]:
                        entry[name] = f"{FOLDER}/{place.name}/{entry[name]}"
                seed = [self._seed, index]
                made.append((sound, entry | {"step": step, "seed": seed, "scores": {}}))
        return made

    def _apart(self) -> AbstractContextManager[None]:
        """Return a context that leaves the global generators as they are."""
        devices = [self._machine.device] if self._machine.device.type == "cuda" else []
        return torch.random.fork_rng(devices)
