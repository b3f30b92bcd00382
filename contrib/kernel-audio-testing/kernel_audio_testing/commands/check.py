"""Check that plugins keep the promises of their kinds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from kernel import Command, hookimpl
from kernel.errors import CheckFailed, PluginError, UsageError, did_you_mean
from kernel.kinds import KINDS
from kernel.registry import PluginInfo, Registry

if TYPE_CHECKING:
    from kernel_audio_testing._process import Report

EPILOG = """\b
Examples:
  kernel check heun
  kernel check backbone.dit -o width=48 -o depth=2
  kernel check --all --timeout 60
"""


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Check every installed plugin.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="[KIND.]OPTION=VALUE",
    help="An option to check the component with (may be repeated).",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Time limit in seconds for all checks of one plugin.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(
    names: tuple[str, ...],
    everything: bool,
    options: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Check that plugins keep the promises of their kinds.

    NAME is [KIND.]NAME[@DISTRIBUTION]; every plugin that fits it is checked, models too.
    """
    if everything == bool(names):
        raise UsageError("name the plugins to check, or add --all to check every installed one")
    registry = Registry.scan()
    plugins = registry.plugins if everything else _named(registry, names)
    given = _options(options, plugins)
    problems = registry.problems if everything else ()
    reports = _check(plugins, given, timeout, as_json)
    if as_json:
        records = [_record(report) for report in reports]
        click.echo(
            json.dumps({"plugins": records, "problems": problems}, indent=2, ensure_ascii=False)
        )
    else:
        from kernel.cli.table import problem

        for sentence in problems:
            click.echo(f"{problem(sentence)}\n")
    _conclude(reports)


def _named(registry: Registry, names: Sequence[str]) -> tuple[PluginInfo, ...]:
    found: dict[PluginInfo, None] = {}
    for name in names:
        matches = registry.find(name)
        if not matches:
            raise registry.unknown(name)
        found |= dict.fromkeys(matches)
    return tuple(found)


def _options(
    texts: Sequence[str], plugins: Sequence[PluginInfo]
) -> Mapping[PluginInfo, Mapping[str, Any]]:
    """Return the options of each plugin, from `OPTION=`, `KIND.OPTION=` or `KIND.NAME.OPTION=`."""
    from kernel.config import parse_option

    given: dict[PluginInfo, dict[str, Any]] = {info: {} for info in plugins}
    for text in texts:
        bare = "." not in text.partition("=")[0]
        path, value = parse_option(f"any.{text}" if bare else text)
        owner, _, option = path.rpartition(".")
        owned = [info for info in plugins if bare or owner in (info.kind, info.spelling)]
        if not owned:
            near = did_you_mean(owner, [*KINDS, *(info.spelling for info in plugins)])
            raise UsageError(f"option {owner}.{option} belongs to no plugin that is checked{near}")
        for info in owned:
            given[info][option] = value
    return given


def _check(
    plugins: Sequence[PluginInfo],
    options: Mapping[PluginInfo, Mapping[str, Any]],
    timeout: float,
    silent: bool,
) -> list[Report]:
    from rich.console import Console

    from kernel_audio_testing._process import check_apart

    reports = []
    for info in plugins:
        with Console(stderr=True).status(f"checking {info.qualified}"):
            report = check_apart(info, options[info], timeout)
        if report.exit_code == UsageError.exit_code:
            raise UsageError(report.error)
        if not silent:
            _show(report)
        reports.append(report)
    return reports


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    info = report.info
    counts = Counter(outcome.status for outcome in report.outcomes)
    tally = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    seconds = sum(outcome.seconds for outcome in report.outcomes)
    owner = f"({info.distribution} {info.version})"
    verdict = "cannot be loaded" if report.error else f"{tally} in {seconds:.1f} s"
    console.print(Text.assemble((info.spelling, "bold"), f" {owner}: {verdict}"))
    if report.error:
        console.print(
            Text(f"  {report.error}"), *map(Text, report.log.splitlines()[-20:]), sep="\n"
        )
    styles = {
        "passed": "green",
        "failed": "bold red",
        "error": "bold red",
        "expected": "yellow",
        "inapplicable": "dim",
    }
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for outcome in report.outcomes:
        detail = Text(outcome.detail or outcome.promise)
        if outcome.status in ("failed", "error", "expected"):
            detail = Text(f"{outcome.promise}\n{outcome.detail}")
        table.add_row(outcome.check, Text(outcome.status, styles[outcome.status]), detail)
    console.print(table)


def _record(report: Report) -> dict[str, Any]:
    status = "unusable" if report.error else "failed" if report.broken else "passed"
    return {
        **report.info._asdict(),
        "status": status,
        "error": report.error,
        "checks": [attrs.asdict(outcome) for outcome in report.outcomes],
    }


def _conclude(reports: Sequence[Report]) -> None:
    """Raise what the command ends with: a failed check counts more than an unusable plugin."""
    broken = [report for report in reports if report.broken]
    unusable = [report for report in reports if report.error]
    if broken:
        count = sum(len(report.broken) for report in broken)
        names = ", ".join(report.info.spelling for report in broken)
        raise CheckFailed(
            f"{count} of {sum(len(report.outcomes) for report in reports)} checks failed, in "
            f"{names}; the lines above name the faults; report them to the author of the plugin"
        )
    if len(unusable) == 1:
        raise PluginError(unusable[0].error)
    if unusable:
        names = ", ".join(report.info.spelling for report in unusable)
        raise PluginError(
            f"{len(unusable)} plugins cannot be loaded: {names}; the lines above name the causes"
        )


class Check(Command):
    """Run the conformance kit on plugins, each in a process of its own."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return check


@hookimpl
def command() -> type[Command]:
    """Offer `check`."""
    return Check
