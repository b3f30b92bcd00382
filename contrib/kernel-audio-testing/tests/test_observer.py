"""The checks of observers catch what they are there to catch."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from kernel import Observer


class Quiet(Observer):
    """Watch."""


class Meddler(Observer):
    """Write into the record."""

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        record["config"]["seed"] = 1


class Talker(Observer):
    """Say a number."""

    def finished(self, directory):  # type: ignore[no-untyped-def]
        return 3


class Hoarder(Observer):
    """Keep every sound."""

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "kept", [])

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        self.kept.append(sound)  # type: ignore[attr-defined]


class Normaliser(Observer):
    """Change a sound."""

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        sound.audio.mul_(2)


class Rewriter(Observer):
    """Turn down the files of a run."""

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "folder", None)

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        object.__setattr__(self, "folder", directory)

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        import soundfile

        place = self.folder / entry["file"]  # type: ignore[attr-defined]
        audio, rate = soundfile.read(place)
        soundfile.write(place, audio / 2, rate)


class Untidy(Observer):
    """Write beside the folder."""

    def finished(self, directory):  # type: ignore[no-untyped-def]
        (directory.parent / "last.txt").write_text(directory.name)


class Marked(Observer):
    """Write words into a page as they are."""

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "words", [])

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        self.words.append(sound.text)  # type: ignore[attr-defined]

    def finished(self, directory):  # type: ignore[no-untyped-def]
        (directory / "page.html").write_text("".join(self.words))  # type: ignore[attr-defined]


class Lasting(Observer):
    """List the sounds of all runs."""

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "names", [])

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        self.names.append(sound.name)  # type: ignore[attr-defined]

    def finished(self, directory):  # type: ignore[no-untyped-def]
        (directory / "names.txt").write_text(" ".join(self.names))  # type: ignore[attr-defined]


class Renamer(Observer):
    """Change what the record says of a sound."""

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        entry["label"] = "mine"


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Quiet) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Meddler, {}, "lifecycle"),
        (Talker, {}, "lifecycle"),
        (Hoarder, {}, "sounds"),
        (Normaliser, {}, "sounds"),
        (Renamer, {}, "sounds"),
        (Lasting, {}, "left_off"),
        (Rewriter, {}, "files"),
        (Untidy, {}, "files"),
        (Marked, {}, "odd_sounds"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


class Lists(Observer):
    """Write a list of sounds, with a fault."""

    fault: str = Field("none", description="what is broken")

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "lines", [])

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        self.lines.clear()  # type: ignore[attr-defined]

    def sound(self, sound, entry):  # type: ignore[no-untyped-def]
        count = sound.audio.numel() if self.fault == "stereo" else sound.audio.shape[1]
        line = f"{sound.text} {count / sound.sample_rate:.2f} s"
        self.lines.append(line)  # type: ignore[attr-defined]

    def finished(self, directory):  # type: ignore[no-untyped-def]
        lines = list(self.lines)  # type: ignore[attr-defined]
        if self.fault == "last":
            lines = lines[:-1]
        if self.fault == "order":
            lines = lines[::-1]
        (directory / "list.txt").write_text("\n".join(lines), "utf-8")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("stereo", "it tells of 1.00, 1.25, 1.50 s in mono, and of 2.00, 2.50, 3.00 s"),
        ("last", "a text tells of a sound, and not of all of them"),
        ("order", "a text tells of the sounds in another order"),
    ],
)
def test_what_is_told_of_sounds(fault: str, message: str, catch: Any, broken: Any) -> None:
    assert message in catch(Lists, "told", fault=fault)
    assert broken(Lists) == set()
