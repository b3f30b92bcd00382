"""The pictures and the page of a run, made from one sound after another."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel_plugins.observers import _facts as facts
from kernel_plugins.observers._cards import card
from kernel_plugins.observers._colours import PALETTE, encode, palette, repaint
from kernel_plugins.observers._shown import Drawn, Shown, drawn
from kernel_plugins.observers._spectrum import QUIETEST, RANGE

if TYPE_CHECKING:
    from kernel import Sound

__all__ = ["Album"]

PAGE, SHEET, LINES = "index.html", "spectrograms.png", ".page.jsonl"
PICTURES, FIGURES = "pictures", "figures"


class Album:
    """The contents of a run's page: totals, the sounds of the sheet, a file of one line a sound.

    The page needs the loudest sound of the run. `add` writes pictures and lines at once; `write`
    makes cards from the lines and sets the pictures' colours.
    """

    def __init__(self, folder: Path, sheet: int) -> None:
        self._folder = folder
        self._sheet = sheet
        self._drawn: list[tuple[Drawn, ...]] = []
        self._count = 0
        self._deep = 1
        self._bytes = 0
        self._seconds = 0.0
        self._made = 0.0
        self._loudest = QUIETEST
        self._peak = 0.0

    def add(self, sound: Sound, entry: Mapping[str, Any]) -> None:
        """Draw a sound and write its line. The folder already holds the sound's files."""
        group = drawn(sound, entry)
        for each in group:
            shown = each.shown
            self._write(shown.picture, encode(each.points, palette()))
            self._bytes += (self._folder / shown.file).stat().st_size
            self._loudest = max(self._loudest, shown.loudest)
            self._peak = max(self._peak, shown.peak)
        for (_, file), (_, values) in zip(group[-1].shown.figures, sound.pictures, strict=True):
            points = (255 * values.clamp(0, 1)).round().byte().numpy()
            self._write(file, encode(points, palette()))
        with (self._folder / LINES).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([attrs.asdict(each.shown) for each in group]) + "\n")
        self._count += 1
        self._deep = max(self._deep, len(group))
        self._seconds += group[-1].shown.length
        self._made += group[-1].shown.made
        if len(self._drawn) < self._sheet:
            self._drawn.append(group)

    def write(self, directory: Path, record: Mapping[str, Any], embed: float) -> Path:
        """Write the sheet and the page into the finished folder; return the page's path.

        embed: bytes of sounds and pictures that the page may hold itself.
        """
        self._folder = directory
        if self._drawn:
            from kernel_plugins.observers._sheet import draw

            shown = self._drawn[: max(self._sheet // self._deep, 1)]
            png = draw(shown, self._loudest, self._count - len(shown))
            _replace(directory / SHEET, png)
        whole = self._bytes <= embed
        self._write_page(directory / PAGE, record, whole)
        for folder in (PICTURES, FIGURES) if whole else ():
            for path in (directory / folder).glob("*.png"):
                path.unlink()
            if (directory / folder).is_dir():
                (directory / folder).rmdir()
        (directory / LINES).unlink(missing_ok=True)
        return directory / PAGE

    def _write_page(self, path: Path, record: Mapping[str, Any], whole: bool) -> None:
        from jinja2 import Environment, PackageLoader
        from markupsafe import Markup

        asset = files(__package__) / "templates"
        environment = Environment(
            loader=PackageLoader(__package__), autoescape=True, trim_blocks=True
        )
        stream = environment.get_template("page.html").stream(
            name=str(record.get("name") or "run"),
            style=Markup((asset / "page.css").read_text("utf-8")),
            script=Markup((asset / "page.js").read_text("utf-8")),
            number=self._count,
            sounds=facts.count(self._count, "sound"),
            total=facts.duration(self._seconds),
            moment=facts.moment(record.get("created")),
            facts=facts.facts(record, self._made),
            owners=facts.owners(record),
            notes=[str(note) for note in record.get("warnings", ())],
            command=facts.command(record),
            tables=facts.tables(record),
            replaced=record.get("replaced", ()),
            paired=self._deep > 1,
            embedded=whole,
            beside="" if whole else " 'self' file:",
            range=f"{RANGE:.0f}",
            groups=self._groups(path.parent, whole),
        )
        stream.enable_buffering(64)
        partial = path.with_name(f".{path.name}.partial")
        stream.dump(str(partial), "utf-8", "xmlcharrefreplace")
        partial.replace(path)

    def _groups(self, directory: Path, whole: bool) -> Iterator[list[dict[str, Any]]]:
        """Yield the cards of each item, and set the colours of its pictures."""
        if not self._count:
            return
        number = 0
        with (directory / LINES).open(encoding="utf-8") as lines:
            for line in lines:
                cards = []
                for fields in json.loads(line):
                    shown, number = Shown(**fields), number + 1
                    _settle(directory / shown.picture, palette(shown.loudest, self._loudest))
                    made = card(shown, number, self._peak or 1.0)
                    cards.append(made | _held(directory, shown) if whole else made)
                yield cards

    def _write(self, file: str, png: bytes) -> None:
        path = self._folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png)
        self._bytes += len(png)


def _held(directory: Path, shown: Shown) -> dict[str, Any]:
    """Return the files of a sound as data URLs, for a page that holds them itself."""
    return {
        "source": _data(directory / shown.file, "audio/wav"),
        "picture": _data(directory / shown.picture, "image/png"),
        "figures": [(title, _data(directory / file, "image/png")) for title, file in shown.figures],
    }


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(path.read_bytes()).decode()}"


def _settle(picture: Path, colours: bytes) -> None:
    with picture.open("r+b") as file:
        file.seek(PALETTE)
        file.write(repaint(colours))


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
