"""Run every combination of solvers, steps or anything else, and measure them side by side."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from kernel import Command, UsageError, hookimpl
from kernel.cli import installed
from kernel.cli.settings import configured, given
from kernel.cli.table import to_json
from kernel.config import RunConfig

EPILOG = """\b
Examples:
  kernel compare --plugins edm --over solver=euler,unipc --over steps=8,16 --out comparisons/edm
  kernel compare -m digits-rf --over guidance.guidance_scale=1,2,3 --count 100 --out scales
  kernel compare -p edm --over solver=heun,unipc --metrics frechet --reference real --out heard

An axis is a setting of `kernel run` (steps, model, precision, ...), a kind of plugin (solver,
schedule, guidance, ...) or an option KIND.OPTION. The same line started again goes on where it
was; started several times at once, the processes share the cells.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--over",
    multiple=True,
    metavar="AXIS=A,B,...",
    help="An axis and its values, e.g. --over steps=8,16,32 (may be repeated).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the comparison, e.g. comparisons/solvers.",
)
@configured(RunConfig, "model", "steps", "count", "batch", "inputs", "cuda_graph")
@click.option(
    "--metrics",
    metavar="A,B,...",
    callback=given,
    help="Metrics to score every cell with once it is made, e.g. frechet,neighbours.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of reference sounds for --metrics.",
)
@click.option(
    "--converged",
    type=click.IntRange(0),
    default=128,
    show_default=True,
    help="Steps of the run that distances are measured to; 0 for none.",
)
@click.option(
    "--converged-solver",
    default="unipc",
    show_default=True,
    metavar="NAME",
    help="Solver of that run, a deterministic one.",
)
@click.option(
    "--converged-count",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Sounds of each cell that are compared with it, the first ones.",
)
@click.option("--retry", is_flag=True, help="Make cells again that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison for programs.")
def compare(
    over: tuple[str, ...],
    metrics: tuple[str, ...] | None,
    as_json: bool,
    plugins: tuple[str, ...] | None,
    **values: Any,
) -> None:
    """Make a grid of runs, and compare their sounds, distances, scores and times."""
    from kernel.cli.progress import Bar
    from kernel_audio_compare.axes import parse_axis
    from kernel_audio_compare.table import tabulated

    axes: dict[str, tuple[Any, ...]] = {}
    for name, found in map(parse_axis, over):
        if name in axes:
            raise UsageError(f"the axis {name!r} is given twice; write --over {name}=A,B,C once")
        axes[name] = found
    with closing(Bar(what="runs")) as bar:
        bar.started(Path(), {})
        made = CompareCommand().call(
            axes,
            plugins=plugins or (),
            metrics=metrics or (),
            registry=installed(),
            telling=lambda done, count, job: bar.step(done, count, {"next": job.name}),
            **values,
        )
    if as_json:
        click.echo(to_json(made.record))
        return
    click.echo(tabulated(made.record))
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(made.told)


class CompareCommand(Command):
    """Make a grid of runs and compare them; `kernel_audio_compare.compare` says what is given."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return compare

    def call(self, *given: Any, **settings: Any) -> Any:
        """Compare from Python, as `kernel_audio_compare.compare` does."""
        from kernel_audio_compare import api

        return api.compare(*given, **settings)


@hookimpl
def command() -> type[Command]:
    """Offer `compare`."""
    return CompareCommand
