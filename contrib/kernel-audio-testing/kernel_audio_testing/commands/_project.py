"""The last lines of `kernel new` and `kernel export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kernel_audio_testing.projects import Addition, Project

__all__ = ["tell"]


def tell(project: Project | Addition, folder: Path, verb: str = "is a project of") -> None:
    """Print where a project is and the three commands to type next."""
    # Without ./ pip takes a name for that of a distribution on its index.
    place = str(folder) if folder.is_absolute() else f"./{folder}"
    click.echo(f"{place} {verb} {', '.join(project.entries)}; next:\n")
    for line in project.commands(shlex.quote(place)):
        click.echo(f"    {line}")
