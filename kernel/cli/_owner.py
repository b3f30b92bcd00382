"""Tells when a second distribution owns the import name `kernel`."""

from __future__ import annotations

import os
import sys

import click

from kernel._scan import content

_OURS = ("kernel_audio-", "~")
"""Our own metadata, and what pip renamed so and did not get to remove."""
_FILE = b"\nkernel/__init__.py,"


def warn_of_second_owner() -> None:
    """Say in one sentence when another distribution installs a package `kernel` too."""
    other = second_owner()
    if other:
        click.echo(
            f"kernel: the distribution {other} installs a package named 'kernel' too, so that one "
            f"overwrites the other; uninstall {other} and reinstall kernel-audio",
            err=True,
        )


def second_owner() -> str | None:
    """Return the name of another distribution that installs `kernel/__init__.py`, or None.

    Reads the bytes of every RECORD, which takes a tenth of what `packages_distributions` takes.
    """
    for folder in dict.fromkeys(sys.path):
        try:
            entries = sorted(entry.name for entry in os.scandir(folder or "."))
        except OSError:
            continue
        for entry in entries:
            if not entry.endswith(".dist-info") or entry.startswith(_OURS):
                continue
            record = content(f"{folder or '.'}/{entry}/RECORD") or b""
            if _FILE in b"\n" + record:
                return entry.partition("-")[0].replace("_", "-")
    return None
