"""Print how long sounds are and how loud their peaks."""

from __future__ import annotations

import math
from pathlib import Path

import click

from kernel import Command, hookimpl, read_audio


class Mine(Command):
    """Print the length of each sound file and the level of its peak.

    To make it your own, write another function and return it from `build`. `kernel --help` shows
    the first line of this file; the command's own help is the docstring of the function.
    """

    def build(self) -> click.Command:
        """Return the command for click."""
        return levels


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--digits", default=1, show_default=True, help="Digits after the decimal point.")
def levels(files: tuple[Path, ...], digits: int) -> None:
    """Print the length of each of FILES in seconds and the level of its peak in dB."""
    for file in files:
        audio, sample_rate = read_audio(file)
        peak = float(audio.abs().max())
        level = f"{20 * math.log10(peak):.{digits}f} dB" if peak else "silence"
        click.echo(f"{file}: {audio.shape[-1] / sample_rate:.{digits}f} s, {level}")


@hookimpl
def command() -> type[Command]:
    """Offer `mine`."""
    return Mine
