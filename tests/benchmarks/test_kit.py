"""The planted faults of `benchmarks/kit` fit the code, and the page has what was measured."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "kit" / "plant.py"


@pytest.fixture(scope="module")
def plant() -> Any:
    spec = importlib.util.spec_from_file_location("plant", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["plant"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["plant"]


def test_every_fault_has_its_place_and_a_sentence_of_its_own(plant: Any) -> None:
    listed = [fault for kind in plant.kinds() for fault in plant.faults(kind)]
    for fault in listed:
        source = (ROOT / "plugins" / fault.file).read_text("utf-8")
        compile(fault.planted(source), fault.file, "exec")
    assert max(Counter(fault.sentence for fault in listed).values()) == 1
    assert all(
        kind == fault.component.split(".")[0]
        for kind in plant.kinds()
        for fault in plant.faults(kind)
    )


def test_the_page_has_the_table_that_was_measured(plant: Any) -> None:
    page = plant.PAGE.read_text("utf-8")
    assert plant.table(page) == page


def test_a_place_that_is_gone_is_told(plant: Any) -> None:
    fault = plant.faults("schedule")[0]
    with pytest.raises(ValueError, match="stands there 0 times; correct the fault"):
        fault.planted("")


@pytest.mark.slow
def test_a_fault_is_planted_in_a_copy(plant: Any) -> None:
    fault = plant.Fault(
        "schedule.linear",
        "the grid rises",
        "kernel_plugins/schedules/linear.py",
        "return self.sigma_max + part * (self.sigma_min - self.sigma_max)",
        "return self.sigma_min + part * (self.sigma_max - self.sigma_min)",
    )
    assert "descending" in plant.caught(fault)
