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
        condition = Condition(vector=torch.ones(1, width) + shift)
        names = ["sound" if "names" in self.faults else f"{index:02d}" for index in range(count)]
        reference = torch.zeros(1, 799 if "reference" in self.faults else 800)
        return [Request(name, 800, condition, None, reference) for name in names]

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"reference"})

    @property
    def start(self) -> float | None:
        return 0.0 if "start" in self.faults else 2.0

    def windows(self, request):  # type: ignore[no-untyped-def]
        half = attrs.evolve(request, samples=400, origin=torch.zeros(1, 400), joint=0)
        other = {"samples": 399} if "joint" in self.faults else {}
        other |= {"origin": torch.zeros(1, 399)} if "origin" in self.faults else {}
        return half, attrs.evolve(half, **other)

    def measurement(self, requests, space):  # type: ignore[no-untyped-def]
        batch = 1 if "target" in self.faults else len(requests)
        target = torch.zeros(batch, 1, 50)

        def distance(found, target):  # type: ignore[no-untyped-def]
            each = (found - target).square()
            return each.mean() if "distance" in self.faults else each.mean((1, 2))

        def project(x0):  # type: ignore[no-untyped-def]
            known = target + ("projection" in self.faults)
            return torch.cat([known.expand(len(x0), -1, -1), x0[..., 50:]], -1)

        return Measurement(lambda x0: x0[..., :50], target, distance, project)

    def join(self, windows, request):  # type: ignore[no-untyped-def]
        if "join" in self.faults:
            windows[0].zero_()
        return torch.cat(list(windows), -1)

    def finish(self, audio, request):  # type: ignore[no-untyped-def]
        return audio.mul_(2) if "finish" in self.faults else audio


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
        (Plain, {"faults": ["width"]}, "request_conditions"),
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
        (Plain, {"faults": ["finish"]}, "finish"),
        (Plain, {"faults": ["join"]}, "finish"),
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
