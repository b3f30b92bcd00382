"""docs/python.ipynb runs as it stands, in a notebook kernel."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "python.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_its_sounds_play(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    results = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for outputs in results for output in outputs if "data" in output]
    played = [each for each in shown if "audio/wav;base64" in each["data"].get("text/html", "")]
    assert len(played) == 2
    assert (tmp_path / "seven.wav").stat().st_size > 1000
    errors = ast.literal_eval(_text(shown, "'euler'"))
    assert errors["unipc"] < errors["euler"]


def _text(shown: list[Any], word: str) -> str:
    (found,) = (
        each["data"]["text/plain"] for each in shown if word in each["data"].get("text/plain", "")
    )
    return str(found)
