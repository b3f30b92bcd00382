"""`kernel plugins`: the installed plugins, and the options of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

import kernel
from kernel.cli._commands import shadowed
from kernel.cli.table import paragraph, problem, table, to_json
from kernel.errors import PluginError, UsageError
from kernel.registry import INSTALL_HINT, PluginInfo, Registry

EPILOG = """\b
Examples:
  kernel plugins --json
  kernel plugins --requirements > requirements.txt
  kernel plugins --requirements --from runs/edm-unipc-1
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option(
    "--requirements", is_flag=True, help="Print the lines that pip needs to install them."
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --requirements: those of the run or the training in DIR.",
)
@click.pass_context
def command(
    ctx: click.Context, name: str | None, as_json: bool, requirements: bool, source: Path | None
) -> None:
    """List the installed plugins, or show the options of those called NAME.

    NAME is [KIND.]NAME[@DISTRIBUTION]. The list imports no plugin, so none can break it.
    """
    if requirements and name is not None:
        raise UsageError(f"--requirements are those of all plugins; leave {name} out")
    if source is not None and not requirements:
        raise UsageError("--from DIR says whose --requirements to print; add --requirements")
    registry = Registry.scan()
    if requirements:
        lines = _requirements(registry, source)
        click.echo(to_json(lines) if as_json else "\n".join(lines))
        return
    if name is None:
        click.echo(to_json(_record(registry)) if as_json else _list(registry))
        return
    found = registry.find(name)
    if not found:
        raise registry.unknown(name)
    # Imports of pydantic stand here, so that the plain list does not pay for them.
    from kernel.cli._explain import explain, show

    explained = [explain(info, registry) for info in found]
    click.echo(to_json(explained) if as_json else "\n\n".join(map(show, explained)))
    if any("error" in each for each in explained):
        ctx.exit(PluginError.exit_code)


def _requirements(registry: Registry, source: Path | None) -> list[str]:
    if source is None:
        from kernel.provenance import requirements

        return requirements(info.distribution for info in registry.plugins)
    from kernel.repeat import RUN, TRAINING, read_record

    return list(read_record(source, RUN, TRAINING).requirements)


def _record(registry: Registry) -> dict[str, Any]:
    return {
        "api": kernel.API,
        "plugins": [info._asdict() for info in registry.plugins],
        "foreign": [info._asdict() for info in registry.foreign],
        "problems": _problems(registry),
    }


def _list(registry: Registry) -> str:
    head = PluginInfo._fields[:4]
    if registry.plugins:
        parts = [table(head, [info[:4] for info in registry.plugins])]
    else:
        parts = [paragraph(f"No plugins are installed: {INSTALL_HINT}.")]
    if registry.foreign:
        others = [(*info[:4], f"kernel.v{info.api}") for info in registry.foreign]
        title = f"Not loaded, because they are not for this kernel's API (kernel.v{kernel.API}):"
        parts.append(f"{paragraph(title)}\n{table((*head, 'API'), others)}")
    parts.extend(map(problem, _problems(registry)))
    return "\n\n".join(parts)


def _problems(registry: Registry) -> list[str]:
    from kernel.cli import COMMANDS

    counts = Counter(info.spelling for info in registry.plugins)
    conflicts = [
        f"{spelling} is offered by more than one distribution; name it as "
        + " or ".join(info.qualified for info in registry.find(spelling))
        for spelling, count in sorted(counts.items())
        if count > 1
    ]
    return [*registry.problems, *conflicts, *shadowed(registry, COMMANDS)]
