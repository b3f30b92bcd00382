"""The project of a plugin to begin with: a template under the name of its author's choice."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from keyword import iskeyword
from pathlib import Path

from kernel.errors import UsageError, did_you_mean
from kernel.kinds import KINDS
from kernel.kinds.model import Manifest
from kernel.models import MANIFEST, WEIGHTS
from kernel_audio_testing.projects._names import Names
from kernel_audio_testing.projects._project import Project

__all__ = ["check_kind", "modules", "new_project", "use"]

TEMPLATES = Path(__file__).with_name("templates")
PACKAGE = "kernel_audio_testing.projects.templates"
HELPERS = {
    "backbone": ("network",),
    "codec": ("frames",),
    "encoder": ("ear",),
    "metric": ("meter",),
    "recipe": ("step",),
}
"""Modules beside that of the kind: they import torch, which finding a component must not."""

SYSTEM = ("objective", "schedule", "recipe", "solver", "guidance", "backbone", "codec", "task")
"""What a model needs, and what trains it."""

PLAY = {
    "objective": (
        "kernel train --plugins schedule.edm,dit,mel,labelled,unipc,{} -o task.path=FOLDER"
    ),
    "backbone": "kernel train --plugins edm,mel,labelled,unipc,{} -o task.path=FOLDER",
    "codec": "kernel train --plugins edm,dit,labelled,unipc,{} -o task.path=FOLDER",
    "recipe": "kernel train --plugins edm,dit,mel,labelled,unipc,{} -o task.path=FOLDER",
    "task": "kernel train --plugins edm,dit,mel,unipc,{}",
    "wrapper": "kernel train --plugins {} --model digits-edm -o task.path=FOLDER",
    "command": "kernel {name} --help",
    "encoder": "kernel run --plugins embedder -i SOUND -o task.encoder={name}",
    "importer": "kernel import FILE --as {name} --out FOLDER",
}
"""Kinds that weights belong to, beside parts of kernel-audio-plugins, and kinds of no run.

The others join any model.
"""

ABOUT = """\
`{package}/{kind}.py` holds the class `{title}`,
a whole {kind} that works; its docstring says what to replace to make it your own. It is found by
the line under `[project.entry-points]` in `pyproject.toml`, as soon as it is installed.

`tox` checks what every {kind} promises; so does `pytest`, or `kernel check` from the shell.
`pip wheel --no-deps .` makes the file that others install.
"""

ABOUT_SYSTEM = """\
A whole system that needs nothing but kernel-audio: one component of each kind, a file each, and in
`{package}/model/` the weights that they were trained to.
The docstring of each class says what to replace to make it your own.

New components want new weights, and those take the place of the old:

    kernel train --plugins {name} --steps {steps} --batch {batch} --learning-rate 2e-3
    cp trainings/latest/model/model.* {package}/model/

Then give `model.toml` there a title, and say in it what the licence of the weights is.

`tox` checks what every part promises; so does `pytest`, or `kernel check` from the shell.
`pip wheel --no-deps .` makes the file that others install.

For weights that were trained with the plugins of others, `kernel export` writes a project of
nothing but the model, which requires those plugins.
"""


def new_project(names: Names, kind: str) -> Project:
    """Return a project with a component of a kind or, for `model`, of a whole system with weights.

    Raises UsageError for a kind that there is not, or a name that a template cannot take.
    """
    check_kind(kind)
    return _system(names) if kind == "model" else _component(names, kind)


def check_kind(kind: str) -> None:
    """Raise UsageError for a kind that there is not."""
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS) or f"; the kinds are {', '.join(KINDS)}"
        raise UsageError(f"there is no kind of plugin {kind!r}{near}")


def use(names: Names, kind: str) -> str:
    """Return the command that uses a component of a kind."""
    spelling = f"{kind}.{names.name}"
    return PLAY.get(kind, "kernel run --plugins {}").format(spelling, name=names.name)


def _component(names: Names, kind: str) -> Project:
    spelling = f"{kind}.{names.name}"
    article = "An" if kind[0] in "aeiou" else "A"
    return Project(
        names,
        title=names.distribution,
        description=f"{article} {kind} for kernel-audio.",
        about=ABOUT.format(package=names.package, kind=kind, title=names.title),
        check=spelling,
        play=use(names, kind),
        entries={spelling: f"{names.package}.{kind}"},
        files=modules(names, (kind,)),
    )


def _system(names: Names) -> Project:
    text = _renamed("model/" + MANIFEST, names)
    trained = Manifest.model_validate(tomllib.loads(text)).trained
    entries = {f"{kind}.{names.name}": f"{names.package}.{kind}" for kind in SYSTEM}
    pack = {
        f"model/{MANIFEST}": text.encode(),
        f"model/{WEIGHTS}": (TEMPLATES / "model" / WEIGHTS).read_bytes(),
    }
    return Project(
        names,
        title=names.distribution,
        description="A model for kernel-audio, and all the components that it was trained with.",
        about=ABOUT_SYSTEM.format(
            package=names.package, name=names.name, steps=trained.steps, batch=trained.batch
        ),
        check=names.name,
        play=f"kernel run --plugins {names.name}",
        entries=entries | {f"model.{names.name}": f"{names.package}.model"},
        files=modules(names, SYSTEM) | pack,
    )


def modules(names: Names, kinds: Sequence[str]) -> dict[str, bytes]:
    """Return the modules of the components of some kinds, and that of the package."""
    what = "A component" if len(kinds) == 1 else "Components"
    start = f'"""{what} for kernel-audio."""\n'
    places = [f"{module}.py" for kind in kinds for module in (kind, *HELPERS.get(kind, ()))]
    texts = {place: _renamed(place, names) for place in places}
    return {"__init__.py": start.encode()} | {place: text.encode() for place, text in texts.items()}


def _renamed(place: str, names: Names) -> str:
    """Return the text of a template under other names. Raises UsageError when they are in use."""
    text = (TEMPLATES / place).read_text("utf-8")
    if place.endswith(".py") and (iskeyword(names.title) or names.title in _used(text)):
        raise UsageError(
            f"a class {names.title} would hide something else that {place} calls so; choose "
            f"another name than {names.name} with --name"
        )
    text = text.replace(PACKAGE, names.package)
    text = re.sub(r"\bMine(?=[A-Z]|\b)", names.title, text)
    return re.sub(r"\bmine\b", names.name, text)


def _used(source: str) -> set[str]:
    """Return the names that a module imports, uses or defines."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.alias | ast.ClassDef):
            found.add(node.name)
    return found - {"Mine"}
