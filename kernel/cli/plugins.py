"""`kernel plugins`: what is installed, and what each plugin can be told."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

import kernel
from kernel.cli._table import paragraph, problem, table
from kernel.errors import PluginError
from kernel.registry import INSTALL_HINT, PluginInfo, Registry

__all__ = ["command"]


@click.command(epilog="Example: kernel plugins --json")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """List the installed plugins, or show the options of those called NAME.

    NAME is [KIND.]NAME[@DISTRIBUTION]. The list imports no plugin, so none can break it.
    """
    registry = Registry.scan()
    if name is None:
        click.echo(_json(_listing(registry)) if as_json else _list(registry))
        return
    found = registry.find(name)
    if not found:
        raise registry.unknown(name)
    # Whatever needs pydantic is imported here: the plain list does not pay for it.
    from kernel.cli._explain import explain, show

    explained = [explain(info, registry) for info in found]
    click.echo(_json(explained) if as_json else "\n\n".join(map(show, explained)))
    if any("error" in each for each in explained):
        ctx.exit(PluginError.exit_code)


def _listing(registry: Registry) -> dict[str, Any]:
    return {
        "api": kernel.API,
        "plugins": [_record(info) for info in registry.plugins],
        "foreign": [_record(info) for info in registry.foreign],
        "problems": [*registry.problems, *_conflicts(registry)],
    }


def _record(info: PluginInfo) -> dict[str, Any]:
    return {
        "kind": info.kind,
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "target": info.target,
        "api": info.api,
    }


def _list(registry: Registry) -> str:
    parts = []
    if registry.plugins:
        rows = [
            (info.kind, info.name, info.distribution, info.version) for info in registry.plugins
        ]
        parts.append(table(("kind", "name", "distribution", "version"), rows))
    else:
        parts.append(paragraph(f"No plugins are installed: {INSTALL_HINT}."))
    if registry.foreign:
        others = [
            (info.kind, info.name, info.distribution, info.version, f"kernel.v{info.api}")
            for info in registry.foreign
        ]
        title = f"Not loaded, because they are not for this kernel's API (kernel.v{kernel.API}):"
        head = ("kind", "name", "distribution", "version", "API")
        parts.append(f"{paragraph(title)}\n{table(head, others)}")
    parts.extend(map(problem, [*registry.problems, *_conflicts(registry)]))
    return "\n\n".join(parts)


def _conflicts(registry: Registry) -> list[str]:
    counts = Counter(info.spelling for info in registry.plugins)
    return [
        f"{spelling} is offered by more than one distribution; name it as "
        + " or ".join(info.qualified for info in registry.find(spelling))
        for spelling, count in sorted(counts.items())
        if count > 1
    ]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
