"""Restoration by sampling: the tasks of the kernel with a model that knows what sounds are like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from damages import Damaged
from frames import Array
from torch import nn

from kernel.config import RunConfig
from kernel.provenance import content_hash
from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel.runner.plan import Plan, plan_run
from kernel.runner.sampling import Sampler

Options = Mapping[str, Mapping[str, Any]]


@attrs.frozen
class Way:
    """What is named to the kernel: plugins, options, and those that depend on what is damaged.

    told: (damaged, sample rate) -> options of the task.
    """

    plugins: tuple[str, ...]
    options: Options = attrs.field(factory=dict)
    told: Callable[[Damaged, int], Mapping[str, Any]] = lambda damaged, rate: {}


class Prior:
    """A model, named or in a folder, whose network is loaded once."""

    def __init__(self, model: str, steps: int | None, samples: int) -> None:
        self._model, self._steps, self._samples = model, steps, samples
        self._registry = Registry.scan()
        self._loaded: tuple[nn.Module, nn.Module, Machine] | None = None
        plan = plan_run(RunConfig(model=model, steps=steps), self._registry)
        digest = (content_hash(plan.model.weights) or "").removeprefix("sha256:")
        self.name = f"`{Path(plan.model.name).name}` ({digest[:8]})"

    def key(self, way: Way, told: Mapping[str, Any], seed: int) -> str:
        """Return what tells the samples of a way from others of the same recording."""
        return repr((self.name, self._steps, self._samples, way.plugins, way.options, told, seed))

    def described(self, way: Way) -> str:
        """Return how a way samples: steps, solver, guidances and the options that are named."""
        plan = self._plan(way)
        solver, *guidances = (
            f"`{info.name}`" for kind in ("solver", "guidance") for info in plan.selection.of(kind)
        )
        options = [
            f"`{kind}.{name}={value}`"
            for kind, entries in way.options.items()
            for name, value in entries.items()
        ]
        return ", ".join([f"{plan.steps} steps of {solver}", *guidances, *options])

    def _plan(self, way: Way, told: Mapping[str, Any] | None = None, *inputs: Path) -> Plan:
        options = {kind: dict(entries) for kind, entries in way.options.items()}
        options["task"] = {**options.get("task", {}), **(told or {})}
        config = RunConfig(
            model=self._model,
            steps=self._steps,
            plugins=way.plugins,
            options=options,
            inputs=inputs,
        )
        return plan_run(config, self._registry)

    def restore(self, way: Way, told: Mapping[str, Any], path: Path, seed: int) -> Array:
        """Return samples of what a file was before it was damaged, [samples, L]."""
        plan = self._plan(way, told, path)
        assembly = plan.assembly
        if self._loaded is None:
            network = assembly.build_network(plan.model.condition)
            machine = Machine.choose(RunConfig())
            self._loaded = network, assembly.build_codec(), machine
        sampler = Sampler(assembly, plan.model.condition, *self._loaded)
        requests = assembly.task.requests((path,), self._samples)
        sounds = sampler.sounds(requests, plan.steps, seed, self._samples)
        return np.stack([sound.audio[0].double().numpy() for _, sound in sounds])
