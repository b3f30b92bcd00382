"""The checks of what belongs together in a task catch what they are there to catch."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from pydantic import Field

from kernel import (
    AudioSpec,
    ConditionSpec,
    InputError,
    Item,
    Measurement,
    Request,
    Task,
    UsageError,
    Window,
    read_audio,
)


class Words(Task):
    """Learn sounds that are named after their labels."""

    faults: tuple[str, ...] = Field((), description="what is broken")
    path: str | None = Field(None, description="folder")
    labels: tuple[str, ...] = Field(("9", "10", "beta"), description="labels")
    label: str | None = Field(None, description="the one to make")
    cache: float = Field(1.0, description="gigabytes kept")
    channels: int = Field(1, description="1 or 2")
    mask: bool = Field(False, description="say what is valid")
    valid_fraction: float = Field(0.0, description="share held out")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000, self.channels)

    @property
    def samples(self) -> int:
        return 4000

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=len(self.labels))

    def portable(self):  # type: ignore[no-untyped-def]
        return self.model_copy(update={"path": None})

    def named(self, word: str) -> Item:
        if word not in self.labels:
            raise UsageError(f"there is no label {word!r}; choose another")
        place = self.labels.index(word)
        if "zero" in self.faults:
            return Item(self.samples, vector=torch.eye(4)[place, 1:])
        if "twins" in self.faults:
            place = min(place, 1)
        return Item(self.samples, vector=torch.eye(3)[place])

    def dataset(self, split: str) -> Any:
        files = sorted(Path(self.path or ".").glob("*.wav"))
        if not files:
            raise InputError(f"there is no audio in {self.path}; name another folder")
        return Files(self, self._chosen(files, split))

    def _chosen(self, files: list[Path], split: str) -> list[Path]:
        held = round(self.valid_fraction * len(files))
        if "place" in self.faults:
            files = sorted(files, key=lambda file: zlib.crc32(str(file).encode()))
        if "leak" in self.faults:
            return files if split == "train" else files[:held]
        return files[held:] if split == "train" else files[:held]

    def collate(self, items, space):  # type: ignore[no-untyped-def]
        condition = super().collate(items, space)
        if "ones" in self.faults:
            given = torch.tensor([item.vector is not None for item in items])
            condition = attrs.evolve(condition, vector=condition.vector + ~given[:, None])
        if "unheard" in self.faults:
            condition = attrs.evolve(condition, valid=None)
        if "late" in self.faults and condition.valid is not None:
            condition = attrs.evolve(condition, valid=condition.valid.roll(1, -1))
        if "rank" in self.faults:
            rows = torch.arange(len(items))[:, None]
            condition = attrs.evolve(condition, vector=condition.vector + rows)
        return condition

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if inputs:
            raise UsageError(f"no inputs are taken, and {inputs[0]} is one; leave it out")
        if count < 1:
            raise UsageError("at least one; ask for more")
        turns = self.labels if self.label is None or "any" in self.faults else (self.label,)
        texts = [turns[index % len(turns)] for index in range(count)]
        told = [*texts[1:], texts[0]] if "next" in self.faults else texts
        return [
            Request(f"{index}", Window(4000, vector=self.named(word).vector), text)
            for index, (text, word) in enumerate(zip(texts, told, strict=True))
        ]


class Files:
    """Files, cut to 4000 samples."""

    def __init__(self, task: Words, files: list[Path]) -> None:
        self.task, self.files = task, files
        self.sounds = [read_audio(file, 8000, task.channels)[0] for file in files]
        if "doubled" in task.faults:
            self.sounds = [sound[:1].expand_as(sound) for sound in self.sounds]

    def __len__(self) -> int:
        return len(self.files)

    def item(self, index: int, generator: torch.Generator) -> Item:
        faults = self.task.faults
        sound = self.sounds[index]
        place = index - 1 if "shift" in faults else index
        word = self.files[place].stem.partition("_")[0]
        room = max(0, sound.shape[-1] - 4000)
        start = int(torch.randint(room + 1, (), generator=generator))
        start = start // 4 if "start" in faults else start
        cut = sound[:, start : start + 4000]
        if "kept" in faults and not self.task.cache:
            cut = 2 * cut
        valid = cut.shape[-1] if self.task.mask else None
        if "rounded" in faults and valid:
            valid = min(4000, valid + 300)
        if cut.shape[-1] < 4000:
            cut = torch.nn.functional.pad(cut, (0, 4000 - cut.shape[-1]))
            if "loop" in faults:
                cut[:, -100:] = 0.1
        audio = cut if "view" in faults else cut.clone()
        return Item(4000, audio, valid, self.task.named(word).vector)


class Whole(Task):
    """Make recordings anew in two windows."""

    faults: tuple[str, ...] = Field((), description="what is broken")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 4000

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if count < 1 or not inputs:
            raise UsageError("one recording or more; name one")
        files = inputs[:1] if "first" in self.faults else inputs
        given = [read_audio(files[index % len(files)], 8000, 1)[0] for index in range(count)]
        return [Request(f"{i}", Window(4000), given=each) for i, each in enumerate(given)]

    def make(self, request):  # type: ignore[no-untyped-def]
        length = request.given.shape[-1]
        sound = torch.nn.functional.pad(request.given, (0, 7600 - length))
        cuts = [sound[:, :4000], sound[:, 3600:]]
        windows = [attrs.evolve(request.window, origin=cut) for cut in cuts]
        first, second = yield windows
        gain = 2.0 if "louder" in self.faults else 0.5
        both = gain * (first[:, -400:] + second[:, :400])
        audio = torch.cat([first[:, :-400], both, second[:, 400:]], -1)[:, :length]
        audio = audio * (3 if "level" in self.faults else 1)
        return [request.finished(audio, 8000)]


class Gap(Task):
    """Make half of a recording anew."""

    faults: tuple[str, ...] = Field((), description="what is broken")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 4000

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if count < 1 or not inputs:
            raise UsageError("one recording or more; name one")
        requests = []
        for index in range(count):
            audio, rate = read_audio(inputs[index % len(inputs)])
            half = audio.shape[-1] // 2 / rate
            window = Window(4000, origin=torch.full((1, 4000), float(index + 1)))
            told = {"given": audio, "spans": ((0.0, half),), "sample_rate": rate}
            requests.append(Request(f"{index}", window, **told))
        return requests

    def make(self, request):  # type: ignore[no-untyped-def]
        yield [request.window]
        audio = request.given.clone()
        count = audio.shape[-1] // 2
        if "same" not in self.faults:
            audio[:, :count] = 0.5 * audio[:, :count].flip(-1)
        if "wide" in self.faults:
            audio[:, count] *= 0.99
        if "clip" in self.faults:
            audio = audio.clamp(-0.05, 0.05)
        return [request.finished(audio, 8000)]

    def measure(self, items, space):  # type: ignore[no-untyped-def]
        origin = torch.stack([item.origin for item in items])
        if "first" in self.faults:
            origin = origin[:1].expand_as(origin)
        noise = origin[:, :, :1] * ("deviation" in self.faults) * (len(items) - 1)
        return Measurement(
            lambda x: x, origin, lambda a, b: (a - b).square().mean((1, 2)), noise=noise
        )


@pytest.mark.parametrize("component", [Words, Gap, Whole])
def test_what_is_sound_passes(component: Any, broken: Any) -> None:
    assert broken(component) == set()


@pytest.mark.parametrize(
    ("component", "fault", "check", "message"),
    [
        (Words, "shift", "labels", "item 0, of 10_1.wav, has not the label '10'"),
        (Words, "next", "labels", "'0' is told something else than '9'"),
        (Words, "zero", "null", "a vector is all zeros, which is the null condition"),
        (Words, "twins", "null", "'beta' is told as another label is"),
        (Words, "ones", "null", "an item without a vector is not told zeros"),
        (Words, "any", "null", "a request is not told '10'"),
        (Words, "rounded", "valid", "is silent before"),
        (Words, "loop", "valid", "sounds beyond"),
        (Words, "late", "valid", "other frames than the first"),
        (Words, "unheard", "valid", "items say what is valid, and their condition does not"),
        (Words, "rank", "batches", "the vector of windows differs in a batch and alone"),
        (Gap, "first", "batches", "the target of window 1 differs by"),
        (Gap, "deviation", "batches", "the noise of window 0 is another in a batch"),
        (Words, "view", "owned", "keeps what is done to its audio"),
        (Words, "start", "crops", "12 stretches of"),
        (Words, "kept", "memory", "item 0 is another without a cache"),
        (Words, "place", "splits", "the same files in another folder are split otherwise"),
        (Words, "doubled", "channels", "a channel of item 0 is like that of 10_1.wav to"),
        (Whole, "first", "inputs", "6 requests of 6 files are given 1"),
        (Whole, "level", "echo", "though every window is as its origin"),
        (Whole, "louder", "joined", "windows of one level become a sound of levels"),
        (Words, "leak", "splits", "both splits together hold"),
        (Gap, "same", "kept", "is as given within a span"),
        (Gap, "wide", "kept", "from what is given, beside a span"),
        (Gap, "clip", "kept", "from what is given, beside a span"),
    ],
)
def test_what_is_broken_is_caught(
    component: Any, fault: str, check: str, message: str, catch: Any
) -> None:
    assert message in catch(component, check, faults=[fault])
