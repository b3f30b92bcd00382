"""Restoration by sampling: the tasks of the kernel with a model that knows what sounds are like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from damages import Damaged
from frames import Array

import kernel
from kernel import Player
from kernel.provenance import content_hash

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
        self._steps, self._samples = steps, samples
        self._player = kernel.load(model, steps=steps, batch=samples)
        plan = self._player.plan
        digest = (content_hash(plan.model.weights) or "").removeprefix("sha256:")
        self.name = f"`{Path(plan.model.name).name}` ({digest[:8]})"

    def key(self, way: Way, told: Mapping[str, Any], seed: int) -> str:
        """Return what tells the samples of a way from others of the same recording."""
        return repr((self.name, self._steps, self._samples, way.plugins, way.options, told, seed))

    def described(self, way: Way) -> str:
        """Return how a way samples: steps, solver, guidances and the options that are named."""
        plan = self._using(way, {}).plan
        solver, *guidances = (
            f"`{info.name}`" for kind in ("solver", "guidance") for info in plan.selection.of(kind)
        )
        options = [
            f"`{kind}.{name}={value}`"
            for kind, entries in way.options.items()
            for name, value in entries.items()
        ]
        return ", ".join([f"{plan.steps} steps of {solver}", *guidances, *options])

    def _using(self, way: Way, told: Mapping[str, Any]) -> Player:
        options = {
            f"{kind}.{name}": value
            for kind, entries in way.options.items()
            for name, value in entries.items()
        }
        options |= {f"task.{name}": value for name, value in told.items()}
        return self._player.using(*way.plugins, options=options)

    def restore(self, way: Way, told: Mapping[str, Any], path: Path, seed: int) -> Array:
        """Return samples of what a file was before it was damaged, [samples, L]."""
        player = self._using(way, told)
        sounds = player.sample(count=self._samples, seed=seed, inputs=[path])
        return np.stack([sound.audio[0].double().numpy() for sound in sounds])
