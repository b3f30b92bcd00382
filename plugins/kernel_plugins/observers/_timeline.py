"""The page of a training: the samples of every so many steps, below each other, and the losses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import groupby
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kernel_plugins.observers._colours import encode, indices, palette
from kernel_plugins.observers._spectrum import RANGE, levels

if TYPE_CHECKING:
    from kernel import Sound

__all__ = ["Timeline"]

PAGE, LINES, HISTORY = "index.html", "samples/samples.jsonl", "history.jsonl"
CURVES = ("loss", "valid.loss")
WIDE, HIGH = 1000, 200


class Timeline:
    """What is known of the samples of a training; a file has a line for each, so it can go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new = False

    def add(self, sound: Sound, entry: Mapping[str, Any]) -> None:
        """Draw a sound, whose file is in the folder, on the one scale of all: 0 dB is a full sine.

        The page shows it when it is written next.
        """
        file = str(entry["file"])
        picture = str(PurePath(file).with_suffix(".png"))
        level = levels(sound.audio.numpy(), sound.sample_rate, rows=80, columns=280)
        points, _ = indices(level, 0.0)
        (self._folder / picture).write_bytes(encode(points, palette()))
        line = {
            "step": entry["step"],
            "title": str(entry.get("label") or sound.name),
            "file": file,
            "picture": picture,
            "seconds": sound.audio.shape[-1] / sound.sample_rate,
        }
        with (self._folder / LINES).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        self._new = True

    def write(self) -> Path | None:
        """Write the page if there is something new, and return its path; None without samples."""
        path = self._folder / PAGE
        if not self._new:
            return path if (self._folder / LINES).is_file() else None
        from jinja2 import Environment, PackageLoader
        from markupsafe import Markup

        environment = Environment(
            loader=PackageLoader(__package__), autoescape=True, trim_blocks=True
        )
        style = (files(__package__) / "templates" / "page.css").read_text("utf-8")
        text = environment.get_template("timeline.html").render(
            name=self._folder.name,
            style=Markup(style),
            rows=list(self._rows()),
            curves=list(self._curves()),
            wide=WIDE,
            high=HIGH,
            range=f"{RANGE:.0f}",
        )
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, "utf-8")
        partial.replace(path)
        self._new = False
        return path

    def _rows(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield each step with its sounds, the newest first; what was made twice counts once."""
        found = {(line["step"], line["file"]): line for line in _read(self._folder / LINES)}
        newest = sorted(found, key=lambda key: (-key[0], key[1]))
        for step, keys in groupby(newest, key=lambda key: key[0]):
            lines = (found[key] for key in keys)
            yield (
                step,
                [
                    each | {name: quote(each[name]) for name in ("file", "picture")}
                    for each in lines
                ],
            )

    def _curves(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield name, points, first and last value of each curve, on one logarithmic scale."""
        history = list(_read(self._folder / HISTORY))
        curves = {
            name: [(each["step"], each[name]) for each in history if each.get(name, 0) > 0]
            for name in CURVES
        }
        every = [value for curve in curves.values() for _, value in curve]
        if not every or min(every) == max(every):
            return
        import numpy as np

        low, high = np.log([min(every), max(every)])
        last = max(each["step"] for each in history)
        for name, curve in curves.items():
            if len(curve) > 1:
                points = " ".join(
                    f"{WIDE * step / last:.1f},"
                    f"{HIGH * (1 - (np.log(value) - low) / (high - low)):.1f}"
                    for step, value in curve
                )
                yield name, points, f"{curve[0][1]:.3g}", f"{curve[-1][1]:.3g}"


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of lines; the last line may be half written."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
