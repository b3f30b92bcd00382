"""A clean environment: kernel-audio and its conformance kit from wheels, and no plugins.

Nothing is downloaded. The libraries are links to those of the environment that runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from kernel.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
BELLS = "kernel-audio-bells"
"""The project of `kernel new --kind model`: a whole system under the name `bells`."""


class Environment:
    """A virtual environment, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.dist = folder / "dist"
        self._venv = folder / "venv"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self._venv], check=True)
        paths = {"base": str(self._venv), "platbase": str(self._venv)}
        _link_libraries(Path(sysconfig.get_path("purelib", "venv", paths)))

    def kernel(self, *arguments: str | Path, fails: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the installed command; `fails` is the exit code to expect."""
        return self._run(self._venv / "bin" / "kernel", *arguments, fails=fails)

    def python(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the interpreter, without the working folder on its path."""
        return self._run(self._venv / "bin" / "python", "-P", *arguments)

    def pip(self, *arguments: str | Path, index: Path | None = None) -> None:
        """Run pip on local files, or on an index that is a folder."""
        offer = {"PIP_NO_INDEX": "1"} if index is None else {"PIP_INDEX_URL": index.as_uri()}
        self._run(self._venv / "bin" / "python", "-P", "-m", "pip", *arguments, extra=offer)

    def wheels(self, *projects: Path) -> list[Path]:
        """Build a wheel of each project."""
        before = set(self.dist.glob("*.whl"))
        self.pip("wheel", "--no-deps", "--no-build-isolation", "-w", self.dist, *projects)
        return sorted(set(self.dist.glob("*.whl")) - before)

    def record(self, place: str) -> dict[str, Any]:
        """Return a run.json or a train.json."""
        found: dict[str, Any] = json.loads((self.work / place).read_text("utf-8"))
        return found

    def _run(
        self, *command: str | Path, fails: int = 0, extra: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "COLUMNS": "200",
            **(extra or {}),
        }
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == fails, f"{command}\n{done.stdout}\n{done.stderr}"
        return done


def _link_libraries(site: Path) -> None:
    """Link everything that is installed here but kernel-audio and what offers plugins."""
    here = Path(sysconfig.get_path("purelib"))
    hidden = {"__pycache__"}
    for distribution in metadata.distributions(path=[str(here)]):
        groups = {entry.group for entry in distribution.entry_points}
        ours = distribution.name == "kernel-audio"
        if ours or any(group.startswith("kernel.v") for group in groups):
            hidden |= {file.parts[0] for file in distribution.files or ()}
    for place in sorted(here.iterdir()):
        if place.name not in hidden and place.suffix != ".pth":
            (site / place.name).symlink_to(place)


TOOLS = [ROOT / "contrib" / name for name in ("kernel-audio-training", "kernel-audio-testing")]
"""The trainer, and the conformance kit, which needs it."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Return a function that makes an environment with nothing of ours."""
    return lambda name: Environment(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def clean(environment: Callable[[str], Environment]) -> Environment:
    """Return an environment with kernel-audio, trainer and conformance kit, and nothing else."""
    made = environment("clean")
    made.pip("install", *made.wheels(ROOT, *TOOLS))
    return made


@pytest.fixture(scope="session")
def projects(clean: Environment) -> dict[str, Path]:
    """Return a project of each kind, all of them installed from wheels."""
    names = {kind: BELLS if kind == "model" else f"kernel-audio-my-{kind}" for kind in KINDS}
    for kind, name in names.items():
        clean.kernel("new", name, "--kind", kind)
    folders = {kind: clean.work / name for kind, name in names.items()}
    clean.pip("install", *clean.wheels(*folders.values()))
    return folders


@pytest.fixture(scope="session")
def trained(clean: Environment, projects: dict[str, Path]) -> Path:
    """Return a training for which `kernel train` took a part from almost every project."""
    kinds = ("objective", "schedule", "recipe", "solver", "backbone", "codec", "task")
    names = ",".join(f"my-{kind}" for kind in kinds)
    clean.kernel(
        *("train", "--plugins", names, "--steps", "2", "--batch", "2", "--device", "cpu"),
        *("-o", "backbone.width=8", "--out", "trainings/drums"),
    )
    return clean.work / "trainings" / "drums"
