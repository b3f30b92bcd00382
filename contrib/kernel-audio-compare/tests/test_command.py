from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from click.testing import Result

    from conftest import Site


@pytest.fixture
def typed(site: Site, model: Path, tmp_path: Path) -> Result:
    return site.invoke(
        *("compare", "--model", str(model), "--over", "solver=euler,heun", "--over", "steps=2,3"),
        *("--count", "2", "--converged", "16", "--device", "cpu", "--out", str(tmp_path / "grid")),
    )


def test_the_table_fits_a_terminal(typed: Result) -> None:
    assert typed.exit_code == 0, typed.output
    lines = typed.stdout.splitlines()
    assert lines[0].split() == ["solver", "steps", "NFE", "distance", "dB", "seconds", "s/s"]
    assert lines[5].split()[:3] == ["heun", "3", "5"]
    assert all(len(row) <= 80 for row in lines[:6])
    assert "4 of 4 cells in" in lines[-1]
    assert "note: distances are of 2 sounds" in typed.stderr


def test_json_is_the_record(site: Site, typed: Result, model: Path, tmp_path: Path) -> None:
    again = site.invoke(
        *("compare", "-m", str(model), "--over", "solver=euler,heun", "--over", "steps=2,3"),
        *("--count", "2", "--converged", "16", "--device", "cpu", "--out", str(tmp_path / "grid")),
        "--json",
    )
    told = json.loads(again.stdout)
    assert told == json.loads((tmp_path / "grid" / "comparison.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--over", "steps=2", "--over", "steps=3"), "the axis 'steps' is given twice"),
        (("--over", "stebs=2"), "there is no axis 'stebs'; did you mean 'steps'?"),
        (("--over", "steps=2", "--converged", "3"), "a converged run takes 4 steps or more"),
        (("--over", "steps=2", "--metrics", "frechett"), "there is no metric 'frechett'; did you"),
    ],
)
def test_a_line_that_cannot_be_is_one_sentence(
    site: Site, model: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    out = tmp_path / "grid"
    done = site.invoke("compare", "-m", str(model), "--out", str(out), *more)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"kernel: {sentence}") and done.stderr.count("\n") == 1
    assert not out.exists()


def test_help_imports_no_torch(site: Site) -> None:
    assert "torch" not in site.modules_after("compare", "--help")
