"""What belongs together in a task: sounds and labels, padding and `valid`, files and splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel import Item, read_audio
from kernel.errors import UsageError
from kernel.values import Condition
from kernel_audio_testing import _returned
from kernel_audio_testing._scene import (
    LABELS,
    Scene,
    dataset_of,
    same_parts,
    scene_of,
    seeded,
    some,
    space_of,
)
from kernel_audio_testing._sounds import found_in
from kernel_audio_testing._subject import Inapplicable, Subject, require

__all__ = ["CHECKS", "SWEPT"]

QUIET = 64
"""Samples at the end of what is valid, not all of which are silent."""


def _source(scene: Scene, audio: Tensor | None) -> tuple[Path, int]:
    """Return the file of the kit that audio [C, L] is of, and the sample of it that comes first.

    Raises Inapplicable for audio that is like none of them.
    """
    if audio is None:
        raise Inapplicable("its items have no audio")
    spec = scene.task.audio
    found = []
    for file in scene.files:
        whole, _ = read_audio(file, spec.sample_rate, spec.channels)
        likeness, place = found_in(whole[0], audio[0])
        found.append((likeness, file, place))
    score, file, place = max(found)
    if score < 0.9:
        raise Inapplicable("its items are not those of the kit's files")
    return file, place


def _word(file: Path) -> str:
    """Return the label that a file of the kit is named after."""
    return file.stem.partition("_")[0]


def _alike(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)


def check_labels(subject: Subject) -> str | None:
    """Check that an item has the label of its sound, and a request the label of its text."""
    with scene_of(subject) as scene:
        task = scene.task
        try:
            wanted = {label: task.named(label) for label in LABELS}
        except UsageError:
            raise Inapplicable("it has no words for the labels of the kit's files") from None
        data = dataset_of(scene)
        for index in range(len(data)):
            item = data.item(index, seeded())
            file, _ = _source(scene, item.audio)
            own = wanted[_word(file)]
            fits = _alike(item.vector, own.vector) and _alike(item.sequence, own.sequence)
            require(fits, f"item {index}, of {file.name}, has not the label {_word(file)!r}")
        for request in scene.requests(2 * len(LABELS)):
            if request.text in wanted:
                fits = _alike(request.window.vector, wanted[request.text].vector)
                require(fits, f"{request.name!r} is told something else than {request.text!r}")
    return ", ".join(LABELS)


def check_null(subject: Subject) -> str | None:
    """Check that labels differ, none is all zeros, and an item without a label has zeros."""
    with scene_of(subject) as scene:
        task = scene.task
        told: list[Item] = [window for windows in scene.batches() for window in windows]
        told += _items(scene)
        for item in told:
            for name in ("vector", "sequence"):
                part = getattr(item, name)
                if part is not None and part.numel():
                    require(bool(part.any()), f"a {name} is all zeros, which is the null condition")
        one = next((item for item in told if item.vector is not None), None)
        if one is not None:
            pair = [one, attrs.evolve(one, vector=None)]
            condition = task.collate(pair, space_of(task, one.samples))
            assert condition.vector is not None
            nothing = not condition.vector[1].any() and bool(condition.vector[0].any())
            require(nothing, "an item without a vector is not told zeros beside one that has one")
    if "labels" not in type(task).model_fields or "label" not in type(task).model_fields:
        return None
    with scene_of(subject, labels=LABELS) as scene:
        require(scene.task.condition.vector > 0, "with labels, its condition has no vector")
        vectors = [scene.task.named(label).vector for label in LABELS]
        for index, vector in enumerate(vectors):
            require(vector is not None and bool(vector.any()), f"{LABELS[index]!r} is all zeros")
            other = vectors[index - 1]
            require(not _alike(vector, other), f"{LABELS[index]!r} is told as another label is")
    for label in LABELS[1:]:
        with scene_of(subject, labels=LABELS, label=label) as scene:
            (request,) = scene.requests(1)
            asked = scene.task.named(label).vector
            require(_alike(request.window.vector, asked), f"a request is not told {label!r}")
    return None


def _items(scene: Scene) -> list[Item]:
    """Return some items of the data, if there is any."""
    try:
        data = dataset_of(scene)
    except Inapplicable:
        return []
    return [data.item(index, seeded()) for index in some(len(data))]


def _variants(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield no changes, and then each option that is true or false turned into the other."""
    yield {}
    for name, field in subject.load().model_fields.items():
        if isinstance(field.default, bool) and name not in subject.options:
            yield {name: not field.default}


def check_valid(subject: Subject) -> str | None:
    """Check that `valid` ends where the sound of an item ends and its silence begins."""
    said = 0
    for changes in _variants(subject):
        with scene_of(subject, **changes) as scene:
            task = scene.task
            data = dataset_of(scene)
            items = [data.item(index, seeded()) for index in some(len(data))]
            for index, item in enumerate(items):
                count = item.samples if item.valid is None else item.valid
                require(not item.audio[:, count:].any(), f"item {index} sounds beyond {count}")
                if item.valid is None:
                    continue
                said += 1
                last = item.audio[:, max(0, count - QUIET) : count]
                require(bool(last.any()), f"item {index} is silent before {count}, valid to there")
            condition = task.collate(items, space_of(task, task.samples))
            wanted = [item.samples if item.valid is None else item.valid for item in items]
            if condition.valid is not None:
                frames = torch.arange(condition.valid.shape[1])
                first = torch.equal(condition.valid, frames < torch.tensor(wanted)[:, None])
                require(first, f"of items valid to {wanted}, other frames than the first are valid")
            else:
                silent = all(item.valid is None for item in items)
                require(silent, "items say what is valid, and their condition does not")
    if not said:
        raise Inapplicable("no item says how much of it is valid")
    return f"{said} items"


def check_batches(subject: Subject) -> str | None:
    """Check that windows in a batch have the condition and measurement of each alone."""
    with scene_of(subject) as scene:
        task = scene.task
        every = [window for windows in scene.batches() for window in windows]
        alike = [window for window in every if window.samples == every[0].samples][:6]
        space = space_of(task, every[0].samples)
        whole = task.collate(alike, space)
        alone = [task.collate([window], space) for window in alike]
        parts = [name for name in attrs.fields_dict(Condition) if getattr(whole, name) is not None]
        if all(getattr(each, name) is not None for each in alone for name in parts):
            joined = Condition.cat(alone)
            for name in parts:
                one, many = getattr(joined, name), getattr(whole, name)
                require(_alike(one, many), f"the {name} of windows differs in a batch and alone")
        known = task.measure(alike, space)
        if known is None:
            return None
        for index, window in enumerate(alike):
            single = task.measure([window], space)
            require(single is not None, "a batch is measured and its windows are not")
            assert single is not None
            error = float((known.target[index] - single.target[0]).abs().max())
            scale = max(1e-6, float(single.target.abs().max()))
            fact = f"the target of window {index} differs by {error / scale:.2g} in a batch"
            require(error / scale < 1e-3, fact)
            noise, own = (torch.as_tensor(each.noise).float() for each in (known, single))
            noise = noise[index] if noise.ndim else noise
            error = float((noise - own).abs().max())
            fact = f"the noise of window {index} is another in a batch"
            require(error <= 1e-3 * float(own.abs().max()), fact)
    return None


def check_owned(subject: Subject) -> str | None:
    """Check that an item is the same again after its first copy was changed in place."""
    with scene_of(subject) as scene:
        data = dataset_of(scene)
        for index in some(len(data)):
            item = data.item(index, seeded())
            wanted = attrs.evolve(item, audio=item.audio.clone())
            item.audio.mul_(0.5)
            again = data.item(index, seeded())
            require(same_parts(wanted, again), f"item {index} keeps what is done to its audio")
    return None


def check_crops(subject: Subject) -> str | None:
    """Check that random stretches of a long sound come from all parts of it."""
    with scene_of(subject) as scene:
        data = dataset_of(scene)
        samples = scene.task.samples
        for index in range(len(data)):
            file, _ = _source(scene, data.item(index, seeded()).audio)
            room = read_audio(file)[0].shape[-1] - samples
            if room < samples // 4:
                continue
            draws = torch.Generator().manual_seed(5)
            items = [data.item(index, draws) for _ in range(12)]
            starts = [_source(scene, item.audio)[1] for item in items]
            reach = (max(starts) - min(starts)) / room
            require(reach > 0.5, f"12 stretches of {file.name} start within {reach:.0%} of it")
            return f"{min(starts)} to {max(starts)} of {room}"
    raise Inapplicable("no item is a stretch of a longer file")


def check_memory(subject: Subject) -> str | None:
    """Check that an item from memory equals the item read anew, if `cache` is an option."""
    if "cache" not in subject.load().model_fields:
        raise Inapplicable("it has no option `cache`")
    with scene_of(subject) as scene:
        data, anew = (
            dataset_of(attrs.evolve(scene, task=scene.task.model_copy(update={"cache": size})))
            for size in (1.0, 0.0)
        )
        for index in some(len(data)):
            one, other = data.item(index, seeded()), anew.item(index, seeded())
            require(same_parts(one, other), f"item {index} is another without a cache")
    return None


def check_channels(subject: Subject) -> str | None:
    """Check that an item of stereo has both channels of its file, in their order."""
    if "channels" not in subject.load().model_fields or "channels" in subject.options:
        raise Inapplicable("it has no option `channels` that the kit could set")
    with scene_of(subject, channels=2) as scene:
        data = dataset_of(scene)
        for index in some(len(data)):
            item = data.item(index, seeded())
            file, place = _source(scene, item.audio)
            whole, _ = read_audio(file, scene.task.audio.sample_rate, 2)
            part = whole[:, place : place + item.samples]
            likeness = torch.corrcoef(torch.cat([item.audio[:, : part.shape[1]], part]))
            own = min(float(likeness[0, 2]), float(likeness[1, 3]))
            require(
                own > 0.95, f"a channel of item {index} is like that of {file.name} to {own:.2f}"
            )
    return None


def check_splits(subject: Subject) -> str | None:
    """Check that every file is in exactly one of the splits `train` and `valid`."""
    if "valid_fraction" not in subject.load().model_fields:
        raise Inapplicable("it has no option `valid_fraction`")
    places = []
    for _ in range(3):
        with scene_of(subject, valid_fraction=0.5) as scene:
            dataset_of(scene)
            split = {name: _names(scene, name) for name in ("train", "valid")}
            wanted = sorted(file.name for file in scene.files)
        both = sorted(split["train"] + split["valid"])
        require(both == wanted, f"of {wanted}, both splits together hold {both}")
        places.append(split)
    moved = any(each != places[0] for each in places)
    require(not moved, "the same files in another folder are split otherwise")
    return ", ".join(places[0]["valid"])


def _names(scene: Scene, split: str) -> list[str]:
    """Return the names of the kit's files that a split holds."""
    data = scene.task.dataset(split)
    items = [data.item(index, seeded()) for index in range(len(data))]
    return [_source(scene, item.audio)[0].name for item in items]


SWEPT: dict[str, Callable[[Subject], str | None]] = {
    "labels": check_labels,
    "valid": check_valid,
    "batches": check_batches,
    "owned": check_owned,
    **{each.__name__.removeprefix("check_"): each for each in _returned.CHECKS},
}
"""The checks that other choices of the options have to pass, too."""

CHECKS = (
    check_labels,
    check_null,
    check_valid,
    check_batches,
    check_owned,
    check_crops,
    check_memory,
    check_splits,
    check_channels,
    *_returned.CHECKS,
)
