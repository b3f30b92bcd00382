"""The checks of tasks catch what they are there to catch."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from pydantic import Field

from kernel import (
    AudioSpec,
    Condition,
    ConditionSpec,
    InputError,
    Measurement,
    Request,
    Task,
    UsageError,
    Window,
    read_audio,
)


class Plain(Task):
    """Ask for sounds."""

    faults: tuple[str, ...] = Field((), description="what is broken")
    path: str | None = Field(None, description="folder")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 800

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=3)

    def portable(self):  # type: ignore[no-untyped-def]
        return self if "path" in self.faults else self.model_copy(update={"path": None})

    def resolve(self):  # type: ignore[no-untyped-def]
        more = ("again", *self.faults)
        return self.model_copy(update={"faults": more}) if "resolve" in self.faults else self

    def dataset(self, split: str) -> Any:
        files = sorted(Path(self.path or ".").glob("*.wav"))
        if not files and "folder" not in self.faults:
            raise InputError(f"there is no audio in {self.path}; name another folder")
        if "damage" not in self.faults:
            for file in files:
                read_audio(file, 8000, 1)
        return Data(self.faults)

    def collate(self, items, space):  # type: ignore[no-untyped-def]
        condition = super().collate(items, space)
        if "collate" in self.faults:
            return Condition(vector=torch.ones(1, 3))
        if "neighbours" in self.faults and len(items) > 1:
            return Condition(vector=condition.vector.roll(1, 0).cumsum(0))
        return condition

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if inputs and "inputs" not in self.faults:
            raise UsageError(f"no inputs are taken, and {inputs[0]} is one; leave it out")
        if count < 1 and "count" not in self.faults:
            raise UsageError("at least one; ask for more")
        width = 2 if "width" in self.faults else 3
        shift = random.random() if "random" in self.faults else 0.0
        shift += count if "prefix" in self.faults else 0
        names = ["sound" if "names" in self.faults else f"{index:02d}" for index in range(count)]
        reference = torch.zeros(1, 799 if "reference" in self.faults else 800)
        window = Window(800, vector=torch.ones(width) + shift)
        return [Request(name, window, None, reference) for name in names]

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"reference"})

    def make(self, request):  # type: ignore[no-untyped-def]
        start = 0.0 if "start" in self.faults else 2.0
        origin = torch.zeros(1, 400)
        half = attrs.evolve(request.window, samples=400, origin=origin, joint=0, start=start)
        other = {"samples": 399} if "joint" in self.faults else {}
        other |= {"origin": torch.zeros(1, 399)} if "origin" in self.faults else {}
        made = yield [half, attrs.evolve(half, **other)]
        while "endless" in self.faults:
            yield [half]
        if "place" in self.faults:
            made[0].zero_()
        audio = torch.cat(made, -1)
        if "infinite" in self.faults:
            audio = audio / 0
        sound = request.finished(audio[0] if "flat" in self.faults else audio, 8000)
        if "silent" in self.faults:
            return []
        return [attrs.evolve(sound, name="one") if "same" in self.faults else sound]

    def measure(self, items, space):  # type: ignore[no-untyped-def]
        batch = 1 if "target" in self.faults else len(items)
        target = torch.zeros(batch, 1, 50)

        def distance(found, target):  # type: ignore[no-untyped-def]
            each = (found - target).square()
            return each.mean() if "distance" in self.faults else each.mean((1, 2))

        def project(x0):  # type: ignore[no-untyped-def]
            known = target + ("projection" in self.faults)
            return torch.cat([known.expand(len(x0), -1, -1), x0[..., 50:]], -1)

        return Measurement(lambda x0: x0[..., :50], target, distance, project)


class Data:
    """Four examples of noise."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults, self.asked = faults, 0

    def __len__(self) -> int:
        return 4

    def item(self, index: int, generator: torch.Generator) -> Any:
        from kernel import Item

        source = None if "crop" in self.faults else generator
        self.asked += 1 if "order" in self.faults else 0
        audio = self.asked + torch.rand(1, 700 if "short" in self.faults else 800, generator=source)
        valid = 801 if "valid" in self.faults else 800
        return Item(800, audio, valid, torch.ones(2 if "narrow" in self.faults else 3))


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Plain) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Plain, {"faults": ["names"]}, "requests"),
        (Plain, {"faults": ["width"]}, "conditions"),
        (Plain, {"faults": ["count"]}, "request_count"),
        (Plain, {"faults": ["random"]}, "repeatable"),
        (Plain, {"faults": ["resolve"]}, "resolve"),
        (Plain, {"faults": ["path"]}, "portable"),
        (Plain, {"faults": ["prefix"]}, "prefix"),
        (Plain, {"faults": ["reference"]}, "references"),
        (Plain, {"faults": ["inputs"]}, "bad_inputs"),
        (Plain, {"faults": ["folder"]}, "bad_folders"),
        (Plain, {"faults": ["damage"]}, "bad_folders"),
        (Plain, {"faults": ["start"]}, "windows"),
        (Plain, {"faults": ["joint"]}, "windows"),
        (Plain, {"faults": ["origin"]}, "windows"),
        (Plain, {"faults": ["target"]}, "measurement"),
        (Plain, {"faults": ["distance"]}, "measurement"),
        (Plain, {"faults": ["projection"]}, "measurement"),
        (Plain, {"faults": ["place"]}, "make"),
        (Plain, {"faults": ["endless"]}, "make"),
        (Plain, {"faults": ["infinite"]}, "make"),
        (Plain, {"faults": ["flat"]}, "make"),
        (Plain, {"faults": ["silent"]}, "make"),
        (Plain, {"faults": ["same"]}, "make"),
        (Plain, {"faults": ["order"]}, "dataset"),
        (Plain, {"faults": ["short"]}, "dataset"),
        (Plain, {"faults": ["crop"]}, "dataset"),
        (Plain, {"faults": ["valid"]}, "dataset"),
        (Plain, {"faults": ["narrow"]}, "collate"),
        (Plain, {"faults": ["collate"]}, "collate"),
        (Plain, {"faults": ["neighbours"]}, "collate"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)
