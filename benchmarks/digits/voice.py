"""A model that speaks digits with many solvers, and figures that are measured once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from classifier import clip
from torch import Tensor

import kernel
from kernel import Schedule, Solver
from kernel.provenance import content_hash
from kernel.record import write_json

BATCH = 50


@attrs.frozen(eq=False)
class Spoken:
    """Clips [N, RATE] that should be `digits` [N], made with `nfe` evaluations a batch."""

    clips: Tensor
    digits: Tensor
    nfe: int


class Voice:
    """A model, named or in a folder, with the schedule and the guidance that it recommends.

    Its network is loaded once. `formulation` is the name of its objective, `key` tells its weights
    from others.
    """

    def __init__(self, model: str) -> None:
        self._player = kernel.load(model, batch=BATCH)
        plan = self._player.plan
        self.assembly = plan.assembly
        self.formulation = str(plan.model.manifest.plugins["objective"])
        digest = (content_hash(plan.model.weights) or "").removeprefix("sha256:")
        self.key = f"{self.formulation} {digest[:8]}"

    def speak(
        self, solver: Solver, schedule: Schedule, steps: int, count: int, seed: int
    ) -> Spoken:
        """Return `count` digits, 0 to 9 again and again, that a solver makes on a grid."""
        player = self._player.using(solver, schedule)
        sounds = player.sample(count=count, steps=steps, seed=seed)
        clips = torch.stack([clip(sound.audio[0]) for sound in sounds])
        digits = torch.tensor([int(sound.text or -1) for sound in sounds])
        return Spoken(clips, digits, player.evaluations)


class Cells:
    """Figures by name in a JSON file: one that is there is not measured again.

    So an interrupted benchmark goes on where it was; who changes the code removes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def get(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of that name, measured if need be."""
        if name not in self._found:
            self._found[name] = measure()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._found)
        found: dict[str, Any] = self._found[name]
        return found
