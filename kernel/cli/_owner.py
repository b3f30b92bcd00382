"""Finds a second distribution that owns the import name `kernel`."""

from __future__ import annotations

import os
import sys

import click

from kernel._scan import content

_OURS = ("kernel_audio-", "~")
"""Our own metadata, and folders that pip renamed and failed to remove."""
_FILE = b"\nkernel/__init__.py,"


def warn_of_second_owner() -> None:
    """Print one sentence when a second distribution installs a package `kernel`."""
    other = second_owner()
    if other:
        click.echo(
            f"kernel: the distribution {other} installs a package named 'kernel' too, so that one "
            f"overwrites the other; uninstall {other} and reinstall kernel-audio",
            err=True,
        )


def second_owner() -> str | None:
    """Return the name of a second distribution that installs `kernel/__init__.py`, or None.

    Reads the bytes of every RECORD, in a tenth of the time of `packages_distributions`.
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
