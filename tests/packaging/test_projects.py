"""Every kind of project, from `kernel new` to a run that uses it, with kernel-audio and its kit."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kernel.kinds import KINDS

pytestmark = pytest.mark.slow

PARTS = tuple(kind for kind in KINDS if kind != "model")
TRAINED = ("objective", "schedule", "recipe", "solver", "backbone", "codec", "task")
PLAYED = ("schedule", "solver", "guidance", "metric", "observer")


@pytest.fixture(scope="session")
def tested(clean: Any, projects: dict[str, Path]) -> ElementTree.Element:
    """Return the report of the projects' own tests."""
    report = clean.work / "report.xml"
    folders = [folder / "tests" for folder in projects.values()]
    options = ("--import-mode=importlib", "-p", "no:cacheprovider", "-W", "error")
    clean.python("-m", "pytest", "-q", *options, f"--junit-xml={report}", *folders)
    return ElementTree.parse(report).getroot()


@pytest.fixture(scope="session")
def played(clean: Any, projects: dict[str, Path]) -> Path:
    """Return a run of the model in which parts of its system are replaced by other projects."""
    names = ",".join(("bells", *(f"my-{kind}" for kind in PLAYED)))
    clean.kernel("run", "--plugins", names, "--count", "2", "--steps", "4", "--name", "played")
    return Path(clean.work, "runs", "played")


def test_nothing_is_installed_but_kernel_audio_and_the_projects(
    clean: Any, projects: dict[str, Path]
) -> None:
    listed = clean.kernel("plugins", "--json").stdout
    for shipped in ("kernel-audio-plugins", "kernel_plugins", "midpoint"):
        assert shipped not in listed
    for kind, folder in projects.items():
        assert folder.name in listed, kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_projects_own_tests_pass(
    tested: ElementTree.Element, projects: dict[str, Path], kind: str
) -> None:
    test = f"test_{projects[kind].name.removeprefix('kernel-audio-').replace('-', '_')}["
    mine = [case for case in tested.iter("testcase") if case.get("name", "").startswith(test)]
    assert len(mine) >= 5
    assert not [case.get("name") for case in mine if case.find("failure") or case.find("error")]
    assert len([case for case in mine if case.find("skipped") is None]) >= 5


@pytest.mark.parametrize("kind", PLAYED)
def test_a_run_uses_it_and_says_whose_it_is(clean: Any, played: Path, kind: str) -> None:
    record = clean.record("runs/played/run.json")
    (found,) = [
        entry
        for entry in record["plugins"]
        if (entry["kind"], entry["name"]) == (kind, f"my-{kind}")
    ]
    assert found["distribution"] == f"kernel-audio-my-{kind}"
    assert found["version"] == "0.1.0" and not found["editable"]
    assert record["model"]["name"] == "bells"
    assert record["model"]["distribution"] == "kernel-audio-bells"


def test_a_run_holds_what_metric_and_observer_are_for(clean: Any, played: Path) -> None:
    (score,) = clean.record("runs/played/run.json")["scores"]
    assert score["name"] == "my-metric" and score["count"] == 2
    assert (
        (played / "steps.csv")
        .read_text("utf-8")
        .startswith("step,total,name,value\n1,4,done,0\n1,4,sigma,")
    )
    assert sorted(path.name for path in played.glob("*.wav")) == ["00-220hz.wav", "01-247hz.wav"]


@pytest.mark.parametrize("kind", TRAINED)
def test_a_training_uses_it_and_says_whose_it_is(clean: Any, trained: Path, kind: str) -> None:
    record = clean.record("trainings/drums/train.json")
    (found,) = [entry for entry in record["plugins"] if entry["kind"] == kind]
    assert (found["name"], found["distribution"]) == (f"my-{kind}", f"kernel-audio-my-{kind}")


def test_a_training_becomes_a_pack_that_anyone_can_install(clean: Any, trained: Path) -> None:
    clean.kernel("export", trained, "--pack", "kernel-audio-drums", fails=2)
    licence = ("--licence", "CC0-1.0", "--attribution", "nobody")
    clean.kernel("export", "trainings/drums", "--pack", "kernel-audio-drums", *licence)
    folder = clean.work / "kernel-audio-drums"
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    # Who only plays a model needs no recipe.
    owners = sorted(f"kernel-audio-my-{kind}>=0.1.0" for kind in TRAINED if kind != "recipe")
    assert project["dependencies"] == ["kernel-audio>=0.1,<1", *owners]

    clean.pip("install", *clean.wheels(folder))
    clean.kernel("run", "--model", "drums", "--count", "1", "--steps", "2", "--name", "drums")
    model = clean.record("runs/drums/run.json")["model"]
    assert (model["name"], model["distribution"]) == ("drums", "kernel-audio-drums")
    assert (model["licence"], model["attribution"]) == ("CC0-1.0", "nobody")
    checked = clean.kernel("check", "drums").stdout
    assert "model.drums (kernel-audio-drums 0.1.0): " in checked
    assert "failed" not in checked and "inapplicable" not in checked


def test_a_pack_is_found_in_an_editable_installation(clean: Any, projects: Any) -> None:
    source = projects["model"] / "kernel_audio_bells" / "model"
    clean.kernel("export", source, "--pack", "kernel-audio-chimes")
    clean.pip("install", "--no-build-isolation", "-e", clean.work / "kernel-audio-chimes")
    shown = json.loads(clean.kernel("models", "chimes", "--json").stdout)
    assert shown["folder"] == str(clean.work / "kernel-audio-chimes" / "kernel_audio_chimes")
