"""The header of a run or a training: its components, before it begins."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kernel.runner.plan import Plan


def show(plan: Plan) -> None:
    """Print the components and whose they are, the model and every note, to standard error."""
    console = Console(stderr=True, highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for part in plan.assembly.parts:
        info = part.info
        given = part.component.model_dump(mode="json", exclude_defaults=True, exclude={"labels"})
        options = " ".join(f"{name}={_short(value)}" for name, value in sorted(given.items()))
        table.add_row(
            f"[dim]{info.kind}[/dim]",
            f"[bold]{info.name}[/bold]",
            f"[dim]{info.distribution} {info.version}[/dim]",
            f"[dim]{escape(options if len(options) <= 60 else options[:57] + '...')}[/dim]",
        )
    if plan.pack is not None:
        pack = plan.pack
        owner = f"{pack.info.distribution} {pack.info.version}" if pack.info else "folder"
        table.add_row(
            "[dim]model[/dim]", f"[bold]{escape(pack.name)}[/bold]", f"[dim]{owner}[/dim]", ""
        )
    console.print(table)
    for note in plan.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
