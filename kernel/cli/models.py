"""`kernel models`: the installed model packs and what each was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kernel.cli.table import paragraph, problem, table, to_json
from kernel.models import ModelPack, find_pack, survey
from kernel.registry import INSTALL_HINT, Registry


@click.command(epilog="Example: kernel models --json")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(name: str | None, as_json: bool) -> None:
    """List the installed models, or show everything about NAME.

    NAME is that of an installed model, or a folder with model.toml and model.safetensors.
    """
    registry = Registry.scan()
    if name is not None:
        record = _record(find_pack(registry, name))
        click.echo(to_json(record) if as_json else _show(record))
        return
    whole, broken = survey(registry)
    if as_json:
        click.echo(to_json({"models": [_record(pack) for pack in whole], "problems": broken}))
        return
    rows = [
        (
            pack.name,
            f"{pack.manifest.parameters / 1e6:.1f} M",
            ", ".join(_pairs(pack.manifest.plugins, ".")),
        )
        for pack in whole
    ]
    parts = [table(("name", "size", "trained with"), rows)] if rows else []
    if not whole and not broken:
        parts.append(paragraph(f"No models are installed: {INSTALL_HINT}."))
    click.echo("\n\n".join([*parts, *map(problem, broken)]))


def _record(pack: ModelPack) -> dict[str, Any]:
    info = pack.info
    return {
        "name": pack.name,
        "distribution": info and info.distribution,
        "version": info and info.version,
        "folder": str(pack.folder),
        **pack.manifest.model_dump(mode="json"),
    }


def _show(record: dict[str, Any]) -> str:
    owner = f"{record['distribution']} {record['version']}" if record["distribution"] else "folder"
    lines = [f"{record['name']}: {record['title']}  ({owner})", ""]
    lines += [paragraph(record["description"], "  "), ""] if record["description"] else []
    facts = {
        "folder": record["folder"],
        "licence": record["licence"],
        "attribution": record["attribution"],
        "parameters": f"{record['parameters']:,}",
        "steps": record["steps"] and f"{record['steps']} recommended",
        "plugins": ", ".join(_pairs(record["plugins"], ".")),
        "options": ", ".join(
            f"{kind}.{pair}"
            for kind, options in record["options"].items()
            for pair in _pairs(options, "=")
        ),
        "trained": ", ".join(_pairs(record["trained"], " ")),
    }
    rows = [(name, value) for name, value in facts.items() if value]
    return "\n".join([*lines, table(("", ""), rows).split("\n", 2)[2]])


def _pairs(mapping: Mapping[str, Any], between: str) -> list[str]:
    return [
        f"{name}{between}{each}"
        for name, value in mapping.items()
        for each in (value if between == "." and not isinstance(value, str) else [value])
        if value is not None
    ]
