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
from kernel.report._shown import Shown, shown
from kernel.report.sheet import paint
from kernel.report.spectrum import RANGE, outline, ticks, top

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
    path: Path,
    record: Mapping[str, Any],
    items: Sequence[NDArray[np.floating]],
    given: Sequence[NDArray[np.floating] | None] = (),
) -> None:
    """Write the page of `record`, as `kernel.report.record` lists it, and its sounds to `path`.

    items: the audio [C, L] of each of the record's items, in their order. given: the recording
    [C, L] that each was made from, or None; it has a player of its own beside the item's. Pictures
    are always in the page, sounds while they take less than 20 MB together; then the files beside
    it are linked. Raises OutputError when the place cannot be written.
    """
    groups = shown(record, items, given)
    sounds = [sound for group in groups for sound in group]
    pictures = [sound.levels() for sound in sounds]
    loudest = top(pictures)
    peak = max((float(abs(s.audio).max()) for s in sounds if s.audio.size), default=0.0) or 1.0
    embed = sum(2 * sound.audio.size + 44 for sound in sounds) <= EMBEDDED
    cards = iter(
        _card(
            sound,
            _source(sound) if embed else quote(sound.file),
            _waves(sound, peak),
            _picture(sound, paint(picture, loudest)),
        )
        for sound, picture in zip(sounds, pictures, strict=True)
    )
    entries = [_entry([next(cards) for _ in group]) for group in groups]
    total = sum(group[-1].length for group in groups)
    page = _document(record, entries, total, paired=len(sounds) > len(groups))
    write_atomic(path, page.encode(errors="xmlcharrefreplace"))


def _document(
    record: Mapping[str, Any], entries: Sequence[Html], total: float, *, paired: bool
) -> str:
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
                count(len(entries), "sound"),
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
            _bar(len(entries), paired=paired),
            element(
                "ol",
                *entries,
                class_="sounds pairs" if paired else "sounds",
                data_count=str(len(entries)),
            ),
        ),
        making(record),
        element("script", _asset("page.js")),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _asset(name: str) -> Html:
    return Html(files("kernel.report").joinpath(name).read_text("utf-8"))


def _bar(sounds: int, *, paired: bool) -> Html:
    keys = join(
        element("kbd", "Space"), " play or pause \u2003",
        element("kbd", "\u2190"), " ", element("kbd", "\u2192"), " previous or next",
        ", from given to result at the same moment" if paired else "",
    )  # fmt: skip
    return element(
        "div",
        element("button", _PLAY, element("span", "Play all"), type="button", id="all", class_="all")
        if sounds > 1 or paired
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


def _entry(cards: Sequence[Html]) -> Html:
    """Return a place in the list: a card, or those of a recording and of what was made from it."""
    return element("li", *cards, class_="pair" if len(cards) > 1 else None)


def _card(sound: Shown, source: str, waves: Html, picture: Html) -> Html:
    title, name, file, seconds = sound.title, sound.name, sound.file, sound.length
    track = element(
        "div",
        waves,
        _ruler(0.0, sound.seconds) if sound.excerpt else "",
        picture,
        class_="track",
        role="slider",
        tabindex="0",
        aria_label=f"Position in {name}",
        aria_valuemin="0",
        aria_valuemax=f"{seconds:.3f}",
        aria_valuenow="0",
        aria_valuetext=f"0.00 s of {seconds:.2f} s",
    )
    heading = join(title, " ", element("span", sound.side, class_="side") if sound.side else "")
    return element(
        "div",
        element(
            "div",
            element("button", _PLAY, type="button", class_="play", aria_label=f"Play {name}"),
            element("div", element("h2", heading), element("p", _under(sound))),
            element("a", _SAVE, href=quote(file), download=True, aria_label=f"Download {file}"),
            class_="top",
        ),
        track,
        _ruler(*sound.view),
        element("audio", src=source, controls=True, preload="auto"),
        class_="card",
        data_seconds=f"{seconds:.6f}",
        data_title=name,
        data_side=sound.side or None,
    )


def _under(sound: Shown) -> str:
    """Return what is said of a sound in a line: its length, file, gain, edits and scores."""
    parts = [duration(sound.length), sound.file]
    gain = sound.entry.get("gain") or 1.0
    if gain != 1:
        parts.append(f"{20 * math.log10(gain):+.1f} dB")
    if sound.spans and sound.side != "given":
        spans = ", ".join(f"{start:.4g}\u2013{stop:.4g}" for start, stop in sound.spans)
        few = len(sound.spans) < 3
        parts.append(f"edited {spans} s" if few else f"edited in {len(sound.spans)} places")
    scores = dict(sound.entry.get("scores") or {})
    parts += [score(name, value) for name, value in sorted(scores.items())]
    return " \u00b7 ".join(parts)


def _lane(sound: Shown, start: float, stop: float, *parts: str, class_: str) -> Html:
    """Return a part of the track that shows the sound from `start` to `stop` seconds."""
    marks = [element("i", class_="mark", style=_place(span, (start, stop))) for span in sound.spans]
    return element(
        "div",
        *parts,
        *marks,
        element("i", class_="head"),
        class_=f"lane {class_}",
        data_start=f"{start:.6f}",
        data_stop=f"{stop:.6f}",
    )


def _picture(sound: Shown, png: bytes) -> Html:
    hertz = [
        element("span", text, class_="hertz", style=f"bottom:{place}")
        for place, text in (
            ("50%", f"{sound.rate / 4000:.3g}"),
            ("100%", f"{sound.rate / 2000:.3g} kHz"),
        )
    ]
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    image = element("img", src=source, alt="", style=_place(sound.seen, sound.view))
    return _lane(sound, *sound.view, image, *hertz, class_="picture")


def _source(sound: Shown) -> str:
    import numpy as np
    import torch

    from kernel.audio import wav_bytes

    audio = torch.from_numpy(np.ascontiguousarray(sound.audio))
    return f"data:audio/wav;base64,{b64encode(wav_bytes(audio, sound.rate)).decode()}"


def _waves(sound: Shown, peak: float) -> Html:
    """Draw each channel in a row of its own, twice: the second is shown as far as it was heard."""
    shape = outline(sound.audio, 320) / peak
    row = 100 / len(shape)
    last = max(shape.shape[-1] - 1, 1)
    path = ""
    for index, (low, high) in enumerate(shape):
        middle = (index + 0.5) * row
        upper = [(i, middle - 0.48 * row * max(value, 0.02)) for i, value in enumerate(high)]
        lower = [(i, middle - 0.48 * row * min(value, -0.02)) for i, value in enumerate(low)]
        path += "M" + "L".join(f"{i} {y:.1f}" for i, y in [*upper, *reversed(lower)]) + "Z"
    across = last * sound.seconds / max(sound.length, 1e-6)
    drawn = [
        element(
            "svg",
            element("path", d=path),
            viewBox=f"0 0 {across:.6g} 100",
            preserveAspectRatio="none",
            class_=kind,
            aria_hidden="true",
        )
        for kind in ("wave", "wave heard")
    ]
    seen = (
        element("i", class_="seen", style=_place(sound.view, (0.0, sound.seconds)))
        if sound.excerpt
        else ""
    )
    return _lane(sound, 0.0, sound.seconds, seen, *drawn, class_="waves")


def _place(span: tuple[float, float], view: tuple[float, float]) -> str:
    """Return where a part of time lies in a view, as a style."""
    (first, last), (start, stop) = span, view
    scale = 100 / max(stop - start, 1e-6)
    return f"left:{scale * (first - start):.3f}%;width:{scale * (last - first):.3f}%"


def _ruler(start: float, stop: float) -> Html:
    marks = []
    for time in ticks(stop, start):
        part = (time - start) / max(stop - start, 1e-6)
        text = f"{time:g}" if time else "0 s"
        side = "last" if part > 0.97 else "first" if part < 0.03 else None
        marks.append(element("span", text, style=f"left:{100 * part:.2f}%", class_=side))
    return element("div", *marks, class_="ruler", aria_hidden="true")
