"""The checks of what a task makes of recordings catch what they are there to catch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import torch
from pydantic import Field

from kernel import (
    AudioSpec,
    ConditionSpec,
    InputError,
    Item,
    Request,
    Task,
    UsageError,
    Window,
    read_audio,
    resample,
)


class Echo(Task):
    """Learn files beside a softer copy, and make recordings anew in two windows."""

    fault: str = Field("none", description="what is broken")
    path: str | None = Field(None, description="folder")
    pattern: str = Field("**/*", description="files of the folder")
    mode: Literal["whole", "cut"] = Field("whole", description="how a recording is made")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 4000

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(aligned=1)

    def portable(self):  # type: ignore[no-untyped-def]
        return self.model_copy(update={"path": None})

    def dataset(self, split: str) -> Any:
        pattern = "*" if self.fault == "flat" else self.pattern
        files = sorted(each for each in Path(self.path or ".").glob(pattern) if each.is_file())
        if not files:
            raise InputError(f"there is no audio in {self.path}; name another folder")
        return Copies(self.fault, [self._read(file) for file in files])

    def _read(self, file: Path) -> torch.Tensor:
        if self.fault != "rate":
            return read_audio(file, 8000, 1)[0]
        return read_audio(file)[0].mean(0, keepdim=True)

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if count < 1 or not inputs:
            raise UsageError("one recording or more; name one")
        made = []
        for index in range(count):
            audio, rate = read_audio(inputs[index % len(inputs)])
            rate = 8000 if self.fault == "told" else rate
            made.append(Request(f"{index}", Window(4000), given=audio, sample_rate=rate))
        return made

    def make(self, request):  # type: ignore[no-untyped-def]
        rate, given = request.sample_rate, request.given
        sound = resample(given[:1], rate, 8000)
        count = -(-sound.shape[-1] // 4000)
        padded = torch.nn.functional.pad(sound, (0, 4000 * count - sound.shape[-1]))
        made = yield [attrs.evolve(request.window, origin=cut) for cut in padded.split(4000, -1)]
        if self.mode == "cut" or self.fault == "short":
            made = made[:1]
        audio = resample(torch.cat(made, -1), 8000, rate)[:, : given.shape[-1]]
        audio = audio.expand(1 if self.fault == "mono" else len(given), -1)
        return [request.finished(audio, rate)]


@attrs.frozen
class Copies:
    """Sounds of 4000 samples, each beside a softer copy of it."""

    fault: str
    sounds: list[torch.Tensor]

    def __len__(self) -> int:
        return len(self.sounds)

    def item(self, index: int, generator: torch.Generator) -> Item:
        sound = self.sounds[index]
        audio = torch.nn.functional.pad(sound, (0, max(0, 4000 - sound.shape[-1])))[:, :4000]
        return Item(4000, audio, aligned=0.5 * audio.roll(80 if self.fault == "late" else 0, -1))


@pytest.mark.parametrize(
    ("fault", "check", "message"),
    [
        ("flat", "files", "are 1 items"),
        ("rate", "files", "no item is like"),
        ("told", "given", "what a request is given is not like"),
        ("mono", "given", "a sound (1, "),
        ("short", "given", "is shorter by a window or more"),
        ("late", "in_time", "the aligned of item 0 is +10.0 ms beside its audio"),
    ],
)
def test_what_is_broken_is_caught(fault: str, check: str, message: str, catch: Any) -> None:
    assert message in catch(Echo, check, fault=fault)


def test_what_is_sound_passes(broken: Any) -> None:
    assert not {"files", "given", "in_time"} & broken(Echo)


def test_a_choice_that_breaks_a_promise_is_named(catch: Any) -> None:
    assert "with mode='cut': a sound (" in catch(Echo, "choices")
