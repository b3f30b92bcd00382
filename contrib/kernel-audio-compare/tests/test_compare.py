from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kernel
from kernel.errors import InputError, KernelError, OutputError, UsageError
from kernel_audio_compare import Comparison

if TYPE_CHECKING:
    from conftest import Site

Make = Callable[..., Comparison]

WATCHED = '''
    """Solvers that fail, and one that says when it is called."""

    from __future__ import annotations

    import os
    import signal
    import time
    from pathlib import Path

    from pydantic import Field

    from kernel import Solver, Step, hookimpl


    class Euler(Solver):
        """Follow the slope."""

        @property
        def order(self):
            return 1

        def steps(self, denoise, x, sigmas, noise):
            for index, (sigma, following) in enumerate(zip(sigmas, sigmas[1:])):
                x0 = denoise(x, sigma)
                x = x0 if following == 0 else x + (x - x0) / sigma * (following - sigma)
                x = yield Step(index, following, x, x0)


    class Nan(Euler):
        """Leave the finite numbers."""

        def steps(self, denoise, x, sigmas, noise):
            def lost(x, sigma):
                return denoise(x, sigma) * float("nan")

            yield from super().steps(lost, x, sigmas, noise)


    class Broken(Euler):
        """Raise an error that is no sentence."""

        def steps(self, denoise, x, sigmas, noise):
            raise LookupError("there is no such thing")


    class Watched(Euler):
        """Write each call into a log; die or wait for another process where that is asked for."""

        log: Path = Field(description="file")
        then: str = Field("", description="die, or meet")

        def steps(self, denoise, x, sigmas, noise):
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {len(sigmas) - 1}\\n")
            lines = self.log.read_text().split("\\n")
            if self.then == "die" and len(lines) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            until = time.monotonic() + 60
            while self.then == "meet" and time.monotonic() < until:
                if len({line.split()[0] for line in self.log.read_text().splitlines()}) == 2:
                    break
                time.sleep(0.02)
            yield from super().steps(denoise, x, sigmas, noise)


    @hookimpl
    def solver(name):
        return {"nan": Nan, "broken": Broken, "watched": Watched}[name]
'''


@pytest.fixture
def watched(site: Site) -> Site:
    names = ("nan", "broken", "watched")
    entries = {f"solver.{name}": "watched_solvers" for name in names}
    site.install("kernel-audio-watched", entries, {"watched_solvers.py": WATCHED})
    return site


def test_every_combination_is_an_ordinary_run(grid: Make, model: Path) -> None:
    made = grid({"solver": ["euler", "heun"], "guidance.guidance_scale": [1, 3]}, steps=2)
    cells = made.record["cells"]
    assert [cell["name"] for cell in cells] == ["1-euler-1", "2-euler-3", "3-heun-1", "4-heun-3"]
    assert [cell["nfe"] for cell in cells] == [2, 2, 3, 3]
    assert cells[3]["values"] == {"solver": "heun", "guidance.guidance_scale": 3}
    folder = made.folder / cells[3]["folder"]
    alone = kernel.run(
        ["heun"],
        options={"guidance.guidance_scale": 3},
        model=str(model),
        steps=2,
        count=2,
        device="cpu",
        out=made.folder.parent,
    )
    for item in alone.record["items"]:
        assert (folder / item["file"]).read_bytes() == (alone.folder / item["file"]).read_bytes()
    again = kernel.run(source=folder, out=made.folder.parent, locked=True)
    assert again.record["sampling"]["nfe"] == 3


def test_models_settings_and_qualified_names_are_axes(grid: Make) -> None:
    over = {"precision": ["float32", "float64"], "solver": ["euler@kernel-audio-plugins"]}
    made = grid(over, steps=2)
    assert [cell["status"] for cell in made.record["cells"]] == ["done", "done"]
    runs = [
        json.loads((made.folder / c["folder"] / "run.json").read_text())
        for c in made.record["cells"]
    ]
    assert [run["device"]["precision"] for run in runs] == ["float32", "float64"]


def test_the_weights_of_a_grid_are_loaded_once(grid: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from kernel.models import ModelPack

    loads: list[Path] = []
    load = ModelPack.load
    monkeypatch.setattr(
        ModelPack, "load", lambda pack, network: (loads.append(pack.folder), load(pack, network))[1]
    )
    grid({"steps": [2, 3, 4]})
    assert len(loads) == 1


def test_a_second_start_goes_on_and_another_grid_is_refused(grid: Make) -> None:
    first = grid({"steps": [2, 3]})
    kept = first.folder / "cells" / "1-2" / "run.json"
    before = kept.stat().st_mtime_ns
    (first.folder / "cells" / "2-3" / "run.json").unlink()
    for path in (first.folder / "cells" / "2-3").iterdir():
        path.unlink()
    (first.folder / "cells" / "2-3").rmdir()
    again = grid({"steps": [2, 3]})
    assert kept.stat().st_mtime_ns == before
    assert [cell["status"] for cell in again.record["cells"]] == ["done", "done"]
    with pytest.raises(OutputError, match="its axes are steps=2,3, not steps=2,4; choose another"):
        grid({"steps": [2, 4]})
    with pytest.raises(OutputError, match="another grid: its seed is 0, not 7"):
        grid({"steps": [2, 3]}, seed=7)


def test_a_folder_that_holds_something_else_is_refused(grid: Make, tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "letters.txt").write_text("")
    with pytest.raises(OutputError, match=r"grid holds letters\.txt and no grid; choose another"):
        grid({"steps": [2]})


@pytest.mark.parametrize(
    ("solver", "sentence"),
    [
        ("nan", "step 1 of 2 (to sigma 0.002) left the finite numbers"),
        ("broken", "this is a bug in kernel-audio or in a plugin: LookupError('there is no such"),
    ],
)
def test_a_cell_that_fails_is_marked_and_the_grid_goes_on(
    watched: Site, grid: Make, solver: str, sentence: str
) -> None:
    made = grid({"solver": [solver, "euler"]}, steps=2, converged=4)
    failed, done = made.record["cells"]
    assert (failed["status"], done["status"]) == ("failed", "done")
    assert sentence in failed["sentence"]
    assert made.told.endswith("; 1 failed (--retry makes them again)")
    assert sorted(each.name for each in (made.folder / "cells").iterdir()) == [
        f"1-{solver}.failed.json",
        "2-euler",
    ]
    marked = made.folder / "cells" / f"1-{solver}.failed.json"
    before = marked.stat().st_mtime_ns
    grid({"solver": [solver, "euler"]}, steps=2, converged=4)
    assert marked.stat().st_mtime_ns == before
    grid({"solver": [solver, "euler"]}, steps=2, converged=4, retry=True)
    assert marked.stat().st_mtime_ns > before


def test_a_grid_of_which_every_cell_fails_is_an_error(watched: Site, grid: Make) -> None:
    with pytest.raises(KernelError, match="every cell of .*grid failed: step 1 of 2 .* left the"):
        grid({"solver": ["nan"]}, steps=2)


def test_a_cell_whose_parts_do_not_fit_is_marked(grid: Make) -> None:
    made = grid({"guidance": ["cfg", "dps"]}, steps=2)
    done, failed = made.record["cells"]
    assert (done["status"], failed["status"]) == ("done", "failed")
    assert "guidance.dps needs 'measurement'" in failed["sentence"]


def line(model: Path, out: Path, *more: str) -> list[str]:
    script = str(Path(sys.executable).with_name("kernel"))
    made = [script, "compare", "--model", str(model), "--count", "2", "--out", str(out)]
    return [*made, "--device", "cpu", "--converged", "0", "--plugins", "watched", *more]


@pytest.mark.slow
def test_a_killed_process_loses_its_cell_alone(watched: Site, model: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "grid"
    typed = line(model, out, "--over", "steps=2,3,4", "-o", f"solver.log={log}")
    typed += ["-o", "solver.then=die"]
    environment = {**os.environ, "PYTHONPATH": str(watched.folder), "COLUMNS": "80"}
    done = subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = out / "cells" / "1-2" / "run.json"
    before = kept.stat().st_mtime_ns
    assert len([each for each in (out / "cells").iterdir() if each.name.startswith(".")]) == 1
    done = subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=120)
    assert "3 of 3 cells in" in done.stdout, done.stderr
    assert kept.stat().st_mtime_ns == before
    assert sorted(each.name for each in (out / "cells").iterdir()) == ["1-2", "2-3", "3-4"]
    assert [row.split()[1] for row in log.read_text().splitlines()] == ["2", "3", "3", "4"]


@pytest.mark.slow
def test_two_processes_share_one_grid(watched: Site, model: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "grid"
    typed = line(model, out, "--over", "steps=2,3,4,5", "-o", f"solver.log={log}")
    typed += ["-o", "solver.then=meet", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(watched.folder)}
    both = [
        subprocess.Popen(
            typed, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [each.communicate(timeout=240) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    rows = [row.split() for row in log.read_text().splitlines()]
    assert sorted(steps for _, steps in rows) == ["2", "3", "4", "5"]
    assert len({pid for pid, _ in rows}) == 2
    record = json.loads((out / "comparison.json").read_text("utf-8"))
    assert [cell["status"] for cell in record["cells"]] == ["done"] * 4


def test_distances_to_the_converged_run_fall_with_the_steps(grid: Make) -> None:
    over = {"guidance.guidance_scale": [1, 3], "solver": ["heun", "ddpm"], "steps": [2, 4, 16]}
    made = grid(over, converged=64)
    cells = made.record["cells"]
    for group in (1, 2):
        heun = [c for c in cells if c["group"] == group and c["values"]["solver"] == "heun"]
        values = [cell["distance"]["value"] for cell in heun]
        assert values == sorted(values, reverse=True) and len(values) == 3
        assert all(cell["pareto"] for cell in heun)
    assert all(c["distance"] is None for c in cells if c["values"]["solver"] == "ddpm")
    first, second = made.record["groups"]
    assert first["values"] == {"guidance.guidance_scale": 1}
    assert (first["converged"]["steps"], first["converged"]["nfe"]) == (64, 64)
    assert 0 <= first["converged"]["within"] < cells[0]["distance"]["value"]
    assert second["note"] == ""
    assert made.notes[0].startswith("distances are of 2 sounds") and "--count" in made.notes[0]
    wider = grid(over, converged=64, converged_count=1)
    assert "distances are of 1 sounds" in wider.notes[0] and "--converged-count" in wider.notes[0]


def test_stochastic_solvers_have_a_note_and_no_converged_run(grid: Make) -> None:
    made = grid({"solver": ["ddpm"], "steps": [2, 3]}, converged=16)
    assert made.record["groups"][0]["converged"] is None
    assert "its solvers draw noise, so that no sound is converged" in made.notes
    assert not (made.folder / "converged").exists()
    with pytest.raises(UsageError, match="solver 'ddpm' draws noise and converges to no sound"):
        grid({"solver": ["euler"]}, converged=16, converged_solver="ddpm")


def test_the_options_of_a_solver_do_not_reach_the_converged_run(grid: Make) -> None:
    over = {"solver.predictor_order": [1, 2]}
    made = grid(over, ("unipc",), options={"solver.variant": "bh1"}, steps=3, converged=16)
    assert [cell["group"] for cell in made.record["cells"]] == [1, 1]
    assert made.record["groups"][0]["converged"]["nfe"] == 16


def test_cells_are_scored_with_metrics_and_intervals(grid: Make, tones: Path) -> None:
    over, count = {"steps": [2, 3]}, 6
    first = grid(over, count=count)
    before = [p.stat().st_mtime_ns for p in sorted(first.folder.glob("cells/*/run.json"))]
    made = grid(over, count=count, metrics=["frechet"], reference=tones)
    after = [p.stat().st_mtime_ns for p in sorted(made.folder.glob("cells/*/run.json"))]
    assert before == after
    (score,) = made.record["cells"][0]["scores"]
    expected = kernel.evaluate(made.folder / "cells" / "1-2", ["frechet"], reference=tones)
    assert score["value"] == expected["scores"][0]["value"]
    assert (score["scope"], score["low"]) == ("set", None)


def test_metrics_that_cannot_be_are_told_before_anything_is_made(
    grid: Make, tones: Path, tmp_path: Path
) -> None:
    over = {"steps": [2, 3]}
    with pytest.raises(UsageError, match="a reference is for the metrics of --metrics"):
        grid(over, reference=tones)
    with pytest.raises(UsageError, match=r"metric.frechet needs 'references'"):
        grid(over, metrics=["frechet"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no sound in .*empty; name a folder of refer"):
        grid(over, metrics=["frechet"], reference=tmp_path / "empty")
    with pytest.raises(UsageError, match="option of metric.frechet 'infinite' does not exist"):
        settings = {"metrics": ["frechet"], "reference": tones}
        grid(over, options={"metric.infinite": True}, **settings)
    assert not (tmp_path / "grid").exists()


def test_sounds_too_few_for_a_metric_are_said(grid: Make, tones: Path) -> None:
    made = grid({"steps": [2, 3]}, count=1, metrics=["frechet"], reference=tones)
    assert made.record["cells"][0]["scores"][0]["value"] is None
    assert any(
        "every cell: frechet of the set: 1 sounds are too few" in each for each in made.notes
    )


def test_notes_of_the_plans_are_told_once(grid: Make) -> None:
    made = grid({"solver": ["heun"], "steps": [1, 3]}, ("euler",))
    said = [note for note in made.notes if "too few for the order" in note]
    assert len(said) == 1 and said[0].startswith("1-heun-1: 1 step is too few for")
    assert not any("replaces" in note for note in made.notes)


def test_item_scores_have_bootstrap_intervals(site: Site, grid: Make) -> None:
    source = '''
        """How loud a sound is."""

        import torch
        from kernel import Metric, hookimpl


        class Module(torch.nn.Module):
            def update(self, audio):
                self.level = audio.square().mean().sqrt()

            def compute(self):
                return self.level

            def reset(self):
                pass


        class Level(Metric):
            """How loud."""

            def build(self, audio):
                return Module()


        @hookimpl
        def metric():
            return Level
    '''
    site.install("kernel-audio-loud", {"metric.loud": "loud_metric"}, {"loud_metric.py": source})
    made = grid({"steps": [2, 3]}, ("loud",), count=6)
    for cell in made.record["cells"]:
        (score,) = cell["scores"]
        assert score["low"] < score["value"] < score["high"]
    assert any(note.startswith("scores are of 6 sounds: intervals of") for note in made.notes)
    with (made.folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["loud.low"]) == made.record["cells"][1]["scores"][0]["low"]
    assert rows[1]["steps"] == "3"


def test_a_device_that_is_not_there_is_told_before_anything_is_made(
    grid: Make, tmp_path: Path
) -> None:
    with pytest.raises(KernelError, match="device 'cuda:9' is not there"):
        grid({"steps": [2]}, device="cuda:9")
    assert not (tmp_path / "grid").exists()


def test_records_keep_no_numbers_that_json_cannot_hold(grid: Make) -> None:
    made = grid({"steps": [2]}, converged=16)
    told: dict[str, Any] = json.loads((made.folder / "comparison.json").read_text("utf-8"))
    assert told == made.record


def test_cells_have_no_page_of_their_own(tmp_path: Path) -> None:
    from kernel_audio_compare import compare

    given = {"model": "digits-edm", "count": 1, "steps": 2, "device": "cpu", "converged": 0}
    made = compare({"solver": ["euler"]}, tmp_path / "grid", **given)
    (cell,) = made.record["cells"]
    assert not list((made.folder / cell["folder"]).glob("*.html"))
    record = json.loads((made.folder / cell["folder"] / "run.json").read_text("utf-8"))
    assert record["config"]["without"] == ["observer.page"]
