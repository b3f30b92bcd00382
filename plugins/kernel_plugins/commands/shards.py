"""Put the sounds of a folder into tar files with an index, for trainings."""

from __future__ import annotations

from pathlib import Path

import click

from kernel import Command, UsageError, component, hookimpl

EPILOG = """\b
Examples:
  kernel shards recordings --out shards
  kernel shards recordings --manifest clean.csv --out shards --bad-files skip
  kernel shards --index webdataset
  kernel train --plugins edm,dit,mel,labelled -o task.path=shards

The files keep their names, and so their labels. Every sound is read, and bad ones are named. The
tar files are those of webdataset; --index makes the index of existing ones.
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make, e.g. shards.")
@click.option("--index", is_flag=True, help="Write the index of the tar files in FOLDER.")
@click.option("--size", type=click.IntRange(1), default=1000, show_default=True, help="MB a shard.")
@click.option("--pattern", default="**/*", show_default=True, help="Glob of the files.")
@click.option("--manifest", type=click.Path(path_type=Path), help="CSV or JSONL file of paths.")
@click.option(
    "--bad-files",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Stop at a bad file, or leave it out.",
)
def shards(
    folder: Path,
    out: Path | None,
    index: bool,
    size: int,
    pattern: str,
    manifest: Path | None,
    bad_files: str,
) -> None:
    """Put the sounds in FOLDER into shards, for corpora of millions of files."""
    if index == (out is not None):
        raise UsageError("`kernel shards` takes either --out FOLDER or --index; name one of them")
    task = component(
        "task.unconditional",
        path=folder,
        pattern=pattern,
        manifest=manifest,
        bad_files=bad_files,
    )
    for said in task.shard(out, size * 10**6):
        click.echo(said)


class ShardsCommand(Command):
    """Put the sounds of a folder into shards."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return shards


@hookimpl
def command() -> type[Command]:
    """Offer `shards`."""
    return ShardsCommand
