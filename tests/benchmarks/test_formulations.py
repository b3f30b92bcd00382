"""The benchmarks that judge solvers and formulations by digits measure what they say."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
import torch

from kernel import Solver
from kernel.config import RunConfig
from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel.runner.plan import plan_run
from kernel.runner.sampling import Sampler
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.rk45 import Rk45

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins" / "kernel_plugins"


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("benchmarks", "benchmarks/digits", "benchmarks/solvers"):
            patch.syspath_prepend(str(ROOT / folder))
        yield


@pytest.fixture(scope="module")
def voices():
    return importlib.import_module("voice")


@pytest.fixture(scope="module")
def voice(voices):
    return voices.Voice("digits-edm")


@pytest.fixture
def solvers():
    return importlib.import_module("solvers")


@pytest.fixture
def formulations():
    return importlib.import_module("formulations")


def rows(page, part):
    """Return the first cells of the rows of a part's tables, without headers and rules."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = text.split(f"<!-- {part} -->")[1].split(f"<!-- end of {part} -->")[0].splitlines()
    return [line.split("|")[1].strip() for line in found if line.startswith("| `")]


def test_a_jackknife_of_a_mean_is_its_standard_error():
    jackknife = importlib.import_module("measures").jackknife
    items = torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = float(items.std()) / math.sqrt(60)
    assert jackknife(lambda some: float(some.mean()), items, 60) == pytest.approx(wanted)


def test_a_jackknife_leaves_out_as_many_of_each_item_that_takes_turns():
    jackknife = importlib.import_module("measures").jackknife
    digits = torch.arange(200) % 10
    assert jackknife(lambda some: float((some == 3).double().mean()), digits) == 0


def test_a_voice_says_what_a_run_of_its_model_says(voice):
    config = RunConfig(model="digits-edm", plugins=("solver.euler",))
    plan = plan_run(config, Registry.scan())
    sampler = Sampler.of(plan.assembly, plan.model, Machine.choose(config))
    [(_, sound), *_] = sampler.sounds(plan.assembly.task.requests((), 2), 2, 5, 2)
    voice.speak(Heun(), voice.assembly.schedule, 1, 1, 0)
    spoken = voice.speak(Euler(), voice.assembly.schedule, 2, 2, 5)
    clip = importlib.import_module("classifier").clip
    assert torch.equal(spoken.clips[0], clip(sound.audio[0]))
    assert spoken.digits.tolist() == [0, 1]
    assert spoken.nfe == 2
    assert voice.key.startswith("edm ")


def test_a_cell_is_measured_once(voices, tmp_path):
    file = tmp_path / "made" / "cells.json"
    assert voices.Cells(file).get("a", lambda: {"hits": 1}) == {"hits": 1}
    again = voices.Cells(file)
    assert again.get("a", pytest.fail) == {"hits": 1}
    assert again.get("b", lambda: {"hits": 2}) == {"hits": 2}


def test_only_the_adaptive_solver_has_a_grid_of_its_own(solvers, voice):
    ((schedule, steps),) = solvers.plans(voice, Rk45())
    assert schedule.sigmas(steps) == [80.0, pytest.approx(0.002), 0.0]
    usual = voice.assembly.schedule
    assert solvers.plans(voice, Heun()) == [(usual, 4), (usual, 8), (usual, 16)]


def test_accuracies_are_written_into_the_page(solvers, monkeypatch, tmp_path):
    few: dict[str, Solver] = {"euler": Euler(), "rk45": Rk45(rtol=0.5, atol=0.5)}
    page = tmp_path / "page.md"
    page.write_text("<!-- accuracy -->\n\n<!-- end of accuracy -->\n", "utf-8")
    for name, value in (("PAGE", page), ("COUNT", 10), ("BUDGETS", (1, 2))):
        monkeypatch.setattr(solvers, name, value)
    monkeypatch.setattr(importlib.import_module("cases"), "solvers", lambda: few)
    words = ["solvers.py", "--models", "digits-edm", "--cells", str(tmp_path / "cells.json")]
    monkeypatch.setattr("sys.argv", words)
    solvers.main()
    text = page.read_text("utf-8")
    assert "| solver | NFE spent | `digits-edm`, 1 NFE | `digits-edm`, 2 NFE |" in text
    assert "| `euler` | 1 / 2 |" in text
    assert "| `rk45` |" in text
    assert "10 digits a cell" in text


def test_the_page_of_solvers_has_every_solver(solvers):
    files = (PLUGINS / "solvers").glob("[!_]*.py")
    found = rows("digits-solvers.md", "accuracy")
    assert {row.strip("`").split()[0] for row in found} == {
        path.stem.replace("_", "-") for path in files
    }
    assert sorted(found) == sorted(f"`{label}`" for label in solvers.solvers())


def test_a_cell_of_a_formulation_is_judged(formulations, voice):
    generator = torch.Generator().manual_seed(0)
    ear = importlib.import_module("classifier").load()
    known = torch.randn(100, 64, generator=generator, dtype=torch.float64)
    judge = formulations.Judge(ear, known, torch.arange(100) % 10)
    figures = judge.measure(voice, Euler(), 4, 20)
    assert figures["nfe"] == 4
    assert 10 <= figures["hits"] <= 20
    assert 5 < figures["score"] <= 10
    assert 0 < figures["error"] < figures["distance"]
    # Twenty of a hundred like them are far nearer than what is not like them at all.
    assert judge.yardstick(20) < figures["distance"] / 2


def test_the_table_and_the_picture_show_the_nearest(formulations, tmp_path):
    found = [
        formulations.Cell(formulation, solver, budget, budget, 190, 100 / budget + off, 1.0, 9.5)
        for formulation, off in (("vp", 0.0), ("rf", 3.0))
        for solver in formulations.SOLVERS
        for budget in formulations.BUDGETS
    ]
    text = formulations.part(found, 6.4)
    assert "| `vp`, `heun` | 25 ± 1 | 12 ± 1 | 6 ± 1 | 3 ± 1 |" in text
    assert "| `rf` | `euler` | 32 | 6.1 ± 1.0 | 9.50 | 95.0% (91% to 97%) |" in text
    formulations.draw(found, 6.4, tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_of_formulations_has_all_five_with_all_four_solvers(formulations):
    found = rows("formulations.md", "distances")
    pairs = [
        f"`{one}`, `{other}`" for one in formulations.FORMULATIONS for other in formulations.SOLVERS
    ]
    assert found == [*pairs, *(f"`{one}`" for one in formulations.FORMULATIONS)]


def test_the_overhead_of_every_multistep_solver_is_measured(solvers):
    cases = importlib.import_module("cases")
    overhead = importlib.import_module("overhead")
    multistep = {
        label
        for label, solver in cases.solvers().items()
        if " " not in label and solver.order > 1 and not solver.stochastic
        if solver.nfe(9) == 9 and not solvers.adaptive(solver)
    }
    assert {name.split(",")[0] for name in overhead.MULTISTEP} == multistep
