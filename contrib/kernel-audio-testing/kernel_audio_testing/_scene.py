"""What the checks of a task stand on: the task, files that the kit makes, a space of samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel import Item, Request, Window
from kernel.audio import write_audio
from kernel.errors import KernelError
from kernel.kinds.task import Task
from kernel.values import Condition, ConditionSpec, LatentSpace, LatentSpec, Sound
from kernel_audio_testing._sounds import tones
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import finite

__all__ = [
    "Scene",
    "fits",
    "same_parts",
    "same_window",
    "scene_of",
    "sounds_fit",
    "space_of",
    "write_sounds",
]

ENDLESS = 1000
"""Lists of windows after which a coroutine is taken not to end."""

LABELS = ("alpha", "beta", "gamma")


@attrs.frozen
class Scene:
    """A task and the files that it may be given."""

    task: Task
    files: tuple[Path, ...]

    def requests(self, count: int) -> list[Request]:
        """Return requests from no inputs or, where the task wants some, from as many as it takes.

        The last files are the longest.
        """
        reason = ""
        for files in ((), self.files, self.files[-1:], self.files[-2:]):
            try:
                return list(self.task.requests(files, count))
            except KernelError as error:
                reason = str(error)
        raise Inapplicable(f"the kit cannot make requests: {reason}")

    def made(self, count: int) -> Iterator[tuple[list[list[Window]], list[Sound]]]:
        """Yield the lists of windows of each request, and its sounds, when tones are made of them.

        Raises Violation for a coroutine that does not end, or changes what it is sent.
        """
        for request in self.requests(count):
            coroutine = self.task.make(request)
            lists: list[list[Window]] = []
            answer: list[Tensor] = []
            while len(lists) < ENDLESS:
                copies = [each.clone() for each in answer]
                try:
                    windows = coroutine.send(answer) if lists else next(coroutine)
                except StopIteration as end:
                    yield lists, end.value
                    break
                finally:
                    kept = all(map(torch.equal, copies, answer))
                    require(kept, "making a request changes the audio of its windows in place")
                lists.append(windows)
                answer = [tones(self.task.audio, each.samples, batch=1)[0] for each in windows]
            else:
                raise Violation(f"making {request.name!r} does not end after {ENDLESS} lists")

    def batches(self) -> Iterator[list[Window]]:
        """Yield the windows of three requests, those that are sampled jointly together."""
        for lists, _ in self.made(3):
            for windows in lists:
                units: dict[int | Window, list[Window]] = {}
                for each in windows:
                    units.setdefault(each if each.joint is None else each.joint, []).append(each)
                yield from units.values()


@contextmanager
def scene_of(subject: Subject) -> Iterator[Scene]:
    """Yield the resolved task; its option `path`, if it has one, is a folder of sounds."""
    task: Task = subject.make()
    with TemporaryDirectory() as folder:
        files = tuple(write_sounds(Path(folder), task))
        if "path" in type(task).model_fields and "path" not in subject.options:
            task = subject.make(path=folder)
        try:
            task = task.resolve()
        except KernelError as error:
            raise Inapplicable(f"the task cannot be resolved: {error}") from None
        yield Scene(task, files)


def write_sounds(folder: Path, task: Task) -> Iterator[Path]:
    """Write six sounds, three of them shorter than an item of the task and three longer."""
    for number in range(6):
        place = folder / f"{LABELS[number % 3]}_{number}.wav"
        samples = task.samples * (2 + number) // 4 + 501 * (number > 2)
        sound = tones(task.audio, samples, batch=1, seed=number % 2)
        write_audio(place, sound[0], task.audio.sample_rate)
        yield place


def fits(condition: Condition, spec: ConditionSpec, what: str, batch: int = 1) -> None:
    widths = {"vector": -1, "sequence": -1, "aligned": 1}
    for name, axis in widths.items():
        part, width = getattr(condition, name), getattr(spec, name)
        found = 0 if part is None else part.shape[axis]
        require(
            found == width,
            f"the {name} of {what} has the width {found} and the task's condition says {width}",
        )
    for name in (*widths, "mask", "origin"):
        part = getattr(condition, name)
        if part is not None:
            require(
                len(part) == batch, f"the {name} of {what} is for {len(part)} items, not {batch}"
            )
            finite(part.float(), f"the {name} of {what}")


def sounds_fit(item: Item, task: Task, samples: int, what: str) -> None:
    """Require that every sound of an item is finite and [C, samples]."""
    require(item.samples == samples, f"{what} has {item.samples} samples, not {samples}")
    for name in ("audio", "aligned", "origin"):
        sound = getattr(item, name)
        if sound is not None:
            shape, wanted = tuple(sound.shape), (task.audio.channels, samples)
            require(shape == wanted, f"the {name} of {what} has the shape {shape}, not {wanted}")
            finite(sound, f"the {name} of {what}")
    valid = samples if item.valid is None else item.valid
    require(0 < valid <= samples, f"{what} says that {valid} of {samples} samples are valid")


def same_window(one: Request, other: Request) -> bool:
    return type(one.window) is type(other.window) and same_parts(
        *(
            Item(**{name: getattr(each.window, name) for name in attrs.fields_dict(Item)})
            for each in (one, other)
        )
    )


def same_parts(one: Any, other: Any) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in attrs.fields_dict(type(one))]
    return all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b
        for a, b in pairs
    )


def space_of(task: Task, samples: int) -> LatentSpace:
    """Return a space in which audio is its own latent, and no encoder is installed."""

    def encoder(spelling: str) -> Any:
        raise Inapplicable(f"the kit has no encoder {spelling}")

    audio = task.audio
    return LatentSpace(
        audio,
        samples,
        LatentSpec(audio.channels, (samples,)),
        lambda audio: audio,
        lambda x0, length: x0[..., :length],
        encoder,
        torch.float32,
        torch.device("cpu"),
    )
