"""A further component in a project that is there: what is added, and what stays as it was."""

from __future__ import annotations

import errno
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kernel import InputError, UsageError
from kernel.errors import OutputError
from kernel.kinds import KINDS
from kernel_audio_testing.projects import Names, addition, new_project

LAB = Names("lab-parts", "first")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project(LAB, "solver").write(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def entries(folder: Path) -> dict[str, str]:
    metadata = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    found: dict[str, str] = metadata["project"]["entry-points"]["kernel.v1"]
    return found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "model"])
def test_a_component_of_every_kind_is_added(project: Path, kind: str) -> None:
    before = contents(project)
    addition(project, kind, "next-one").write()
    after = contents(project)
    module = "solver_next_one" if kind == "solver" else kind
    assert entries(project) == {
        "solver.first": "lab_parts.solver",
        f"{kind}.next-one": f"lab_parts.{module}",
    }
    assert b"class NextOne" in after[f"lab_parts/{module}.py"]
    line = f'test_{kind}_next_one = conformance("{kind}.next-one@lab-parts")\n'
    assert after["tests/test_conformance.py"] == before["tests/test_conformance.py"] + line.encode()
    changed = {"pyproject.toml", "tests/test_conformance.py"}
    assert {place for place in before if before[place] != after[place]} == changed
    for place in after:
        if place.endswith(".py"):
            compile(after[place], place, "exec")


def test_modules_whose_names_are_taken_get_names_of_their_own(tmp_path: Path) -> None:
    project = new_project(LAB, "backbone").write(tmp_path)
    before = contents(project)
    addition(project, "backbone", "wide").write()
    after = contents(project)
    assert after["lab_parts/network.py"] == before["lab_parts/network.py"]
    assert "lab_parts/network_wide.py" in after
    assert b"from lab_parts.network_wide import " in after["lab_parts/backbone_wide.py"]
    assert entries(project)["backbone.wide"] == "lab_parts.backbone_wide"


def test_the_name_is_by_default_that_of_the_distribution(tmp_path: Path) -> None:
    project = new_project(Names("kernel-audio-zig"), "objective").write(tmp_path)
    added = addition(project, "schedule")
    assert added.entries == {"schedule.zig": "kernel_audio_zig.schedule"}
    assert added.commands(".")[2] == "kernel run --plugins schedule.zig"
    added.write()
    assert entries(project) == {
        "objective.zig": "kernel_audio_zig.objective",
        "schedule.zig": "kernel_audio_zig.schedule",
    }


HEAD = """\
# by hand
[project]
name = "lab-parts"
version = "1.0"
"""


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        (HEAD, f'{HEAD}\n[project.entry-points."kernel.v1"]\nNEW\n'),
        (
            HEAD + "\n[project.entry-points.'kernel.v1']  # ours\n'a.b' = \"lab_parts.b\"  # b\n"
            "\n# checks\n[tool.ruff]\nline-length = 99\n",
            HEAD
            + "\n[project.entry-points.'kernel.v1']  # ours\n'a.b' = \"lab_parts.b\"  # b\nNEW\n"
            "\n# checks\n[tool.ruff]\nline-length = 99\n",
        ),
        (
            HEAD + '\n[project.entry-points."kernel.v1"]\n\n[tool.ruff]\n',
            HEAD + '\n[project.entry-points."kernel.v1"]\nNEW\n\n[tool.ruff]\n',
        ),
    ],
    ids=["no table", "comments", "empty table"],
)
@pytest.mark.parametrize("root", ["", "src"])
def test_metadata_keeps_its_comments_and_its_order(
    tmp_path: Path, metadata: str, wanted: str, root: str
) -> None:
    (tmp_path / root / "lab_parts").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(metadata)
    addition(tmp_path, "solver", "ab2").write()
    line = '"solver.ab2" = "lab_parts.solver"'
    assert (tmp_path / "pyproject.toml").read_text() == wanted.replace("NEW", line)
    assert (tmp_path / root / "lab_parts" / "solver.py").is_file()
    assert "conformance(" in (tmp_path / "tests" / "test_conformance.py").read_text()


def test_a_test_of_the_users_own_stays_as_it_is(project: Path) -> None:
    own = "def test_mine():\n    pass\n"
    (project / "tests" / "test_conformance.py").write_text(own)
    addition(project, "schedule", "steep").write()
    assert (project / "tests" / "test_conformance.py").read_text() == own
    text = (project / "tests" / "test_schedule_steep.py").read_text()
    assert 'test_schedule_steep = conformance("schedule.steep@lab-parts")' in text


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("solver", "first", "offers solver.first already; choose another name with --name"),
        ("model", "first", "a model is a project of its own; name one and leave out --into"),
        ("sovler", "x", "no kind of plugin 'sovler'; did you mean 'solver'?"),
        ("solver", "Ab2", "a component cannot be called 'Ab2'"),
    ],
)
def test_what_cannot_be_added(project: Path, kind: str, name: str, says: str) -> None:
    before = contents(project)
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        addition(project, kind, name)
    assert contents(project) == before


def test_no_file_is_overwritten(project: Path) -> None:
    (project / "lab_parts" / "solver_ab2.py").write_text("something dear")
    before = contents(project)
    with pytest.raises(OutputError, match=r"solver_ab2\.py exists already and stays as it is"):
        addition(project, "solver", "ab2").write()
    assert contents(project) == before


def test_a_failure_leaves_the_project_as_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, replace = contents(project), Path.replace
    full = [True]

    def refuse(path: Path, target: Any) -> Path:
        if Path(target).name == "pyproject.toml" and full and full.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"pyproject\.toml: no space is left"):
        addition(project, "schedule", "steep").write()
    assert contents(project) == before


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (None, r"pyproject\.toml is not the metadata of a project \(No such file"),
        (
            "[tool.ruff]",
            r"is not the metadata of a project \(KeyError: 'project'\); name the folder",
        ),
        ("[project", r"is not the metadata of a project \(TOMLDecodeError"),
        ("[project]\nname = 3", r"is not the metadata of a project \(KeyError"),
        ("[project]\nname = 'lab'", r"has no folder lab for the module; make the package first"),
    ],
)
def test_a_folder_that_is_no_project(tmp_path: Path, metadata: str | None, says: str) -> None:
    if metadata is not None:
        (tmp_path / "pyproject.toml").write_text(metadata)
    with pytest.raises(InputError, match=says):
        addition(tmp_path, "solver", "ab2")


def test_entry_points_in_another_form_are_left_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "lab_parts").mkdir()
    inline = 'entry-points = { "kernel.v1" = { "solver.a" = "lab_parts.a" } }\n'
    (tmp_path / "pyproject.toml").write_text(HEAD + inline)
    with pytest.raises(UsageError, match="states its entry points in a form that cannot be added"):
        addition(tmp_path, "solver", "ab2")
    assert (tmp_path / "pyproject.toml").read_text() == HEAD + inline
