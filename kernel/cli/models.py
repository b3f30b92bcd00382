"""`kernel models`: the installed model packs, and the parts of each."""

from __future__ import annotations

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
        pack = find_pack(registry, name)
        click.echo(to_json(_record(pack)) if as_json else _show(pack))
        return
    whole, broken = survey(registry)
    if as_json:
        click.echo(to_json({"models": [_record(pack) for pack in whole], "problems": broken}))
        return
    rows = [
        (
            pack.name,
            f"{pack.manifest.parameters / 1e6:.1f} M",
            ", ".join(map(".".join, pack.manifest.components)),
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


def _show(pack: ModelPack) -> str:
    manifest, info = pack.manifest, pack.info
    owner = f"{info.distribution} {info.version}" if info else "folder"
    lines = [f"{pack.name}: {manifest.title}  ({owner})", ""]
    lines += [paragraph(manifest.description, "  "), ""] if manifest.description else []
    options = [
        f"{kind}.{name}={value}"
        for kind, given in manifest.options.items()
        for name, value in given.items()
    ]
    trained = [f"{name} {value}" for name, value in manifest.trained if value not in (None, {})]
    facts = {
        "folder": str(pack.folder),
        "licence": manifest.licence,
        "attribution": manifest.attribution,
        "parameters": f"{manifest.parameters:,}",
        "steps": manifest.steps and f"{manifest.steps} recommended",
        "plugins": ", ".join(map(".".join, manifest.components)),
        "options": ", ".join(options),
        "trained": ", ".join(trained),
    }
    rows = [(name, value) for name, value in facts.items() if value]
    return "\n".join([*lines, table(("", ""), rows).split("\n", 2)[2]])
