"""Distributions that are really installed: into a temporary folder that is put on the path."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

import kernel

ROOT = Path(kernel.__file__).parents[1]


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = [str(folder)]

    def install(
        self,
        name: str,
        entries: Mapping[str, str] | str,
        modules: Mapping[str, str | bytes] | None = None,
        version: str = "1.0",
        api: int = 1,
        editable: bool = False,
    ) -> Path:
        """Write what pip would write and return the dist-info folder; `entries` may be raw text."""
        files: dict[str, bytes] = {}
        for place, text in (modules or {}).items():
            files[place] = text if isinstance(text, bytes) else dedent(text).encode()
        if not isinstance(entries, str):
            lines = [f"{entry} = {target}" for entry, target in entries.items()]
            entries = "\n".join([f"[kernel.v{api}]", *lines, ""])
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        files[f"{info}/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        )
        files[f"{info}/entry_points.txt"] = entries.encode()
        if editable:
            record = {"url": "file:///somewhere", "dir_info": {"editable": True}}
            files[f"{info}/direct_url.json"] = json.dumps(record).encode()
        rows = []
        for place, content in files.items():
            path = self.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append(f"{place},sha256={digest.decode()},{len(content)}")
        rows.append(f"{info}/RECORD,,")
        (self.folder / info / "RECORD").write_text("\n".join(rows) + "\n", "utf-8")
        return self.folder / info

    def run(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the installed `kernel` command with these distributions added."""
        script = Path(sysconfig.get_path("scripts")) / "kernel"
        return self._run([str(script), *args], cwd)

    def invoke(self, *args: str) -> Result:
        """Run the command in this process."""
        from kernel.cli import main

        return CliRunner().invoke(main, args, prog_name="kernel")

    def invoke_alone(self, *args: str) -> Result:
        """Run the command in this process, seeing no plugins but these."""
        packages = Path(sysconfig.get_path("purelib"))
        alone = self.folder.with_name("alone")
        alone.mkdir(exist_ok=True)
        for place in packages.iterdir():
            entries = place / "entry_points.txt"
            plugins = entries.is_file() and "kernel.v" in entries.read_text("utf-8")
            if not plugins and not place.name.startswith(
                ("kernel_audio_plugins", "kernel_plugins")
            ):
                (alone / place.name).symlink_to(place)
        standard = [
            place
            for place in sys.path
            if Path(place).is_relative_to(sysconfig.get_path("stdlib")) and Path(place) != packages
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(self.folder), *standard, str(alone), str(ROOT)])
            return self.invoke(*args)

    def modules_after(self, *args: str) -> set[str]:
        """Return what `sys.modules` holds after the command has ended."""
        code = dedent("""
            import sys
            from kernel.cli import main
            try:
                main(prog_name="kernel")
            except SystemExit as end:
                assert not end.code, end.code
            print("\\nMODULES", *sys.modules)
        """)
        done = self._run([sys.executable, "-P", "-c", code, *args], None)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.rpartition("MODULES")[2].split())

    def _run(self, command: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONWARNINGS": "error"}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield an empty folder of installed distributions, on `sys.path` for the time of a test."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
