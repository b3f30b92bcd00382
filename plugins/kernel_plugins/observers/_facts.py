"""The facts about a run on its page."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_plugins.observers._shown import Shown

__all__ = ["command", "count", "duration", "facts", "moment", "owners", "tables", "under"]


def count(number: int, noun: str) -> str:
    """Return `1 sound` or `2 sounds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Return a length of time in readable units."""
    if seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def moment(created: Any) -> str:
    """Return the time of an ISO 8601 string in the page's form; other strings as they are."""
    if not created:
        return ""
    try:
        time = datetime.fromisoformat(str(created))
    except ValueError:
        return f" \u00b7 {created}"
    return f" \u00b7 {time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()


def facts(record: Mapping[str, Any], made: float) -> list[tuple[str, str, str]]:
    """Return title, value and note of each figure of the run.

    made: seconds of new sound; kept seconds of recordings do not count.
    """
    model, sampling, device = (_part(record, key) for key in ("model", "sampling", "device"))
    wall = record.get("seconds")
    busy = sampling.get("seconds", wall)
    factor = speed = None
    if busy and made:
        factor, speed = f"{busy / made:.2g}", f"{made / busy:.2g} s of new sound a second"
    rows = [
        ("Model", model.get("name"), _origin(model)),
        ("Steps", sampling.get("steps"), None),
        ("Evaluations", sampling.get("nfe"), "calls of the network for a batch (NFE)"),
        ("Backward passes", sampling.get("gradients") or None, "for a batch"),
        ("Network items", sampling.get("network_items"), "in all calls of the network together"),
        ("Seed", sampling.get("seed"), None),
        ("Device", device.get("name") or device.get("device"), device.get("precision")),
        ("Wall time", None if wall is None else duration(wall), None),
        ("Real-time factor", factor, speed),
        *(_score(entry) for entry in record.get("scores", ())),
    ]
    return [
        (title, _text(value), _text(note or "")) for title, value, note in rows if value is not None
    ]


def owners(record: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each distribution with the kinds and names of its plugins, sorted."""
    found: dict[str, list[tuple[str, str]]] = {}
    for plugin in record.get("plugins", ()):
        chip = (str(plugin.get("kind", "plugin")), str(plugin.get("name", "?")))
        found.setdefault(_origin(plugin) or "plugins", []).append(chip)
    return sorted(found.items())


def command(record: Mapping[str, Any]) -> str:
    """Return the command line of the run, or an empty text without one in the record."""
    words = record.get("command")
    if not words:
        return ""
    return words if isinstance(words, str) else shlex.join(["kernel", *map(str, words)])


def tables(record: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return title and rows of every table of options; empty tables are left out."""
    named = [
        (f"{plugin.get('kind', 'plugin')} {plugin.get('name', '')}", plugin.get("options"))
        for plugin in record.get("plugins", ())
    ]
    named += [(key, record.get(key)) for key in ("sampling", "model", "device", "versions")]
    return [
        (title, [(str(key), _text(value)) for key, value in sorted(options.items())])
        for title, options in named
        if isinstance(options, Mapping) and options
    ]


def under(shown: Shown) -> str:
    """Return the facts of a sound's line: its length, file, gain, edits and scores."""
    return " \u00b7 ".join(_under(shown))


def _under(shown: Shown) -> Iterator[str]:
    yield duration(shown.length)
    yield shown.file
    gain = shown.entry.get("gain") or 1.0
    if gain != 1:
        yield f"{20 * math.log10(gain):+.1f} dB"
    if shown.spans and shown.side != "given":
        spans = ", ".join(f"{start:.4g}\u2013{stop:.4g}" for start, stop in shown.spans)
        few = len(shown.spans) < 3
        yield f"edited {spans} s" if few else f"edited in {len(shown.spans)} places"
    for name, value in sorted(dict(shown.entry.get("scores") or {}).items()):
        yield f"{name} {value:.3g}" if isinstance(value, (int, float)) else f"{name} \u2013"


def _score(entry: Mapping[str, Any]) -> tuple[str, str | None, str]:
    name, value, std = (entry.get(key) for key in ("name", "value", "std"))
    better = {True: "higher is better", False: "lower is better", None: None}[
        entry.get("higher_is_better")
    ]
    spread = None if std is None else f"\u00b1 {std:.2g} over {count(entry['count'], 'sound')}"
    note = ", ".join(part for part in (spread, better) if part)
    return str(name), None if value is None else f"{value:.3g}", note


def _part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def _origin(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry[key]) for key in ("distribution", "version") if entry.get(key))


def _text(value: Any) -> str:
    """Return strings as they are, mappings as `key value, ...`, other values as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "none" if value is None else json.dumps(value)
