"""What a task makes of recordings: of other rates and formats, in folders, of any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from kernel import Item, Request, read_audio, resample
from kernel.audio import write_audio
from kernel.errors import KernelError
from kernel.values import AudioSpec
from kernel_audio_testing._returned import starts_from_given
from kernel_audio_testing._scene import LABELS, Scene, dataset_of, scene_of, seeded, some
from kernel_audio_testing._sounds import found_in, tones
from kernel_audio_testing._subject import Inapplicable, Subject, require

__all__ = ["CHECKS", "check_given"]

LATE = 0.005
"""Seconds by which what belongs to a sound may be beside it."""


def _written(folder: Path, rate: int, seconds: float, seed: int, ending: str = ".wav") -> Path:
    """Write a stereo file whose channels differ in level, and return its place."""
    folder.mkdir(exist_ok=True)
    place = folder / f"{LABELS[0]}_{seed}{ending}"
    sound = tones(AudioSpec(rate, 2), round(seconds * rate) + 7, 1, seed=seed)[0]
    write_audio(place, sound * torch.tensor([[1.0], [0.6]]), rate)
    return place


def check_files(subject: Subject) -> str | None:
    """Check that stereo files of other rates are data, and what `pattern` and `extensions` name.

    Those are a folder within the folder, where the option holds `**`, and FLAC.
    """
    with scene_of(subject) as scene:
        task = scene.task
        if "path" not in type(task).model_fields or "path" in subject.options:
            raise Inapplicable("the task has no option `path` that the kit could set to a folder")
        data, rate = dataset_of(scene), task.audio.sample_rate
        before, first = len(data), data.item(0, seeded()).audio
        if not any(_alike(read_audio(file, rate, 1)[0], first) > 0.9 for file in scene.files):
            raise Inapplicable("its items are not those of the kit's files")
        folder, seconds = scene.files[0].parent, 0.9 * task.samples / rate
        inside = folder / LABELS[0] if "**" in getattr(task, "pattern", "") else folder
        ending = ".flac" if ".flac" in getattr(task, "extensions", ()) else ".wav"
        added = [
            _written(inside, rate * 3 // 2, seconds, 8),
            _written(folder, rate // 2, seconds, 9, ending),
        ]
        data = dataset_of(scene)
        require(
            len(data) == before + len(added),
            f"{added[0].relative_to(folder)} and {added[1].name} are {len(data) - before} items",
        )
        items = [data.item(index, seeded()).audio for index in range(len(data))]
        for place in added:
            whole, _ = read_audio(place, rate, 1)
            likeness = max(_alike(whole, audio) for audio in items)
            _, own = read_audio(place)
            require(
                likeness > 0.9,
                f"no item is like {place.name}, of {own} Hz and two channels, to more than "
                f"{likeness:.2f}",
            )
    return f"{len(added)} files"


def _alike(one: Tensor, other: Tensor) -> float:
    """Return how like the shorter of two sounds is to a stretch of the longer one."""
    pair = sorted((one.mean(0), other.mean(0)), key=len)
    return found_in(pair[1], pair[0])[0]


def check_given(subject: Subject) -> str | None:
    """Check that a sound has the rate, the channels and the length of what is given, or is longer.

    What is given is the first file at the file's rate, and the others too where it is longer. Of a
    task that only listens to a recording, in one window, sounds may have any length.
    """
    heard = 0
    with scene_of(subject) as scene:
        for files, request in _asked(scene):
            rate = request.sample_rate or scene.task.audio.sample_rate
            given = request.given
            assert given is not None
            for place, file in enumerate(files):
                audio, own = read_audio(file)
                part = resample(audio, own, rate)
                if place == 0:
                    longer = given.shape[-1] > 1.1 * part.shape[-1]
                likeness = _alike(given, part) if place == 0 or longer else 1.0
                told = f"{file.name} of {own} Hz, to more than {likeness:.2f} at {rate} Hz"
                require(likeness > 0.9, f"what a request is given is not like {told}")
            lists, sounds = scene.played(request)
            edited = sum(map(len, lists)) > 1 or starts_from_given(scene, request)
            for sound in sounds:
                if not (edited or sound.spans):
                    continue
                made = f"{tuple(sound.audio.shape)} at {sound.sample_rate} Hz"
                told = f"{tuple(given.shape)} at {rate} Hz"
                fits = (sound.sample_rate, len(sound.audio)) == (rate, len(given))
                require(fits, f"a sound {made} is made of {told}")
                lost = given.shape[-1] - sound.audio.shape[-1]
                short = f"a sound {made} is shorter by a window or more than {told}"
                require(lost < scene.task.samples * rate / scene.task.audio.sample_rate, short)
                heard += 1
    if not heard:
        raise Inapplicable("its sounds are not made of a recording that it is given")
    return f"{heard} sounds"


def _asked(scene: Scene) -> Iterator[tuple[list[Path], Request]]:
    """Yield requests that are given recordings, of one file or several, of several rates."""
    folder = scene.files[0].parent / "kit"
    rate = scene.task.audio.sample_rate
    seconds = scene.task.samples / rate
    high = _written(folder, rate * 3 // 2, 0.9 * seconds, 8)
    low = _written(folder, rate // 2, 0.8 * seconds, 9)
    long = _written(folder, rate, 2.3 * seconds, 10)
    for files in ([high], [low], [long], [high, long], [long, low]):
        try:
            requests = scene.task.requests(files, 1)
        except KernelError:
            continue
        for request in requests:
            if request.given is not None:
                yield files, request


def check_in_time(subject: Subject) -> str | None:
    """Check that what an item is told in sound is not earlier or later than its audio."""
    told = 0
    with scene_of(subject) as scene:
        data = dataset_of(scene)
        for index in some(len(data)):
            item: Item = data.item(index, seeded())
            for name in ("aligned", "origin"):
                part: Tensor | None = getattr(item, name)
                samples = item.samples
                # A recording that is shorter than an item may stand anywhere in what is told.
                if part is None or item.audio is None or item.valid not in (None, samples):
                    continue
                middle = item.audio[0, samples // 4 : 3 * samples // 4]
                likeness, place = found_in(part[0], middle)
                if likeness < 0.5:
                    continue
                late = (place - samples // 4) / scene.task.audio.sample_rate
                # Sounds that repeat themselves are found at other places nearly as well.
                there = part[0, samples // 4 : 3 * samples // 4]
                here = float(torch.nn.functional.cosine_similarity(there, middle, 0))
                fact = f"the {name} of item {index} is {1000 * late:+.1f} ms beside its audio"
                require(abs(late) < LATE or here > 0.8 * likeness, fact)
                told += 1
    if not told:
        raise Inapplicable("its items are told no sound that is like their audio")
    return f"{told} sounds"


CHECKS = (check_files, check_given, check_in_time)
