"""Turn a foreign checkpoint into a model or into safetensors, without running its code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import copy
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from kernel import Command, ForeignFile, Importer, InputError, KernelError, UsageError, hookimpl
from kernel.cli.table import paragraph, table

if TYPE_CHECKING:
    from kernel import ForeignTensor
    from kernel.registry import Registry

__all__ = ["Import"]

EPILOG = """\b
Examples:
  kernel import epoch=9.ckpt --list
  kernel import epoch=9.ckpt --key state_dict --strip-prefix model. --out model.safetensors
  kernel import net.pt --drop '*.num_batches_tracked' --map 'blocks.*.fc=layers.*' --list
  kernel import epoch=9.ckpt --as NAME --out FOLDER

A model.safetensors beside a model.toml is written only if the tensors fit that model's network.
"""


@click.command(name="import", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PLACE", help="File or folder to write."
)
@click.option("--list", "listing", is_flag=True, help="Print the tensors and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON for programs.")
@click.option("--as", "spelling", metavar="NAME", default="plain", help="The importer to use.")
@click.option(
    "-o", "options", multiple=True, metavar="importer.OPTION=VALUE", help="Set its option."
)
@click.option("--key", metavar="GROUP", help="Take only tensors below this name: state_dict.")
@click.option("--strip-prefix", metavar="TEXT", help="Cut it from the names: model.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Take only these tensors: encoder.")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Leave out these: '*.bias'.")
@click.option("--map", multiple=True, metavar="OLD=NEW", help="Rename tensors; @FILE: a line each.")
@click.option(
    "--tensors-only", is_flag=True, default=None, help="Leave out objects that are not tensors."
)
@click.option("--half", is_flag=True, help="Write floating-point tensors as float16.")
def _command(
    file: Path,
    out: Path | None,
    listing: bool,
    as_json: bool,
    spelling: str,
    options: tuple[str, ...],
    half: bool,
    **flags: Any,
) -> None:
    """Turn a foreign checkpoint into a model or into safetensors, without running its code.

    FILE is a file of torch.save (.ckpt, .pt, .pth, .bin), a pickle of arrays or of a network
    (.pkl), or safetensors. An importer knows a family of checkpoints and writes a model's folder.
    The importer `plain` takes the tensors of any file, in nested mappings by dotted names, and
    writes a safetensors file. The classes and functions that a file names are never imported.
    `plain` refuses a file with objects other than tensors and arrays; --tensors-only leaves those
    objects out.

    A PATTERN names a tensor or a group of them. A * in OLD fits any text; a * in NEW is that text.
    These flags may be repeated; --map renames in the order given. --list shows the effect.
    """
    if listing == (out is not None):
        raise UsageError("write the tensors with --out model.safetensors, or list them with --list")
    if as_json and not listing:
        raise UsageError("--json belongs to --list; add it, or leave out --json")
    from kernel.registry import Registry
    from kernel_audio_import._formats import opened

    registry = Registry.scan()
    importer = _importer(registry, spelling, options, flags)
    with opened(file) as found:
        if not found.tensors:
            unread = ", ".join(map(_printable, found.unread))
            raise InputError(
                f"{file} holds no tensors"
                + (f", only other objects ({unread})" if unread else "")
                + "; export the weights, such as a state_dict, with the project that wrote it"
            )
        if out is None:
            click.echo(_listed(found, importer, registry, as_json))
            return
        click.echo(_written(found, importer, registry, out, half))
    if found.unread:
        click.echo(f"note: left out {', '.join(map(_printable, found.unread))}", err=True)


def _importer(
    registry: Registry, spelling: str, options: Sequence[str], flags: Mapping[str, Any]
) -> Importer:
    """Return the importer with the options of `-o` and of the flags for `plain`."""
    from kernel.assembly import configure
    from kernel.config import parse_option

    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if "map" in given:
        given["map"] = [line for text in given["map"] for line in _lines(text)]
    for text in options:
        path, value = parse_option(text)
        kind, _, option = path.rpartition(".")
        if kind != "importer":
            raise UsageError(f"option {text!r} is not of the importer; write importer.{option}=...")
        given[option] = value
    info = registry.pick(spelling, "importer")
    found: Importer = configure(registry.load(info), info, given)
    return found


def _lines(text: str) -> list[str]:
    """Return a line of a mapping, or the lines of the file in `@FILE` without comments."""
    if not text.startswith("@"):
        return [text]
    path = Path(text[1:])
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise InputError(
            f"cannot read the mapping {path}: {reason}; write a line OLD=NEW for each tensor or "
            "group in it"
        ) from error
    return [line for line in lines if line]


def _written(
    file: ForeignFile, importer: Importer, registry: Registry, out: Path, half: bool
) -> str:
    """Write the importer's tensors of a file; return the message for the user."""
    from kernel_audio_import._write import finished, write, write_pack

    configuration = importer.configuration(file)
    loaded = finished(importer.weights(file), half)
    size = sum(tensor.nbytes for tensor in loaded.values()) / 1e6
    if configuration is None:
        fits = write(out, loaded, registry)
        note = f", which fit the model.toml in {out.parent}" if fits else ""
    else:
        write_pack(out, configuration, loaded, registry)
        note = f"; `kernel run --model {out}` plays it"
    return f"{out}: {len(loaded)} tensors, {size:.1f} MB{note}"


def _listed(file: ForeignFile, importer: Importer, registry: Registry, as_json: bool) -> str:
    # Copied, because one tensor may have several names in a file.
    copies = {name: copy(each) for name, each in file.tensors.items()}
    names = {id(each): name for name, each in copies.items()}
    tensors = importer.rename(attrs.evolve(file, tensors=copies))
    origin = {name: names.get(id(each), name) for name, each in tensors.items()}
    left_out = [_printable(name) for name in file.unread]
    known, notes = _known(file, registry)
    if as_json:
        return _json(tensors, origin, left_out, known)
    parts = [_list(tensors, origin, len(copies)), *_choices(tensors, left_out)]
    if known:
        parts.append(paragraph(f"Importers for --as that know this file: {', '.join(known)}"))
    return "\n\n".join([*parts, *map(paragraph, notes)])


def _known(file: ForeignFile, registry: Registry) -> tuple[list[str], list[str]]:
    """Return the importers that know a file, and a sentence for each broken one."""
    known: list[str] = []
    notes: list[str] = []
    for info in registry.plugins:
        if info.kind != "importer":
            continue
        try:
            component: Any = registry.load(info)
            known += [info.name] if component().detect(file) else []
        except KernelError as error:
            notes.append(str(error))
        except Exception as error:  # the user did not name this plugin
            notes.append(f"{info.qualified} cannot read it ({type(error).__name__}: {error})")
    return known, notes


def _list(tensors: Mapping[str, ForeignTensor], origin: Mapping[str, str], there: int) -> str:
    """Return a table; tensors whose names differ only by numbers are one row.

    origin: the name in the file of each tensor. there: the number of tensors in the file.
    """
    from kernel_audio_import._stored import byte_size

    rows: dict[tuple[str, ...], int] = {}
    for name, stored in tensors.items():
        shape = " x ".join(map(str, stored.shape)) or "one value"
        row = (stored.dtype, shape, _starred(name), _starred(origin[name]))
        rows[row] = rows.get(row, 0) + 1
    head = ("count", "type", "shape", "name", "name in the file")
    columns = len(head) - all(name == before for name, before in origin.items())
    body = [(str(count), *row)[:columns] for row, count in rows.items()]
    values = sum(prod(stored.shape) for stored in tensors.values())
    size = sum(byte_size(stored) for stored in tensors.values()) / 1e6
    share = f" of {there}" if len(tensors) < there else ""
    total = f"{len(tensors)}{share} tensors, {values:,} values, {size:.1f} MB"
    return f"{table(head[:columns], body)}\n\n{total}"


def _choices(tensors: Mapping[str, ForeignTensor], left_out: Sequence[str]) -> list[str]:
    """Return the choices for --key and --tensors-only, a paragraph each."""
    from kernel_audio_import._names import groups

    outer = {key: count for key, count in groups(tensors).items() if "." not in key}
    parts = []
    if len(outer) > 1:
        choices = [f"{_printable(key)} ({count})" for key, count in outer.items()]
        parts.append(paragraph(f"Groups for --key: {', '.join(choices)}"))
    if left_out:
        names = ", ".join(left_out)
        parts.append(paragraph(f"Not tensors, to leave out with --tensors-only: {names}"))
    return parts


def _json(
    tensors: Mapping[str, ForeignTensor],
    origin: Mapping[str, str],
    left_out: Sequence[str],
    known: Sequence[str],
) -> str:
    record = {
        "tensors": [
            {"name": name, "from": origin[name], "type": each.dtype, "shape": each.shape}
            for name, each in tensors.items()
        ],
        "left_out": left_out,
        "importers": known,
    }
    return json.dumps(record, indent=2)


def _starred(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", _printable(name))


def _printable(name: str) -> str:
    """Return a name of a file without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


class Import(Command):
    """Reads checkpoints of other projects as data, and writes models and safetensors."""

    def build(self) -> click.Command:
        """Return the command."""
        return _command


@hookimpl
def command() -> type[Command]:
    """Offer `import`."""
    return Import
