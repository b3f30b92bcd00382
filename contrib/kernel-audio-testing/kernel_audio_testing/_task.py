"""What tasks are held to, with a folder of short sounds that the kit makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import torch

from kernel.errors import KernelError, UsageError
from kernel.values import Condition
from kernel_audio_testing import _belonging, _recordings
from kernel_audio_testing._options import choices, holds
from kernel_audio_testing._scene import (
    dataset_of,
    fits,
    same_parts,
    same_window,
    scene_of,
    seeded,
    some,
    sounds_fit,
    space_of,
    write_sounds,
)
from kernel_audio_testing._sounds import tones
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import finite, generator_untouched, refuses

__all__ = ["CHECKS"]


def check_requests(subject: Subject) -> str | None:
    """Check that it makes the requested number of requests, with names fit for files."""
    with scene_of(subject) as scene:
        for count in (1, 2, 11):
            requests = scene.requests(count)
            require(len(requests) == count, f"{count} requests are asked for, {len(requests)} made")
            names = [request.name for request in requests]
            require(len(set(names)) == count, f"the names of {count} requests are {names}")
            strange = [name for name in names if not name or "/" in name or name.startswith(".")]
            require(not strange, f"a request is called {strange[:1]}, which cannot be a file")
            lengths = [each.window.samples for each in requests if each.window.samples < 1]
            require(not lengths, f"a request is for {lengths[:1]} samples")
    return f"{names[0]} to {names[-1]}"


def check_conditions(subject: Subject) -> str | None:
    """Check that the conditions of windows have the widths of `condition`."""
    with scene_of(subject) as scene:
        task = scene.task
        for windows in scene.batches():
            space = space_of(task, windows[0].samples)
            condition = task.collate(windows, space)
            fits(condition, task.condition.of(space.latent), "a batch of windows", len(windows))
    return None


def check_request_count(subject: Subject) -> str | None:
    """Check that fewer than one request is refused with a UsageError."""
    with scene_of(subject) as scene:
        scene.requests(1)
        for count in (0, -1):
            refuses(UsageError, f"{count} requests", scene.task.requests, (), count)
    return None


def check_repeatable(subject: Subject) -> str | None:
    """Check that it makes the same requests each time, without a global generator."""
    with scene_of(subject) as scene, generator_untouched("the task"):
        for one, other in zip(scene.requests(5), scene.requests(5), strict=True):
            alike = (one.name, one.text) == (other.name, other.text)
            require(alike and same_window(one, other), "requests differ each time")
    return None


def check_prefix(subject: Subject) -> str | None:
    """Check that a request does not depend on the number of requests."""
    with scene_of(subject) as scene:
        many = scene.requests(7)
        for count in (1, 3):
            for index, few in enumerate(scene.requests(count)):
                other = many[index]
                require(
                    few.text == other.text and same_window(few, other),
                    f"request {index} of {count} is another than request {index} of {len(many)}",
                )
    return None


def check_references(subject: Subject) -> str | None:
    """Check that a task that offers `reference` gives every request one as long as its sound."""
    with scene_of(subject) as scene:
        if "reference" not in scene.task.offers:
            raise Inapplicable("it does not offer `reference`")
        for request in scene.requests(3):
            wanted = (scene.task.audio.channels, request.window.samples)
            found = None if request.reference is None else tuple(request.reference.shape)
            require(found == wanted, f"the reference of {request.name!r} is {found}, not {wanted}")
            assert request.reference is not None
            finite(request.reference, f"the reference of {request.name!r}")
    return None


def check_bad_inputs(subject: Subject) -> str | None:
    """Check that the error for a missing or damaged input file names it."""
    with scene_of(subject) as scene:
        folder = scene.files[0].parent
        (folder / "text.wav").write_text("This is no sound.")
        for name, what in (("absent.wav", "that does not exist"), ("text.wav", "that is no audio")):
            _refused(name, f"an input file {what}", scene.task.requests, [folder / name], 1)
    return None


def check_bad_folders(subject: Subject) -> str | None:
    """Check that the error for a missing, empty or damaged data folder names it."""
    if "path" not in subject.load().model_fields or "path" in subject.options:
        raise Inapplicable("the task has no option `path` that the kit could set to a folder")
    with TemporaryDirectory() as place:
        empty, damaged = Path(place, "empty"), Path(place, "damaged")
        empty.mkdir()
        damaged.mkdir()
        *_, last = write_sounds(damaged, subject.make())
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
    with scene_of(subject) as scene:
        task = scene.task
        require(task.resolve() == task, "resolving a second time changes the task")
        again = type(task).model_validate(task.model_dump(mode="json"))
        require(again == task, "what was resolved does not survive being saved")
    return None


def check_portable(subject: Subject) -> str | None:
    """Check that a portable task names nothing of this machine and makes the same requests."""
    with scene_of(subject) as scene:
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
    """Check that items have the right length and depend only on index and generator."""
    with scene_of(subject) as scene:
        task = scene.task
        data, again = dataset_of(scene), dataset_of(scene)
        require(len(data) > 0, "the training data is empty")
        require(len(data) == len(again), "the training data has another length each time")
        with generator_untouched("the data set"):
            chosen = some(len(data))
            backwards = {index: again.item(index, seeded()) for index in reversed(chosen)}
            for index in chosen:
                item = data.item(index, seeded())
                sounds_fit(item, task, task.samples, f"item {index}")
                require(item.audio is not None, f"item {index} has no audio to learn")
                require(
                    same_parts(item, backwards[index]), f"item {index} is another in another order"
                )
    return f"{len(data)} items"


def check_collate(subject: Subject) -> str | None:
    """Check that the condition of a batch has the task's widths, and items do not mix."""
    with scene_of(subject) as scene:
        task, data = scene.task, dataset_of(scene)
        space = space_of(task, task.samples)
        items = [data.item(index, seeded()) for index in some(len(data))[-3:]]
        whole = task.collate(items, space)
        fits(whole, task.condition.of(space.latent), "a batch of items", len(items))
        for row, item in enumerate(items):
            alone = task.collate([item], space)
            for name in attrs.fields_dict(Condition):
                one, many = getattr(alone, name), getattr(whole, name)
                if one is not None:
                    # Beside longer ones, a sequence is padded.
                    held = tuple(slice(length) for length in one.shape[1:])
                    require(
                        many is not None and torch.equal(many[row][held], one[0]),
                        f"the {name} of item {row} is another one beside other items",
                    )
    return None


def check_windows(subject: Subject) -> str | None:
    """Check that windows can be sampled: sounds as long as stated, alike within a joint."""
    with scene_of(subject) as scene:
        for windows in scene.batches():
            kinds = {(window.samples, window.start) for window in windows}
            require(len(kinds) == 1, f"windows with the same `joint` have lengths, starts {kinds}")
            for window in windows:
                require(window.samples > 0, f"a window has {window.samples} samples")
                sounds_fit(window, scene.task, window.samples, "a window")
                low = window.start
                require(
                    low is None or low > 0, f"it starts at {low} times the deviation of the data"
                )
    return None


def check_make(subject: Subject) -> str | None:
    """Check that requests end as named, finite sounds [C, L]."""
    names: list[str] = []
    with scene_of(subject) as scene:
        for _, sounds in scene.made(3):
            require(bool(sounds), "a request becomes no sound")
            for sound in sounds:
                names.append(sound.name)
                shape = tuple(sound.audio.shape)
                require(len(shape) == 2 and shape[-1] > 0, f"{sound.name!r} has the shape {shape}")
                finite(sound.audio, f"the sound {sound.name!r}")
    require(len(set(names)) == len(names), f"the sounds of three requests are called {names}")
    return ", ".join(names)


def check_measurement(subject: Subject) -> str | None:
    """Check that measurement and target have one shape, and projection lowers the distance."""
    with scene_of(subject) as scene:
        for group in scene.batches():
            task, samples = scene.task, group[0].samples
            known = task.measure(group, space_of(task, samples))
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


def check_choices(subject: Subject) -> str | None:
    """Check that other choices of the options keep the promises."""
    every = list(choices(subject))
    for each in every:
        holds(
            each,
            requests=check_requests,
            dataset=check_dataset,
            collate=check_collate,
            measurement=check_measurement,
            make=check_make,
            given=_recordings.check_given,
            **_belonging.SWEPT,
        )
    return f"{len(every)} choices"


CHECKS = (
    check_requests,
    check_conditions,
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
    check_make,
    *_belonging.CHECKS,
    *_recordings.CHECKS,
    check_choices,
)
