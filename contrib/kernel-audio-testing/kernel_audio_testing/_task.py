"""What tasks are held to, with a folder of short sounds that the kit makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.audio import write_audio
from kernel.errors import KernelError, UsageError
from kernel.kinds.task import Task
from kernel.values import Condition, ConditionSpec, Item, LatentSpace, LatentSpec, Request
from kernel_audio_testing._sounds import tones
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import finite, generator_untouched, refuses

__all__ = ["CHECKS"]

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
                return self.task.requests(files, count)
            except KernelError as error:
                reason = str(error)
        raise Inapplicable(f"the kit cannot make requests: {reason}")

    def windows(self) -> Iterator[list[Request]]:
        """Yield the windows of three requests, those that are sampled jointly together."""
        for request in self.requests(3):
            for _, group in groupby(enumerate(self.task.windows(request)), _joint):
                yield [window for _, window in group]


def _joint(numbered: tuple[int, Request]) -> tuple[bool, int]:
    """Return what a window shares with those that are sampled in one batch with it."""
    number, window = numbered
    return window.joint is None, number if window.joint is None else window.joint


@contextmanager
def _scene(subject: Subject) -> Iterator[Scene]:
    """Yield the resolved task; its option `path`, if it has one, is a folder of sounds."""
    task: Task = subject.make()
    with TemporaryDirectory() as folder:
        files = tuple(_sounds(Path(folder), task))
        if "path" in type(task).model_fields and "path" not in subject.options:
            task = subject.make(path=folder)
        try:
            task = task.resolve()
        except KernelError as error:
            raise Inapplicable(f"the task cannot be resolved: {error}") from None
        yield Scene(task, files)


def _sounds(folder: Path, task: Task) -> Iterator[Path]:
    """Write six sounds, three of them shorter than an item of the task and three longer."""
    for number in range(6):
        place = folder / f"{LABELS[number % 3]}_{number}.wav"
        samples = task.samples * (2 + number) // 4 + 501 * (number > 2)
        sound = tones(task.audio, samples, batch=1, seed=number % 2)
        write_audio(place, sound[0], task.audio.sample_rate)
        yield place


def _fits(condition: Condition, spec: ConditionSpec, what: str, batch: int = 1) -> None:
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


def check_requests(subject: Subject) -> str | None:
    """Check that as many requests are made as asked for, with names fit for files."""
    with _scene(subject) as scene:
        for count in (1, 2, 11):
            requests = scene.requests(count)
            require(len(requests) == count, f"{count} requests are asked for, {len(requests)} made")
            names = [request.name for request in requests]
            require(len(set(names)) == count, f"the names of {count} requests are {names}")
            strange = [name for name in names if not name or "/" in name or name.startswith(".")]
            require(not strange, f"a request is called {strange[:1]}, which cannot be a file")
            lengths = [request.samples for request in requests if request.samples < 1]
            require(not lengths, f"a request is for {lengths[:1]} samples")
    return f"{names[0]} to {names[-1]}"


def check_request_conditions(subject: Subject) -> str | None:
    """Check that the conditions of requests are as wide as the task says, for one item each."""
    with _scene(subject) as scene:
        for request in scene.requests(4):
            _fits(request.condition, scene.task.condition, f"the request {request.name!r}")
    return None


def check_request_count(subject: Subject) -> str | None:
    """Check that fewer than one request is refused with a UsageError."""
    with _scene(subject) as scene:
        scene.requests(1)
        for count in (0, -1):
            refuses(UsageError, f"{count} requests", scene.task.requests, (), count)
    return None


def check_repeatable(subject: Subject) -> str | None:
    """Check that the same requests are made each time, and no global generator is used."""
    with _scene(subject) as scene, generator_untouched("the task"):
        for one, other in zip(scene.requests(5), scene.requests(5), strict=True):
            alike = (one.name, one.samples, one.label) == (other.name, other.samples, other.label)
            require(
                alike and _same_parts(one.condition, other.condition), "requests differ each time"
            )
    return None


def check_prefix(subject: Subject) -> str | None:
    """Check that a request does not depend on how many more are asked for."""
    with _scene(subject) as scene:
        many = scene.requests(7)
        for count in (1, 3):
            for index, few in enumerate(scene.requests(count)):
                other = many[index]
                alike = (few.samples, few.label) == (other.samples, other.label)
                require(
                    alike and _same_parts(few.condition, other.condition),
                    f"request {index} of {count} is another than request {index} of {len(many)}",
                )
    return None


def check_references(subject: Subject) -> str | None:
    """Check that a task that offers `reference` gives every request one as long as its sound."""
    with _scene(subject) as scene:
        if "reference" not in scene.task.offers:
            raise Inapplicable("it does not offer `reference`")
        for request in scene.requests(3):
            wanted = (scene.task.audio.channels, request.samples)
            found = None if request.reference is None else tuple(request.reference.shape)
            require(found == wanted, f"the reference of {request.name!r} is {found}, not {wanted}")
            assert request.reference is not None
            finite(request.reference, f"the reference of {request.name!r}")
    return None


def check_bad_inputs(subject: Subject) -> str | None:
    """Check that an input file that is missing or no audio is refused by its name."""
    with _scene(subject) as scene:
        folder = scene.files[0].parent
        (folder / "text.wav").write_text("This is no sound.")
        for name, what in (("absent.wav", "that does not exist"), ("text.wav", "that is no audio")):
            _refused(name, f"an input file {what}", scene.task.requests, [folder / name], 1)
    return None


def check_bad_folders(subject: Subject) -> str | None:
    """Check that a folder of data that is missing, empty or damaged is refused by its name."""
    if "path" not in subject.load().model_fields or "path" in subject.options:
        raise Inapplicable("the task has no option `path` that the kit could set to a folder")
    with TemporaryDirectory() as place:
        empty, damaged = Path(place, "empty"), Path(place, "damaged")
        empty.mkdir()
        damaged.mkdir()
        *_, last = _sounds(damaged, subject.make())
        last.write_text("This is no sound.")

        def train(folder: Path) -> None:
            subject.make(path=str(folder)).resolve().dataset("train")

        cases = (("absent", "missing"), ("empty", "empty"), (last.name, "damaged"))
        for (name, what), folder in zip(
            cases, (Path(place, "absent"), empty, damaged), strict=True
        ):
            _refused(name, f"a folder that is {what}", train, folder)
    return None


def _refused(name: str, what: str, call: Callable[..., object], *arguments: object) -> None:
    """Raise Violation unless the call raises a KernelError whose message has `name` in it."""
    try:
        call(*arguments)
    except KernelError as error:
        require(name in str(error), f"{what} is refused without naming {name}: {error}")
    except Exception as error:
        raise Violation(f"{what} raises {type(error).__name__}, not a KernelError") from error
    else:
        raise Violation(f"{what} is accepted")


def check_resolve(subject: Subject) -> str | None:
    """Check that resolving a second time changes nothing, and the result can be saved."""
    with _scene(subject) as scene:
        task = scene.task
        require(task.resolve() == task, "resolving a second time changes the task")
        again = type(task).model_validate(task.model_dump(mode="json"))
        require(again == task, "what was resolved does not survive being saved")
    return None


def check_portable(subject: Subject) -> str | None:
    """Check that a portable task names nothing of this machine and makes the same requests."""
    with _scene(subject) as scene:
        portable = scene.task.portable()
        require(portable.portable() == portable, "making it portable a second time changes it")
        folder = str(scene.files[0].parent)
        require(folder not in portable.model_dump_json(), "its options still name a folder here")
        for name in ("audio", "samples", "condition"):
            before, after = getattr(scene.task, name), getattr(portable, name)
            require(before == after, f"{name} was {before} and is {after} once portable")
        wanted = [request.name for request in scene.requests(3)]
        found = [request.name for request in attrs.evolve(scene, task=portable).requests(3)]
        require(found == wanted, f"once portable it requests {found}, not {wanted}")
    return None


def check_dataset(subject: Subject) -> str | None:
    """Check that items are as long as they have to be, and depend on index and generator alone."""
    with _scene(subject) as scene:
        task = scene.task
        data, again = _dataset(scene), _dataset(scene)
        require(len(data) > 0, "the training data is empty")
        require(len(data) == len(again), "the training data has another length each time")
        with generator_untouched("the data set"):
            chosen = _some(len(data))
            backwards = {index: again.item(index, _seeded()) for index in reversed(chosen)}
            for index in chosen:
                item = data.item(index, _seeded())
                _sounds_fit(item, task, task.samples, f"item {index}")
                require(item.audio is not None, f"item {index} has no audio to learn")
                require(
                    _same_parts(item, backwards[index]), f"item {index} is another in another order"
                )
    return f"{len(data)} items"


def check_collate(subject: Subject) -> str | None:
    """Check that the condition of a batch is as wide as the task says, and items do not mix."""
    with _scene(subject) as scene:
        task, data = scene.task, _dataset(scene)
        space = _space(task, task.samples)
        items = [data.item(index, _seeded()) for index in _some(len(data))[-3:]]
        whole = task.collate(items, space)
        _fits(whole, task.condition.of(space.latent), "a batch of items", len(items))
        for row, item in enumerate(items):
            alone = task.collate([item], space)
            for name in attrs.fields_dict(Condition):
                one, many = getattr(alone, name), getattr(whole, name)
                if one is not None:
                    # Beside longer ones, a sequence is padded.
                    found = many[row][tuple(slice(length) for length in one.shape[1:])]
                    require(
                        torch.equal(found, one[0]),
                        f"the {name} of item {row} is another one beside other items",
                    )
    return None


def _sounds_fit(item: Item, task: Task, samples: int, what: str) -> None:
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


def _same_parts(one: Any, other: Any) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in attrs.fields_dict(type(one))]
    return all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b
        for a, b in pairs
    )


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def _dataset(scene: Scene) -> Any:
    try:
        return scene.task.dataset("train")
    except NotImplementedError:
        raise Inapplicable("the task has no data") from None
    except KernelError as error:
        raise Inapplicable(f"the kit has no data for it: {error}") from None


def _some(count: int) -> list[int]:
    """Return the first indices of so many, and the last one."""
    return sorted({*range(min(count, 8)), count - 1})


def check_windows(subject: Subject) -> str | None:
    """Check that windows can be sampled: as long as they say, told and started as the task says."""
    with _scene(subject) as scene:
        for group in scene.windows():
            lengths = {window.samples for window in group}
            require(len(lengths) == 1, f"windows with the same `joint` have {lengths} samples")
            for window in group:
                what = f"a window of {window.name!r}"
                require(window.samples > 0, f"{what} has {window.samples} samples")
                _fits(window.condition, scene.task.condition, what)
                if window.origin is not None:
                    wanted = (scene.task.audio.channels, window.samples)
                    found = tuple(window.origin.shape)
                    require(found == wanted, f"the origin of {what} is {found}, not {wanted}")
                    finite(window.origin, f"the origin of {what}")
        start = scene.task.start
        require(start is None or start > 0, f"it starts at {start} times the deviation of the data")
    return None


def check_measurement(subject: Subject) -> str | None:
    """Check that what is measured is like its target, item by item, and projecting agrees more."""
    with _scene(subject) as scene:
        for group in scene.windows():
            task, samples = scene.task, group[0].samples
            known = task.measurement(group, _space(task, samples))
            if known is None:
                raise Inapplicable("it knows nothing of its sounds beforehand")
            x0 = torch.cat([tones(task.audio, samples, 1, seed) for seed in range(len(group))])
            before = x0.clone()
            found = known.operator(x0)
            require(
                found.shape == known.target.shape,
                f"it measures {tuple(found.shape)}, and its target is {tuple(known.target.shape)}",
            )
            finite(known.target, "the target")
            distance = known.distance(found, known.target)
            require(
                distance.shape == (len(x0),),
                f"the distance of {len(x0)} items has the shape {tuple(distance.shape)}, which "
                "ought to be one value for each",
            )
            positive = bool((torch.as_tensor(known.noise) >= 0).all())
            require(positive, f"the deviation of its noise is {known.noise}")
            if known.project is not None:
                nearer = known.project(x0)
                require(nearer.shape == x0.shape, f"it projects to {tuple(nearer.shape)}")
                after = known.distance(known.operator(nearer), known.target)
                require(
                    bool((after <= distance * (1 + 1e-5) + 1e-6).all()),
                    f"projecting takes the distance from {distance.tolist()} to {after.tolist()}",
                )
            require(torch.equal(x0, before), "measuring or projecting changes the latent in place")
    return None


def _space(task: Task, samples: int) -> LatentSpace:
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


def check_finish(subject: Subject) -> str | None:
    """Check that what is joined and written is finite audio [C, L], and nothing given changes."""
    with _scene(subject) as scene:
        task, request = scene.task, scene.requests(1)[0]
        windows = task.windows(request)
        parts = [tones(task.audio, window.samples, batch=1)[0] for window in windows]
        copies = [part.clone() for part in parts]
        audio = task.join(parts, request)
        require(all(map(torch.equal, copies, parts)), "join changes the windows in place")
        before = audio.clone()
        found = task.finish(audio, request)
        require(torch.equal(before, audio), "finish changes the audio in place")
        require(found.ndim == 2 and found.shape[-1] > 0, f"finish returns {tuple(found.shape)}")
        finite(found, "the finished audio")
    return None


CHECKS = (
    check_requests,
    check_request_conditions,
    check_request_count,
    check_repeatable,
    check_prefix,
    check_references,
    check_resolve,
    check_portable,
    check_dataset,
    check_collate,
    check_bad_inputs,
    check_bad_folders,
    check_windows,
    check_measurement,
    check_finish,
)
