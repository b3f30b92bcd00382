from __future__ import annotations

import ast
import errno
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import kernel
from kernel import UsageError
from kernel.errors import OutputError
from kernel.kinds import KINDS
from kernel.kinds.model import Manifest
from kernel.registry import Registry
from kernel_audio_testing.projects import Names, new_project
from kernel_audio_testing.projects._new import use

NAMES = Names("kernel-audio-zig-zag")
COMMON = {"pyproject.toml", "README.md", "tox.ini", ".gitignore", "tests/test_conformance.py"}
PARTS = {
    "backbone": {"backbone.py", "network.py"},
    "codec": {"codec.py", "frames.py"},
    "encoder": {"encoder.py", "ear.py"},
    "metric": {"metric.py", "meter.py"},
    "recipe": {"recipe.py", "step.py"},
}
SYSTEM = ("objective", "schedule", "recipe", "solver", "guidance", "backbone", "codec", "task")


@pytest.fixture(params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, new_project(NAMES, request.param).write(tmp_path)


def places(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_project_has_these_files_and_no_others(written: tuple[str, Path]) -> None:
    kind, folder = written
    parts = PARTS.get(kind, {f"{kind}.py"})
    if kind == "model":
        parts = (
            {f"{part}.py" for part in SYSTEM}.union(*PARTS.values())
            - PARTS["metric"]
            - PARTS["encoder"]
        )
        parts |= {"model/model.toml", "model/model.safetensors"}
    package = {f"kernel_audio_zig_zag/{part}" for part in {"__init__.py", *parts}}
    assert folder.name == "kernel-audio-zig-zag"
    assert places(folder) == COMMON | package


def test_nothing_is_left_of_the_template(written: tuple[str, Path]) -> None:
    _, folder = written
    for place in sorted(places(folder)):
        if not place.endswith(".safetensors"):
            text = (folder / place).read_text("utf-8")
            assert not re.search(r"\bmine\b|Mine|kernel\.projects|\{\{|{name}|{kind}", text), place


def test_its_modules_compile_and_import_the_public_api_alone(written: tuple[str, Path]) -> None:
    _, folder = written
    allowed = {"kernel", "click", "pydantic", "attrs", "torch", "kernel_audio_zig_zag"}
    tests = {"kernel_audio_testing"}
    for path in folder.glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), path.name)):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for module in modules:
                assert not module.startswith("kernel."), path
                known = tests if path.parent.name == "tests" else allowed
                assert module.partition(".")[0] in known | sys.stdlib_module_names, path


def test_its_metadata_names_what_it_offers(written: tuple[str, Path]) -> None:
    kind, folder = written
    metadata = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    project = metadata["project"]
    wanted = {f"{kind}.zig-zag": f"kernel_audio_zig_zag.{kind}"}
    if kind == "model":
        wanted |= {f"{part}.zig-zag": f"kernel_audio_zig_zag.{part}" for part in SYSTEM}
    assert project["entry-points"] == {f"kernel.v{kernel.API}": wanted}
    assert project["dependencies"] == ["kernel-audio>=0.1,<1"]
    assert metadata["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "kernel_audio_zig_zag"
    ]


def test_its_test_is_one_line(written: tuple[str, Path]) -> None:
    kind, folder = written
    spelling = "zig-zag" if kind == "model" else f"{kind}.zig-zag"
    *_, last = (folder / "tests" / "test_conformance.py").read_text("utf-8").splitlines()
    assert last == f'test_zig_zag = conformance("{spelling}@kernel-audio-zig-zag")'


def test_its_readme_says_what_to_type(written: tuple[str, Path]) -> None:
    kind, folder = written
    readme = (folder / "README.md").read_text("utf-8")
    commands = [line.strip() for line in readme.splitlines() if line.startswith("    ")]
    trained = ("objective", "backbone", "codec", "task", "recipe", "wrapper")
    verb = "train" if kind in trained else "run"
    assert commands[0] == "pip install -e ."
    assert commands[1].startswith("kernel check ") and commands[1].endswith("zig-zag")
    if kind == "command":
        assert commands[2] == "kernel zig-zag --help"
    elif kind == "importer":
        assert commands[2] == "kernel import FILE --as zig-zag --out FOLDER"
    else:
        assert commands[2].startswith(f"kernel {verb} --plugins ") and "zig-zag" in commands[2]
    assert ("kernel export" in readme) == (kind == "model")
    if kind != "model":
        assert "`ZigZag`" in readme


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "train" in use(NAMES, kind)])
def test_a_training_names_a_solver_and_plugins_that_there_are(kind: str) -> None:
    words = use(NAMES, kind).split()
    names = words[words.index("--plugins") + 1].split(",")
    names.remove(f"{kind}.zig-zag")
    registry = Registry.scan()
    found = [registry.find(name) for name in names]
    assert all(found), names
    assert "--model" in words or any(info.kind == "solver" for each in found for info in each)


def test_a_component_may_be_called_otherwise_than_its_distribution(tmp_path: Path) -> None:
    folder = new_project(Names.of("lab-parts", "zig-zag"), "solver").write(tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["kernel.v1"] == {"solver.zig-zag": "lab_parts.solver"}
    assert "class ZigZag(Solver)" in (folder / "lab_parts" / "solver.py").read_text("utf-8")
    test = (folder / "tests" / "test_conformance.py").read_text("utf-8")
    assert 'test_zig_zag = conformance("solver.zig-zag@lab-parts")' in test


def test_a_model_names_its_own_components(tmp_path: Path) -> None:
    folder = new_project(NAMES, "model").write(tmp_path) / "kernel_audio_zig_zag" / "model"
    manifest = Manifest.model_validate(tomllib.loads((folder / "model.toml").read_text("utf-8")))
    names = dict.fromkeys(SYSTEM, "zig-zag") | {"guidance": ["zig-zag"]}
    assert manifest.plugins == names
    assert "guidance.zig-zag" in manifest.options
    assert manifest.licence


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no kind of plugin 'sovler'; did you mean 'solver'?"):
        new_project(NAMES, "sovler")
    with pytest.raises(UsageError, match="no kind of plugin 'x'; the kinds are backbone, "):
        new_project(NAMES, "x")


@pytest.mark.parametrize(
    ("name", "kind", "module"),
    [("step", "solver", "solver"), ("none", "codec", "codec"), ("item", "model", "task")],
)
def test_a_class_that_would_hide_another(name: str, kind: str, module: str) -> None:
    with pytest.raises(UsageError, match=f"would hide something else that {module}.py calls so"):
        new_project(Names(f"kernel-audio-{name}"), kind)


def test_the_name_of_the_template_is_a_name_like_any_other(tmp_path: Path) -> None:
    folder = new_project(Names("kernel-audio-mine"), "solver").write(tmp_path)
    assert "class Mine(Solver)" in (folder / "kernel_audio_mine" / "solver.py").read_text("utf-8")


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "kernel-audio-zig-zag"
    there.mkdir()
    with pytest.raises(OutputError, match="exists already; choose another name"):
        new_project(NAMES, "solver").write(tmp_path)
    assert list(there.iterdir()) == []


def test_a_project_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        if path.name == "tox.ini":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="kernel-audio-zig-zag/tox.ini: no space is left"):
        new_project(NAMES, "solver").write(tmp_path)
    assert list(tmp_path.iterdir()) == []
