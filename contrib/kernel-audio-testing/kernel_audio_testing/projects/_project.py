"""A distribution that is not written yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli_w

import kernel
from kernel.files import output_error, staged
from kernel_audio_testing.projects._names import Names

__all__ = ["TEST", "TEST_LINE", "Project"]

TOX = """\
[tox]
env_list = tests

[testenv]
description = hold {name} to the promises of its kind
deps =
    kernel-audio-testing
    pytest
commands = pytest {{posargs}}
"""

IGNORED = """\
__pycache__/
*.egg-info/
.pytest_cache/
.tox/
.venv/
build/
dist/
runs/
trainings/
"""

TEST = '''\
"""Hold `{name}` to the promises of its kind."""

from kernel_audio_testing import conformance

'''
TEST_LINE = 'test_{identifier} = conformance("{check}@{distribution}")\n'


@attrs.frozen
class Project:
    """What is particular to a project; the rest is the same in each.

    description: one sentence. about: what its README says besides. check: the spelling of what is
    in it. play: the command that uses it. entries: entry points, KIND.NAME to a module. files: by
    their places in the package. requires: distributions besides kernel-audio.
    """

    names: Names
    title: str
    description: str
    about: str
    check: str
    play: str
    entries: Mapping[str, str]
    files: Mapping[str, bytes]
    requires: tuple[str, ...] = ()
    licence: str = ""

    def commands(self, place: str) -> tuple[str, str, str]:
        """Return what to type when the project is at `place`: install, check, use."""
        return f"pip install -e {place}", f"kernel check {self.check}", self.play

    def write(self, out: Path) -> Path:
        """Write the project to a new folder in `out`, whole or not at all, and return the folder.

        Raises OutputError when the folder exists or cannot be written.
        """
        folder = out / self.names.distribution
        with staged(folder) as stage:
            for place, content in self._everything().items():
                path = stage / place
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                except OSError as error:
                    raise output_error(folder / place, error) from error
        return folder

    def _everything(self) -> dict[str, bytes]:
        names = self.names
        line = TEST_LINE.format(
            identifier=names.identifier, check=self.check, distribution=names.distribution
        )
        texts = {
            "pyproject.toml": tomli_w.dumps(self._metadata()),
            "README.md": self._readme(),
            "tox.ini": TOX.format(name=names.name),
            ".gitignore": IGNORED,
            "tests/test_conformance.py": TEST.format(name=names.name) + line,
        }
        package = {f"{names.package}/{place}": content for place, content in self.files.items()}
        return {place: text.encode() for place, text in texts.items()} | package

    def _metadata(self) -> dict[str, Any]:
        project: dict[str, Any] = {
            "name": self.names.distribution,
            "version": "0.1.0",
            "description": self.description,
            "readme": "README.md",
            "requires-python": ">=3.11",
            # Not an SPDX expression, which would have to be valid for the project to build.
            **({"license": {"text": self.licence}} if self.licence else {}),
            "dependencies": [_kernel_audio(), *self.requires],
            "entry-points": {f"kernel.v{kernel.API}": dict(self.entries)},
        }
        return {
            "build-system": {
                "requires": ["hatchling>=1.25"],
                "build-backend": "hatchling.build",
            },
            "project": project,
            "tool": {
                "hatch": {
                    "build": {
                        # An editable installation of data alone is found by this.
                        "dev-mode-dirs": ["."],
                        "targets": {"wheel": {"packages": [self.names.package]}},
                    }
                },
                "pytest": {"ini_options": {"testpaths": ["tests"], "filterwarnings": ["error"]}},
                "ruff": {
                    "line-length": 100,
                    "lint": {"isort": {"known-first-party": ["kernel", self.names.package]}},
                },
            },
        }

    def _readme(self) -> str:
        commands = "\n".join(f"    {command}" for command in self.commands("."))
        return f"# {self.title}\n\n{self.description}\n\n{commands}\n\n{self.about}"


def _kernel_audio() -> str:
    """Return the requirement of this kernel-audio or a later one that loads the same plugins."""
    major, minor, *_ = kernel.__version__.split(".")
    return f"kernel-audio>={major}.{minor},<{int(major) + 1}"
