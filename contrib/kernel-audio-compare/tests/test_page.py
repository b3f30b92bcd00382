"""The page in a real browser, told what to do by a script that is put into a copy of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from kernel_audio_compare import Comparison
from kernel_audio_compare.page import page
from kernel_audio_compare.plot import plots

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
browsing = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome on the path"),
]


def cell(number: int, solver: str, steps: int, distance: float | None) -> dict[str, Any]:
    """Return a cell of a record, failed where it has no distance."""
    told = {
        "number": number,
        "name": f"{number}-{solver}-{steps}",
        "folder": f"cells/{number}-{solver}-{steps}",
        "values": {"solver": solver, "steps": steps},
        "group": 1,
        "status": "failed" if distance is None else "done",
        "sentence": "step 1 left </script> the finite numbers" if distance is None else None,
        "distance": distance and {"value": distance, "low": distance / 2, "high": 9, "count": 2},
        "pareto": distance and number < 3,
        "scores": [],
    }
    if distance is None:
        return told
    items = [{"name": f"0{i}", "file": f"0{i}.wav", "label": f"<{i}>"} for i in range(2)]
    figures = {"nfe": steps, "seconds": 1.5, "real_time_factor": 0.5, "count": 2, "device": "cpu"}
    return told | figures | {"items": items}


@pytest.fixture
def record() -> dict[str, Any]:
    cells = [cell(1, "euler", 8, 3.0), cell(2, "euler", 16, 1.0)]
    cells += [cell(3, "heun", 8, 4.0), cell(4, "heun", 16, None)]
    aim = {"folder": "converged/1-unipc", "files": ["00.wav"], "steps": 128, "within": 0.4}
    return {
        "name": "solvers",
        "axes": [
            {"name": "solver", "values": ["euler", "heun"]},
            {"name": "steps", "values": [8, 16]},
        ],
        "settings": {"seed": 0, "plugins": ["edm"], "model": None},
        "cells": cells,
        "groups": [{"number": 1, "values": {}, "converged": aim, "note": ""}],
        "warnings": ["few <sounds>"],
    }


def test_the_page_holds_every_figure_and_no_markup_of_others(record: dict[str, Any]) -> None:
    text = page(record)
    assert text.count("<tr>") >= 5 and "1 (0.5 to 9)" in text
    assert "few &lt;sounds&gt;" in text and "4-heun-16 failed: step 1 left &lt;/script&gt;" in text
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data)["items"] == ["00: <0>", "01: <1>"]
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_a_plot_has_a_point_for_each_cell_with_a_distance(record: dict[str, Any]) -> None:
    (plot,) = plots(record)
    assert [point["number"] for point in plot["points"]] == [1, 2, 3]
    assert [point["colour"] for point in plot["points"]] == [0, 0, 1]
    left, top, right, bottom = plot["box"]
    assert all(left < p["x"] < right and top < p["y"] < bottom for p in plot["points"])
    # More evaluations are further right, a smaller distance is further down.
    assert plot["points"][0]["x"] < plot["points"][1]["x"]
    assert plot["points"][0]["y"] < plot["points"][1]["y"]
    assert plot["line"].count(",") == 2
    assert plot["floor"] is None
    record["groups"][0]["converged"]["within"] = 2.0
    assert plot["points"][0]["y"] < plots(record)[0]["floor"] < plot["points"][1]["y"]


def test_a_grid_without_distances_has_no_plot(record: dict[str, Any]) -> None:
    for each in record["cells"]:
        each["distance"] = each["pareto"] = None
    assert plots(record) == []
    assert 'id="pareto"' not in page(record)


@pytest.fixture
def browse(
    grid: Callable[..., Comparison], tmp_path: Path
) -> Callable[[str], tuple[dict[str, Any], str]]:
    """Return a function from a script to what it told, and the page's own count of errors."""
    made = grid({"solver": ["euler", "heun"], "steps": [2, 3]}, converged=8)
    text = (made.folder / "index.html").read_text("utf-8")

    def run(story: str) -> tuple[dict[str, Any], str]:
        script = f"""<script>(async () => {{
          const told = {{}};
          const $ = (all) => [...document.querySelectorAll(all)];
          const wait = (ms) => new Promise((done) => setTimeout(done, ms));
          try {{ {story} }} catch (error) {{ told.error = String(error); }}
          document.body.dataset.told = JSON.stringify(told);
        }})();</script></body>"""
        (made.folder / "story.html").write_text(text.replace("</body>", script), "utf-8")
        done = subprocess.run(
            [
                *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-dev-shm-usage", "--disable-background-networking"),
                *("--disable-component-update", "--disable-audio-output", "--dump-dom"),
                "--autoplay-policy=no-user-gesture-required",
                *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"),
                (made.folder / "story.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        (told,) = re.findall(r'data-told="(.*?)"', done.stdout)
        (errors,) = re.findall(r'data-errors="(\d+)"', done.stdout)
        return json.loads(unescape(told)), errors

    return run


class TestBrowser:
    pytestmark = browsing

    def test_one_listens_row_against_column(self, browse: Callable[..., Any]) -> None:
        told, errors = browse("""
          told.rows = $("#matrix tbody tr").length;
          told.columns = $("#matrix tbody tr:first-child td").length;
          told.aim = $("#aim .hear").length;
          $("#matrix .hear")[0].click();
          await wait(500);
          told.first = $(".hear.current").map((each) => each.dataset.cell);
          const down = new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true });
          document.body.dispatchEvent(down);
          await wait(500);
          told.below = $(".hear.current").map((each) => each.dataset.cell);
          const root = document.documentElement.dataset;
          for (let turn = 0; turn < 60 && !(root.played > 1); turn += 1) await wait(200);
          told.played = root.played;
          const columns = $("#choices select")[2];
          columns.value = "0";
          columns.dispatchEvent(new Event("change"));
          told.swapped = $("#matrix tbody th").map((each) => each.textContent);
        """)
        assert (told["rows"], told["columns"], told["aim"]) == (2, 2, 1)
        assert (told["first"], told["below"]) == (["1-euler-2"], ["3-heun-2"])
        assert told["swapped"] == ["2", "3"]
        assert int(told["played"]) >= 2
        assert errors == "0"

    def test_the_figures_are_sorted_by_numbers(self, browse: Callable[..., Any]) -> None:
        told, errors = browse("""
          const nfe = $(".figures thead button")[2];
          const read = () => $(".figures tbody tr").map((row) => Number(row.cells[2].textContent));
          nfe.click();
          told.up = read();
          nfe.click();
          told.down = read();
        """)
        assert told == {"up": [2, 3, 3, 5], "down": [5, 3, 3, 2]}
        assert errors == "0"

    def test_blind_votes_are_counted_and_exported(self, browse: Callable[..., Any]) -> None:
        told, errors = browse("""
          const [a, b] = $("#pair button");
          const [better, same] = $("#answers button");
          const names = [];
          told.before = better.disabled;
          $("#differ")[0].value = "0";
          $("#differ")[0].dispatchEvent(new Event("change"));
          for (let vote = 0; vote < 5; vote += 1) {
            a.click();
            told.half = better.disabled;
            b.click();
            (vote < 4 ? better : same).click();
          }
          told.title = $("#votes")[0].textContent;
          told.leaks = /euler|heun/.test($(".blind")[0].textContent);
          const data = decodeURIComponent($("#export")[0].href.split(",").slice(1).join(","));
          told.exported = JSON.parse(data);
        """)
        exported = told.pop("exported")
        assert told.pop("title") == "Tally of 5 votes"
        assert told == {"before": True, "half": True, "leaks": False}
        assert [vote["better"] for vote in exported["votes"]] == ["a", "a", "a", "a", "none"]
        solvers = exported["tally"]["solver, all else equal"]
        assert sum(row["better"] for row in solvers) == sum(row["worse"] for row in solvers) == 4
        assert [row["same"] for row in solvers] == [1, 1]
        for row in solvers:
            # Wilson 1927: both ends solve (p - share)^2 = z^2 p (1 - p) / n.
            for end in (row["low"], row["high"]):
                spread = 1.959964**2 * end * (1 - end) / 4
                assert (end - row["share"]) ** 2 == pytest.approx(spread, abs=1e-9)
        assert errors == "0"
