"""What observers are held to."""

from __future__ import annotations

import copy
import gc
import json
import re
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import soundfile
import torch

from kernel import Sound
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import generator_untouched

__all__ = ["CHECKS"]


def _record() -> dict[str, Any]:
    return {"config": {"seed": 0, "steps": 3}, "plugins": [], "device": {"device": "cpu"}}


def _watch(observer: Any, folder: Path) -> None:
    record = _record()
    before = copy.deepcopy(record)
    results = [observer.started(folder, record)]
    for index in range(1, 4):
        scalars = {"loss": 1 / index, "sigma": 2.0}
        results.append(observer.step(index, 3, scalars))
        require(scalars == {"loss": 1 / index, "sigma": 2.0}, "it changes the scalars of a step")
    results.append(observer.checkpoint(folder / "checkpoints" / "00000003"))
    said = observer.finished(folder)
    require(results == [None] * len(results), "it returns something, which nobody reads")
    require(said is None or isinstance(said, str), "`finished` returns neither a sentence nor None")
    require(record == before, "it changes the record of the run")


def _hear(observer: Any, folder: Path) -> list[weakref.ref[Any]]:
    """Do to the observer what a run of three sounds does; return what may be alive no more."""
    record = _record()
    items: list[dict[str, Any]] = []
    gone: list[weakref.ref[Any]] = []
    observer.started(folder, record)
    for index in range(3):
        audio = torch.sin(torch.arange(800) * (0.1 + index))[None]
        sound = Sound(f"{index}", audio.clone(), 8000, text="a tone")
        entry: dict[str, Any] = {
            "name": sound.name,
            "file": f"{index}.wav",
            "label": "a tone",
            "given": None,
        }
        entry |= {"spans": [], "sample_rate": 8000, "seconds": 0.1, "gain": 1.0}
        entry |= {"seed": [0, index], "scores": {"snr": 1.0}}
        soundfile.write(folder / f"{index}.wav", audio.T.numpy(), 8000)
        before = copy.deepcopy(entry)
        require(observer.sound(sound, entry) is None, "`sound` returns something")
        require(torch.equal(sound.audio, audio), "it changes the audio of a sound")
        require(entry == before, "it changes what the record says of a sound")
        items.append(entry)
        gone += [weakref.ref(sound), weakref.ref(sound.audio)]
    record |= {"name": "check", "items": items, "sampling": {"sample_rate": 8000}, "scores": []}
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    said = observer.finished(folder)
    require(said is None or isinstance(said, str), "`finished` returns neither a sentence nor None")
    return gone[:4]


def check_lifecycle(subject: Subject) -> str | None:
    """Check that it follows a training from start to finish and changes nothing."""
    with TemporaryDirectory() as folder, generator_untouched("the observer"):
        _watch(subject.make(), Path(folder))
    return None


def check_independent(subject: Subject) -> str | None:
    """Check that two observers watch two runs at once, and one watches two runs in turn."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        one, other = subject.make(), subject.make()
        one.started(Path(first), _record())
        _watch(other, Path(second))
        one.step(1, 1, {"loss": 1.0})
        one.finished(Path(first))
        _watch(other, Path(first))
    return None


def check_left_off(subject: Subject) -> str | None:
    """Check that a run that never finished leaves nothing in what is written of the next one."""
    observer = subject.make()
    with TemporaryDirectory() as first, TemporaryDirectory() as second, TemporaryDirectory() as new:
        for name in ("left", "over"):
            _sound(observer, Path(first), name)
        _hear(observer, Path(second))
        _hear(subject.make(), Path(new))
        found, wanted = (_words(Path(place)) for place in (second, new))
        require(found == wanted, "what it writes of a run depends on a run before that never ended")
    return None


def _sound(observer: Any, folder: Path, name: str) -> None:
    """Begin a run, and hear one sound of it."""
    observer.started(folder, _record())
    sound = Sound(name, torch.sin(torch.arange(800) * 0.3)[None], 8000, text=name)
    soundfile.write(folder / f"{name}.wav", sound.audio.T.numpy(), 8000)
    entry: dict[str, Any] = {"name": name, "file": f"{name}.wav", "label": name, "given": None}
    entry |= {"spans": [], "sample_rate": 8000, "seconds": 0.1, "gain": 1.0, "seed": [0, 0]}
    observer.sound(sound, entry | {"scores": {}})


def _words(folder: Path) -> list[str]:
    """Return the texts in a folder, whose names may be drawn, without the folder's own name."""
    return sorted(
        each.read_text("utf-8").replace(folder.name, "")
        for each in folder.rglob("*")
        if each.suffix in (".html", ".csv", ".txt", ".json", ".jsonl")
    )


def check_sounds(subject: Subject) -> str | None:
    """Check that it takes sounds one at a time, changes none and keeps none."""
    observer = subject.make()
    with TemporaryDirectory() as folder, generator_untouched("the observer"):
        gone = _hear(observer, Path(folder))
        gc.collect()
        kept = sum(reference() is not None for reference in gone)
    require(kept == 0, "it keeps the sounds of a run, so that memory grows with their number")
    return None


def check_files(subject: Subject) -> str | None:
    """Check that it changes no file of the run and writes none outside the run's folder."""
    with TemporaryDirectory() as place:
        folder = Path(place, "run")
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        _hear(subject.make(), folder)
        require((folder / "notes.txt").read_text() == "mine", "it changes a file of somebody else")
        for index in range(3):
            audio, rate = soundfile.read(folder / f"{index}.wav")
            wanted = torch.sin(torch.arange(800) * (0.1 + index)).numpy()
            kept = rate == 8000 and len(audio) == 800 and abs(audio - wanted).max() < 1e-3
            require(kept, f"it changes the file {index}.wav")
        record = json.loads((folder / "run.json").read_text("utf-8"))
        require(len(record["items"]) == 3, "it changes run.json")
        beside = sorted(each.name for each in Path(place).iterdir())
        require(beside == ["run"], f"beside the run's folder it leaves {beside}")
    return None


WORDS = ("kick", "snare", "ride")


def check_told(subject: Subject) -> str | None:
    """Check that it tells of every sound where it tells of one, in their order.

    Of a sound in stereo it tells the same seconds as of the sound in mono.
    """
    told: list[list[str]] = []
    for channels in (1, 2):
        with TemporaryDirectory() as place:
            folder = Path(place)
            _tell(subject.make(), folder, channels)
            (folder / "run.json").unlink()
            told.append([text for text in _words(folder) if any(word in text for word in WORDS)])
    for text in told[0]:
        places = [text.find(word) for word in WORDS]
        require(min(places) >= 0, "a text tells of a sound, and not of all of them")
        require(places == sorted(places), "a text tells of the sounds in another order")
    mono, stereo = (sorted(_SECONDS.findall(" ".join(texts))) for texts in told)
    require(
        mono == stereo,
        f"it tells of {', '.join(mono[:6])} s in mono, and of {', '.join(stereo[:6])} s of "
        "the same sounds in stereo",
    )
    if not told[0]:
        raise Inapplicable("it writes no text about a sound")
    return f"{len(told[0])} texts"


_SECONDS = re.compile(r"\b(\d+(?:\.\d+)?) ?s\b")


def _tell(observer: Any, folder: Path, channels: int) -> None:
    """Do what a run of three sounds does, of one second and more, with words and scores."""
    record, items = _record(), []
    observer.started(folder, record)
    for index, word in enumerate(WORDS):
        audio = 0.3 * torch.sin(torch.arange(8000 + 2000 * index) * 0.3).expand(channels, -1)
        sound = Sound(f"{index}", audio.clone(), 8000, text=word)
        entry: dict[str, Any] = {"name": sound.name, "file": f"{index}.wav", "label": word}
        entry |= {"given": None, "spans": [], "sample_rate": 8000, "gain": 1.0}
        entry |= {"seconds": 1 + index / 4, "seed": [0, index], "scores": {"snr": 1.0 + index}}
        soundfile.write(folder / f"{index}.wav", audio.T.numpy(), 8000)
        observer.sound(sound, entry)
        items.append(entry)
    record |= {"name": "check", "items": items, "sampling": {"sample_rate": 8000}, "scores": []}
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    observer.finished(folder)


ODD = ("a/b", "<b>bold</b> & [/y]", "für immer", "a" * 100)
"""Words that a person may call a sound."""


def check_odd_sounds(subject: Subject) -> str | None:
    """Check that it takes odd words, silence, short sounds and numbers that are not finite."""
    sounds = (
        torch.zeros(1, 800),
        0.1 * torch.ones(2, 800),
        torch.full((1, 1), 0.5),
        0.1 * torch.ones(8, 333),
    )
    with TemporaryDirectory() as place:
        folder, observer, items = Path(place), subject.make(), []
        record = _record()
        observer.started(folder, record)
        observer.step(1, 2, {"loss": float("nan"), "sigma": float("inf")})
        observer.step(2, 2, {})
        for index, (audio, text) in enumerate(zip(sounds, ODD, strict=True)):
            sound = Sound(f"{index}", audio, 8000, text=text)
            soundfile.write(folder / f"{index}.wav", audio.T.numpy(), 8000)
            entry: dict[str, Any] = {"name": sound.name, "file": f"{index}.wav", "label": text}
            entry |= {
                "given": None,
                "spans": [],
                "sample_rate": 8000,
                "seconds": audio.shape[-1] / 8000,
            }
            entry |= {"gain": 1.0, "seed": [0, index], "scores": {}}
            observer.sound(sound, entry)
            items.append(entry)
        record |= {"name": "check", "items": items, "sampling": {"sample_rate": 8000}, "scores": []}
        (folder / "run.json").write_text(json.dumps(record), "utf-8")
        observer.finished(folder)
        for page in sorted(folder.rglob("*.htm*")):
            raw = "<b>bold</b>" in page.read_text("utf-8")
            require(not raw, f"{page.name} holds the words of a sound as markup")
    return None


CHECKS = (
    check_lifecycle,
    check_independent,
    check_left_off,
    check_sounds,
    check_files,
    check_told,
    check_odd_sounds,
)
