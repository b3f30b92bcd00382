"""What a page says of how its sounds were made."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kernel.report._html import Html, element

__all__ = ["count", "duration", "facts", "making", "moment", "plugins", "score"]


def count(number: int, noun: str) -> str:
    """Return `1 sound` or `2 sounds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Return a length of time as a person would write it."""
    if seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def score(name: str, value: Any) -> str:
    """Return a score as a person would write it, one that could not be had as a dash."""
    return f"{name} {value:.3g}" if isinstance(value, (int, float)) else f"{name} \u2013"


def moment(created: Any) -> str:
    """Return the time of an ISO 8601 string as a page has it, or the string when it is none."""
    if not created:
        return ""
    try:
        time = datetime.fromisoformat(str(created))
    except ValueError:
        return f" \u00b7 {created}"
    return f" \u00b7 {time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()


def facts(record: Mapping[str, Any], total: float) -> Html:
    """List the figures of the run. total: seconds of sound that it made."""
    model, sampling, device = (_part(record, key) for key in ("model", "sampling", "device"))
    wall = record.get("seconds")
    busy = sampling.get("seconds", wall)
    factor = speed = None
    if busy and total:
        factor, speed = f"{busy / total:.2g}", f"{total / busy:.2g} s of sound a second"
    rows = [
        ("Model", model.get("name"), _origin(model)),
        ("Steps", sampling.get("steps"), None),
        ("Evaluations", sampling.get("nfe"), "of the network (NFE)"),
        ("Seed", sampling.get("seed"), None),
        ("Device", device.get("name") or device.get("device"), device.get("precision")),
        ("Wall time", None if wall is None else duration(wall), None),
        ("Real-time factor", factor, speed),
        *(_score(entry) for entry in record.get("scores", ())),
    ]
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", title),
                element("dd", _text(value), element("small", _text(note)) if note else ""),
            )
            for title, value, note in rows
            if value is not None
        ),
        class_="facts",
    )


def plugins(record: Mapping[str, Any]) -> Html:
    """List the plugins under the distributions that they come from."""
    owners: dict[str, list[Html]] = {}
    for plugin in record.get("plugins", ()):
        chip = element(
            "li",
            element("span", str(plugin.get("kind", "plugin"))),
            element("b", str(plugin.get("name", "?"))),
        )
        owners.setdefault(_origin(plugin), []).append(chip)
    rows = [
        element("li", element("span", owner or "plugins"), element("ul", *chips))
        for owner, chips in sorted(owners.items())
    ]
    return element("ul", *rows, class_="plugins", aria_label="Plugins") if rows else Html()


def making(record: Mapping[str, Any]) -> Html:
    """Tell, folded, how to make the sounds again and with which options."""
    command = record.get("command")
    parts: list[str] = []
    if command:
        line = command if isinstance(command, str) else shlex.join(["kernel", *map(str, command)])
        parts += [
            element("h3", "Command"),
            element(
                "div",
                element("pre", element("code", line, id="command")),
                element("button", "Copy", type="button", id="copy", class_="copy", hidden=True),
                class_="command",
            ),
        ]
    tables = [
        _table(f"{plugin.get('kind', 'plugin')} {plugin.get('name', '')}", plugin.get("options"))
        for plugin in record.get("plugins", ())
    ]
    tables += [_table(key, record.get(key)) for key in ("sampling", "model", "device", "versions")]
    replaced = [
        element("li", f"{entry.get('replaced')} by {entry.get('by')}")
        for entry in record.get("replaced", ())
    ]
    if any(tables):
        parts += [element("h3", "Options"), element("div", *tables, class_="tables")]
    if replaced:
        parts += [element("h3", "Replaced plugins"), element("ul", *replaced)]
    return element(
        "details",
        element("summary", "How these sounds were made"),
        *parts,
        element("p", "All of it, for programs: ", element("a", "run.json", href="run.json")),
    )


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


def _table(title: str, options: Any) -> Html:
    if not isinstance(options, Mapping) or not options:
        return Html()
    rows = [
        element("tr", element("th", str(key), scope="row"), element("td", _text(value)))
        for key, value in sorted(options.items())
    ]
    return element("table", element("caption", title), element("tbody", *rows))


def _text(value: Any) -> str:
    """Return strings as they are, mappings as `key value, ...`, other values as JSON has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "none" if value is None else json.dumps(value)
