"""`kernel import`: foreign checkpoints to safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernel.cli._table import paragraph, table
from kernel.errors import InputError, UsageError

if TYPE_CHECKING:
    from kernel.foreign import Stored

__all__ = ["command"]

EPILOG = """\b
Examples:
  kernel import epoch=9.ckpt --list
  kernel import epoch=9.ckpt --key state_dict --strip-prefix model. --out model.safetensors

Written beside a model.toml as model.safetensors, the tensors are tried in its network first.
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The safetensors file to write."
)
@click.option("--list", "listing", is_flag=True, help="Print the tensors and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON for programs.")
@click.option("--key", metavar="GROUP", help="Take only what is below this name: state_dict.")
@click.option("--strip-prefix", "prefix", metavar="TEXT", help="Take it off the names: model.")
@click.option("--half", is_flag=True, help="Write numbers with a fraction as float16.")
@click.option("--drop", is_flag=True, help="Leave out the objects that are not tensors.")
def command(
    file: Path,
    out: Path | None,
    listing: bool,
    as_json: bool,
    key: str | None,
    prefix: str | None,
    half: bool,
    drop: bool,
) -> None:
    """Turn a foreign checkpoint into safetensors, running none of it.

    FILE is what torch.save wrote (.ckpt, .pt, .pth, .bin), a pickle of arrays (.pkl), or
    safetensors. Tensors in nested mappings get dotted names. The classes and functions that such a
    file names are never imported: where it names any beside those of tensors and arrays, it is
    refused, and --drop leaves those objects out.
    """
    if listing == (out is not None):
        raise UsageError(
            "say where to write with --out model.safetensors, or look at what there is with --list"
        )
    if as_json and not listing:
        raise UsageError("--json belongs to --list; add it, or leave out --json")
    from kernel.foreign import load, opened, strip_prefix, subtree, write

    with opened(file) as checkpoint:
        tensors = checkpoint.tensors
        left_out = [_printable(name) for name in checkpoint.left_out]
        if left_out and not drop and not listing:
            raise InputError(
                f"{file} holds objects that are no tensors: {', '.join(left_out)}; nothing of them "
                "was run, add --drop to leave them out"
            )
        if not tensors:
            raise InputError(
                f"{file} holds no tensors"
                + (f" beside what is left out ({', '.join(left_out)})" if left_out else "")
                + "; export the weights, such as a state_dict, where it was made"
            )
        tensors = subtree(tensors, key) if key else tensors
        tensors = strip_prefix(tensors, prefix) if prefix else tensors
        if out is not None:
            loaded = load(tensors, half)
    if out is None:
        click.echo(_json(tensors, left_out) if as_json else _list(tensors, left_out))
        return
    from kernel.registry import Registry

    fits = write(out, loaded, Registry.scan())
    size = out.stat().st_size / 1e6
    note = f", which fit the model.toml in {out.parent}" if fits else ""
    click.echo(f"{out}: {len(loaded)} tensors, {size:.1f} MB{note}")
    if left_out:
        click.echo(f"note: left out {', '.join(left_out)}", err=True)


def _list(tensors: Mapping[str, Stored], left_out: Sequence[str]) -> str:
    """Return a table in which tensors that differ only by numbers in their names are one row."""
    from kernel.foreign import groups

    rows: dict[tuple[str, ...], int] = {}
    for name, stored in tensors.items():
        shape = " x ".join(map(str, stored.shape)) or "one value"
        row = (stored.dtype, shape, re.sub(r"(?<![^.])\d+(?![^.])", "*", _printable(name)))
        rows[row] = rows.get(row, 0) + 1
    body = [(str(count), *row) for row, count in rows.items()]
    parts = [table(("count", "type", "shape", "name"), body)]
    values = sum(stored.values for stored in tensors.values())
    size = sum(stored.size for stored in tensors.values()) / 1e6
    parts.append(f"{len(tensors)} tensors, {values:,} values, {size:.1f} MB")
    outer = {key: count for key, count in groups(tensors).items() if "." not in key}
    if len(outer) > 1:
        choices = [f"{_printable(key)} ({count})" for key, count in outer.items()]
        parts.append(paragraph(f"Groups for --key: {', '.join(choices)}"))
    if left_out:
        parts.append(paragraph(f"Not tensors, to leave out with --drop: {', '.join(left_out)}"))
    return "\n\n".join(parts)


def _json(tensors: Mapping[str, Stored], left_out: Sequence[str]) -> str:
    record = {
        "tensors": [
            {"name": name, "type": stored.dtype, "shape": stored.shape}
            for name, stored in tensors.items()
        ],
        "left_out": left_out,
    }
    return json.dumps(record, indent=2)


def _printable(name: str) -> str:
    """Return a name that a file gives without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
