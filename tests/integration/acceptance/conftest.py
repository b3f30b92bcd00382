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
    """Return a function that installs what is beside this file as a distribution.

    A folder NAME becomes the package `lab_NAME`, in which an entry KIND.WORD is at home in the
    module KIND; a file is a module that has all its entries. It returns the command line that sees
    them.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    names = []

    def made(name: str, *entries: str) -> Callable[..., Result]:
        if (HERE / name).is_dir():
            package = f"lab_{name}"
            shutil.copytree(HERE / name, folder / package)
            (folder / package / "__init__.py").touch()
            homes = {entry: f"{package}.{entry.partition('.')[0]}" for entry in entries}
            files = [f"{package}/{file.name}" for file in (folder / package).glob("*.py")]
        else:
            package = name
            shutil.copy(HERE / f"{name}.py", folder)
            homes, files = dict.fromkeys(entries, name), [f"{name}.py"]
        names.append(package)
        info = folder / f"lab_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lab-{name}\nVersion: 1.0\n")
        lines = [f"{entry} = {home}" for entry, home in homes.items()]
        (info / "entry_points.txt").write_text("\n".join(["[kernel.v1]", *lines, ""]))
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in sorted(files)))
        return command

    yield made
    for module in list(sys.modules):
        if module.partition(".")[0] in names:
            del sys.modules[module]
