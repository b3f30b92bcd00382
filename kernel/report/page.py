"""The page of a run: one file to look at and listen to, with nothing to install or to load."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kernel.files import write_atomic
from kernel.report._facts import count, duration, facts, making, moment, plugins, score
from kernel.report._html import Html, element, join
from kernel.report.sheet import paint
from kernel.report.spectrum import RANGE, levels, outline, ticks, top

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["write_page"]

EMBEDDED = 20_000_000
"""How many bytes of WAV at most are put into the page; beyond, it links the files beside it."""

_POLICY = (
    "default-src 'none'; img-src data:; media-src data: 'self' file:;"
    " style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

_ICON = (
    "data:image/svg+xml,"
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%23e4572e'%3E"
    "%3Crect x='1' y='6' width='2.5' height='4' rx='1'/%3E"
    "%3Crect x='5' y='2' width='2.5' height='12' rx='1'/%3E"
    "%3Crect x='9' y='4' width='2.5' height='8' rx='1'/%3E"
    "%3Crect x='13' y='6.5' width='2' height='3' rx='1'/%3E%3C/svg%3E"
)

_PLAY = Html(
    '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">'
    '<path class="go" d="M8 5.2v13.6L19 12z"/>'
    '<path class="hold" d="M7 5h3.6v14H7zM13.4 5H17v14h-3.6z"/></svg>'
)

_SAVE = Html(
    '<svg class="icon line" viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 19.5h14"/></svg>'
)


def write_page(
    path: Path, record: Mapping[str, Any], items: Sequence[NDArray[np.floating]]
) -> None:
    """Write the page of `record`, as `kernel.report.record` lists it, and its sounds to `path`.

    items: the audio [C, L] of each of the record's items, in their order. Pictures are always in
    the page, sounds while they take less than 20 MB together; then the files beside it are linked.
    Raises OutputError when the place cannot be written.
    """
    rate = int(record["sampling"]["sample_rate"])
    pictures = [levels(audio, rate) for audio in items]
    loudest = top(pictures)
    peak = max((float(abs(audio).max()) for audio in items if audio.size), default=0.0) or 1.0
    embed = sum(2 * audio.size + 44 for audio in items) <= EMBEDDED
    cards = []
    for index, (audio, picture) in enumerate(zip(items, pictures, strict=True)):
        entry = _entry(record, index)
        source = _source(audio, rate) if embed else quote(entry["file"])
        view = join(_wave(audio / peak), _picture(paint(picture, loudest), rate))
        cards.append(_card(entry, view, source, audio.shape[1] / rate))
    total = sum(audio.shape[1] for audio in items) / rate
    page = _document(record, cards, total)
    write_atomic(path, page.encode(errors="xmlcharrefreplace"))


def _document(record: Mapping[str, Any], cards: Sequence[Html], total: float) -> str:
    name = str(record.get("name") or "run")
    notes = [element("li", str(note)) for note in record.get("warnings", ())]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href=_ICON),
        element("title", f"{name} \u00b7 kernel"),
        element("style", _asset("page.css")),
    )
    body = element(
        "body",
        element(
            "header",
            element("p", "kernel run", class_="over"),
            element("h1", name),
            element(
                "p",
                count(len(cards), "sound"),
                f" \u00b7 {duration(total)}",
                moment(record.get("created")),
                class_="under",
            ),
            facts(record, total),
            plugins(record),
            element("ul", *notes, class_="notes", aria_label="Notes") if notes else "",
        ),
        element(
            "main",
            _bar(len(cards)),
            element("ol", *cards, class_="sounds", data_count=str(len(cards))),
        ),
        making(record),
        element("script", _asset("page.js")),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _asset(name: str) -> Html:
    return Html(files("kernel.report").joinpath(name).read_text("utf-8"))


def _bar(sounds: int) -> Html:
    keys = join(
        element("kbd", "Space"), " play or pause \u2003",
        element("kbd", "\u2190"), " ", element("kbd", "\u2192"), " previous or next",
    )  # fmt: skip
    return element(
        "div",
        element("button", _PLAY, element("span", "Play all"), type="button", id="all", class_="all")
        if sounds > 1
        else "",
        element("p", keys, class_="keys"),
        element(
            "p",
            element("span", f"\u2212{RANGE:.0f}"),
            element("i", class_="ramp"),
            element("span", "0 dB"),
            class_="scale",
            role="img",
            aria_label=f"Colours show {RANGE:.0f} decibels down from the loudest point of the run",
        ),
        class_="bar",
    )


def _entry(record: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what the record says of an item, with a name, a title and a file in any case."""
    entries = record.get("items", ())
    entry = dict(entries[index]) if index < len(entries) else {}
    name = str(entry.get("name") or f"{index:04d}")
    return entry | {
        "title": str(entry.get("label") or name),
        "file": str(entry.get("file") or f"{name}.wav"),
    }


def _card(entry: Mapping[str, Any], view: Html, source: str, seconds: float) -> Html:
    title, file, gain = entry["title"], entry["file"], entry.get("gain") or 1.0
    track = element(
        "div",
        view,
        element("i", class_="head"),
        class_="track",
        role="slider",
        tabindex="0",
        aria_label=f"Position in {title}",
        aria_valuemin="0",
        aria_valuemax=f"{seconds:.3f}",
        aria_valuenow="0",
        aria_valuetext=f"0.00 s of {seconds:.2f} s",
    )
    under = f"{duration(seconds)} \u00b7 {file}"
    if gain != 1:
        under += f" \u00b7 {20 * math.log10(gain):+.1f} dB"
    for name, value in sorted(dict(entry.get("scores") or {}).items()):
        under += f" \u00b7 {score(name, value)}"
    return element(
        "li",
        element(
            "div",
            element("button", _PLAY, type="button", class_="play", aria_label=f"Play {title}"),
            element("div", element("h2", title), element("p", under)),
            element("a", _SAVE, href=quote(file), download=True, aria_label=f"Download {file}"),
            class_="top",
        ),
        track,
        _ruler(seconds),
        element("audio", src=source, controls=True, preload="auto"),
        class_="card",
        data_seconds=f"{seconds:.6f}",
        data_title=title,
    )


def _picture(png: bytes, rate: int) -> Html:
    hertz = [
        element("span", text, class_="hertz", style=f"bottom:{place}")
        for place, text in (("50%", f"{rate / 4000:.3g}"), ("100%", f"{rate / 2000:.3g} kHz"))
    ]
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    return element("div", element("img", src=source, alt=""), *hertz, class_="picture")


def _source(audio: NDArray[np.floating], rate: int) -> str:
    import numpy as np
    import torch

    from kernel.audio import wav_bytes

    sound = torch.from_numpy(np.ascontiguousarray(audio))
    return f"data:audio/wav;base64,{b64encode(wav_bytes(sound, rate)).decode()}"


def _wave(audio: NDArray[np.floating]) -> Html:
    """Draw each channel in a lane of its own, twice: the second is shown as far as it was heard."""
    shape = outline(audio, 320)
    lane = 100 / len(shape)
    last = max(shape.shape[-1] - 1, 1)
    path = ""
    for index, (low, high) in enumerate(shape):
        middle = (index + 0.5) * lane
        upper = [(i, middle - 0.48 * lane * max(value, 0.02)) for i, value in enumerate(high)]
        lower = [(i, middle - 0.48 * lane * min(value, -0.02)) for i, value in enumerate(low)]
        path += "M" + "L".join(f"{i} {y:.1f}" for i, y in [*upper, *reversed(lower)]) + "Z"
    drawn = [
        element(
            "svg",
            element("path", d=path),
            viewBox=f"0 0 {last} 100",
            preserveAspectRatio="none",
            class_=kind,
            aria_hidden="true",
        )
        for kind in ("wave", "wave heard")
    ]
    return element("div", *drawn, class_="waves")


def _ruler(seconds: float) -> Html:
    marks = []
    for time in ticks(seconds):
        part = time / max(seconds, 1e-6)
        text = f"{time:g}" if time else "0 s"
        last = "last" if part > 0.97 else None
        marks.append(element("span", text, style=f"left:{100 * part:.2f}%", class_=last))
    return element("div", *marks, class_="ruler", aria_hidden="true")
