"""Plugins of third parties: modules beside this file, installed for the time of a test."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

HERE = Path(__file__).parent


def command(*arguments: object) -> Result:
    """Run `kernel` in this process."""
    from kernel.cli import main

    return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="kernel")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """Return a function that installs a module as a distribution offering some entries.

    It returns the command line that sees them.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    names = []

    def made(module: str, *entries: str) -> Callable[..., Result]:
        names.append(module)
        shutil.copy(HERE / f"{module}.py", folder)
        info = folder / f"lab_{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lab-{module}\nVersion: 1.0\n")
        lines = [f"{entry} = {module}" for entry in entries]
        (info / "entry_points.txt").write_text("\n".join(["[kernel.v1]", *lines, ""]))
        (info / "RECORD").write_text(f"{module}.py,,\n")
        return command

    yield made
    for name in names:
        sys.modules.pop(name, None)
