"""A run by several processes: the requests of each, and the way of its sounds to the first one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
from safetensors.torch import load, save
from torch import Tensor

from kernel.runner.processes import Processes
from kernel.runner.scheduling import Answer
from kernel.values import Sound

__all__ = ["gathered", "owner"]

AUDIO = ("audio", "given", "reference")


def owner(index: int, batch: int, processes: Processes) -> int:
    """Return the process that takes a request: whole batches are dealt out in turn."""
    return index // batch % processes.count


def gathered(
    own: Iterator[Answer], count: int, batch: int, processes: Processes
) -> Iterator[Answer]:
    """Yield, in the first process, the answers to all `count` requests in order; in others none.

    own: the answers of this process. One answer is on its way at a time, so that the memory of the
    first process does not grow with their number.
    """
    for index in range(count):
        rank = owner(index, batch, processes)
        if rank == processes.rank:
            _, sounds = next(own)
            if processes.first:
                yield index, sounds
            else:
                for each in _packed(sounds):
                    processes.send(each)
        elif processes.first:
            yield index, _unpacked(processes.receive(rank), processes.receive(rank))


def _packed(sounds: list[Sound]) -> tuple[bytes, bytes]:
    """Return sounds as JSON and as safetensors."""
    tensors: dict[str, Tensor] = {}
    told: list[dict[str, Any]] = []
    for number, sound in enumerate(sounds):
        plain = attrs.asdict(sound, recurse=False)
        for name in AUDIO:
            if (audio := plain.pop(name)) is not None:
                tensors[f"{number}/{name}"] = audio.contiguous()
        for place, (_, values) in enumerate(sound.pictures):
            tensors[f"{number}/{place}"] = values.contiguous()
        told.append(plain | {"pictures": [title for title, _ in sound.pictures]})
    return json.dumps(told).encode(), save(tensors)


def _unpacked(text: bytes, data: bytes) -> list[Sound]:
    """Return the sounds of `_packed`."""
    tensors = load(data)
    sounds = []
    for number, plain in enumerate(json.loads(text)):
        audio = {name: tensors.get(f"{number}/{name}") for name in AUDIO}
        pictures = [
            (title, tensors[f"{number}/{place}"]) for place, title in enumerate(plain["pictures"])
        ]
        told = {"pictures": tuple(pictures), "notes": tuple(plain["notes"])}
        spans = {"spans": tuple(map(tuple, plain["spans"]))}
        sounds.append(Sound(**{**plain, **audio, **told, **spans}))
    return sounds
