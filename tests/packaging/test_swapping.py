"""A private plugin beside another of the same name: never by chance, always on one's word."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

OURS, PRIVATE = "solver.bells@kernel-audio-bells", "solver.bells@kernel-bells"


@pytest.fixture(scope="module")
def bells(clean: Any, projects: dict[str, Path]) -> Any:
    """Return the environment, with a run of `bells` made while only one distribution had it."""
    run(clean, "bells", "before")
    return clean


@pytest.fixture(scope="module")
def source(bells: Any) -> Path:
    """Return the project of another solver called `bells`, and its wheel in a private index."""
    bells.kernel("new", "kernel-bells", "--kind", "solver")
    folder: Path = bells.work / "kernel-bells"
    (wheel,) = bells.wheels(folder)
    page = bells.work / "simple" / "kernel-bells" / "index.html"
    page.parent.mkdir(parents=True)
    shutil.copy(wheel, page.parent)
    page.write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>', "utf-8")
    return folder


@pytest.fixture(params=["editable", "wheel", "index"])
def private(bells: Any, source: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Install the private solver in one of three ways, and uninstall it again."""
    if request.param == "editable":
        bells.pip("install", "--no-build-isolation", "-e", source)
    elif request.param == "wheel":
        bells.pip("install", next(bells.dist.glob("kernel_bells-*.whl")))
    else:
        bells.pip("install", "kernel-bells", index=bells.work / "simple")
    yield request.param
    bells.pip("uninstall", "-y", "kernel-bells")


def run(clean: Any, plugins: str, name: str, *more: str) -> str:
    """Make a sound into runs/NAME and return what was said meanwhile."""
    said = ("--count", "1", "--steps", "3", "--device", "cpu")
    done = clean.kernel("run", "--plugins", plugins, *said, "--name", name, *more)
    return str(done.stderr)


def solver(clean: Any, name: str) -> dict[str, Any]:
    """Return what the record of a run says of its solver."""
    plugins = clean.record(f"runs/{name}/run.json")["plugins"]
    (found,) = [entry for entry in plugins if entry["kind"] == "solver"]
    return found


def test_a_name_that_two_offer_is_settled_by_its_user(bells: Any, private: str) -> None:
    for spelling in ("bells", "solver.bells"):
        refused = bells.kernel("run", "--plugins", spelling, fails=2).stderr
        assert f"{OURS}, {PRIVATE}" in refused
        line = '"solver.bells" = "kernel-audio-bells" or "solver.bells" = "kernel-bells"'
        assert f"the line {line} under [prefer]" in refused

    if private == "editable":
        run(bells, PRIVATE, private)
    elif private == "wheel":
        (bells.work / "lab.toml").write_text('[prefer]\n"solver.bells" = "kernel-bells"\n', "utf-8")
        said = run(bells, "bells", private, "-c", "lab.toml")
        assert "kernel-bells 0.1.0" in said
        assert solver(bells, private)["preferred"] is True
    else:
        said = run(bells, f"bells@kernel-audio-bells,{PRIVATE}", private)
        assert f"note: {PRIVATE} replaces {OURS}" in said
        record = bells.record(f"runs/{private}/run.json")
        assert record["replaced"] == [{"replaced": OURS, "by": PRIVATE}]
        assert f"{PRIVATE} replaces {OURS}" in record["warnings"]
    found = solver(bells, private)
    assert (found["name"], found["distribution"]) == ("bells", "kernel-bells")
    assert found["editable"] == (private == "editable")


def test_installing_alone_changes_nothing(bells: Any, source: Path) -> None:
    bells.pip("install", next(bells.dist.glob("kernel_bells-*.whl")))
    try:
        run(bells, "bells@kernel-audio-bells", "after")
        run(bells, "task.bells", "recommended")
    finally:
        bells.pip("uninstall", "-y", "kernel-bells")
    before = bells.record("runs/before/run.json")
    runs, sound = Path(bells.work, "runs"), "00-220hz.wav"
    for name in ("after", "recommended"):
        after = bells.record(f"runs/{name}/run.json")
        for part in ("plugins", "model", "replaced"):
            assert before[part] == after[part]
        assert (runs / "before" / sound).read_bytes() == (runs / name / sound).read_bytes()
