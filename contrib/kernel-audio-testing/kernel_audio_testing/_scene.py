"""What the checks of a task stand on: the task, files that the kit makes, a space of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    "LABELS",
    "Scene",
    "dataset_of",
    "fits",
    "same_parts",
    "same_window",
    "scene_of",
    "seeded",
    "some",
    "sounds_fit",
    "space_of",
    "write_sounds",
]

ENDLESS = 1000
"""Lists of windows after which a coroutine is taken not to end."""

LABELS = ("9", "10", "beta")
"""Sorted by value, not as text, so that files are found in another order."""


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
            yield self.played(request)

    def sounds(self, request: Request) -> list[Sound]:
        """Return the sounds of a request when tones are made of its windows."""
        return self.played(request)[1]

    def echoed(self, request: Request) -> list[Sound]:
        """Return the sounds of a request when each window is its own origin; none without one."""
        lists, sounds = self.played(request, lambda window: window.origin)
        return sounds if all(each.origin is not None for row in lists for each in row) else []

    def played(
        self, request: Request, play: Callable[[Window], Tensor | None] = lambda window: None
    ) -> tuple[list[list[Window]], list[Sound]]:
        """Return the lists of windows of a request, and its sounds. Raises as `made` does.

        play: the audio of a window; None for tones.
        """
        coroutine = self.task.make(request)
        lists: list[list[Window]] = []
        answer: list[Tensor] = []
        while len(lists) < ENDLESS:
            copies = [each.clone() for each in answer]
            try:
                windows = coroutine.send(answer) if lists else next(coroutine)
            except StopIteration as end:
                return lists, end.value
            finally:
                kept = all(map(torch.equal, copies, answer))
                require(kept, "making a request changes the audio of its windows in place")
            lists.append(windows)
            played = [play(each) for each in windows]
            answer = [
                tones(self.task.audio, window.samples, batch=1)[0] if one is None else one.clone()
                for window, one in zip(windows, played, strict=True)
            ]
        raise Violation(f"making {request.name!r} does not end after {ENDLESS} lists")

    def batches(self) -> Iterator[list[Window]]:
        """Yield the windows of three requests, those that are sampled jointly together."""
        for lists, _ in self.made(3):
            for windows in lists:
                units: dict[int | Window, list[Window]] = {}
                for each in windows:
                    units.setdefault(each if each.joint is None else each.joint, []).append(each)
                yield from units.values()


SPAN = "0.1:0.2"
"""Seconds of a recording that are to be made anew, inside of every file of the kit."""


def _told(subject: Subject, folder: str) -> dict[str, Any]:
    """Return the options that the kit can set: a folder of sounds, a span of a recording."""
    known = {"path": folder, "span": SPAN}
    return {
        name: value
        for name, value in known.items()
        if name in subject.load().model_fields and name not in subject.options
    }


@contextmanager
def scene_of(subject: Subject, **changes: Any) -> Iterator[Scene]:
    """Yield the resolved task with `changes`; its `path`, if it has one, is a folder of sounds."""
    task: Task = subject.make(**changes)
    with TemporaryDirectory() as folder:
        files = tuple(write_sounds(Path(folder), task))
        task = subject.make(**_told(subject, folder), **changes)
        try:
            task = task.resolve()
        except KernelError as error:
            raise Inapplicable(f"the task cannot be resolved: {error}") from None
        yield Scene(task, files)


def write_sounds(folder: Path, task: Task) -> Iterator[Path]:
    """Write six sounds, all different, two of them shorter than an item of the task."""
    for number in range(6):
        place = folder / f"{LABELS[number % 3]}_{number}.wav"
        samples = task.samples * (2 + number) // 4 + 501 * (number > 2)
        sound = tones(task.audio, samples, batch=1, seed=number)
        write_audio(place, sound[0], task.audio.sample_rate)
        yield place


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def dataset_of(scene: Scene) -> Any:
    try:
        return scene.task.dataset("train")
    except NotImplementedError:
        raise Inapplicable("the task has no data") from None
    except KernelError as error:
        raise Inapplicable(f"the kit has no data for it: {error}") from None


def some(count: int) -> list[int]:
    """Return the first indices of so many, and the last one."""
    return sorted({*range(min(count, 8)), count - 1})


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
