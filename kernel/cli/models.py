"""`kernel models`: the installed model packs and what each was trained with."""

from __future__ import annotations

import json
from typing import Any

import click

from kernel.cli.table import paragraph, problem, table
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
        click.echo(_json(record) if as_json else _show(record))
        return
    whole, broken = survey(registry)
    if as_json:
        click.echo(_json({"models": [_record(pack) for pack in whole], "problems": broken}))
        return
    parts = [_table(whole)] if whole else []
    if not whole and not broken:
        parts.append(paragraph(f"No models are installed: {INSTALL_HINT}."))
    parts.extend(map(problem, broken))
    click.echo("\n\n".join(parts))


def _table(packs: list[ModelPack]) -> str:
    rows = [
        (
            pack.name,
            f"{pack.manifest.parameters / 1e6:.1f} M",
            ", ".join(_plugins(pack)),
        )
        for pack in packs
    ]
    return table(("name", "size", "trained with"), rows)


def _plugins(pack: ModelPack) -> list[str]:
    return [
        f"{kind}.{name}"
        for kind, names in pack.manifest.plugins.items()
        for name in ([names] if isinstance(names, str) else names)
    ]


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
        "steps": f"{record['steps']} recommended",
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


def _pairs(mapping: dict[str, Any], between: str) -> list[str]:
    return [
        f"{name}{between}{each}"
        for name, value in mapping.items()
        for each in (value if isinstance(value, list) and between == "." else [value])
        if value is not None
    ]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
