"""The command in this process, and distributions that are installed for one test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result


class Site:
    """A folder on the path in which distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, entries: Mapping[str, str], modules: Mapping[str, str]) -> None:
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{entry} = {target}" for entry, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[kernel.v1]", *lines, ""]))
        for place, text in modules.items():
            (self.folder / place).write_text(dedent(text))

    def invoke(self, *args: str) -> Result:
        from kernel.cli import main

        return CliRunner().invoke(main, args, prog_name="kernel")

    def modules_after(self, *args: str) -> set[str]:
        """Return what `sys.modules` holds after the command has ended in a process of its own."""
        code = """
            import sys
            from kernel.cli import main
            try:
                main(prog_name="kernel")
            except SystemExit as end:
                assert not end.code, end.code
            print("\\nMODULES", *sys.modules)
        """
        done = subprocess.run(
            [sys.executable, "-P", "-c", dedent(code), *args],
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Site(folder)
