"""Hold our samples to those of other libraries; docs/parity.md has the figures.

What compares with diffusers and k-diffusion needs benchmarks/requirements.txt and is skipped
without; the states of other repositories are on file.
"""

from __future__ import annotations

import json

import pytest
import table
import torch
from peers import stored
from peers.case import Case
from peers.cases import CASES

MODULES = {"diffusers": "diffusers", "k-diffusion": "k_diffusion.external"}


def name(value: object) -> str:
    if isinstance(value, Case):
        return f"{value.library}-{value.theirs}-{value.ours}-{value.grid}-{value.to_zero}"
    return str(value).removeprefix("torch.")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=name)
@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_the_samples_are_as_far_apart_as_promised(case, dtype):
    if not case.stored:
        pytest.importorskip(MODULES[case.library], exc_type=ImportError)
    assert case.holds(case.measure(dtype), dtype)


def test_what_differs_has_a_reason_and_nothing_else_has():
    assert [bool(case.reason) for case in CASES] == [case.differs is not None for case in CASES]


def test_every_stored_state_is_compared():
    compared = {(case.library, case.name) for case in CASES if case.stored}
    kept = {(library, key) for library in stored.names() for key in stored.read(library)["cases"]}
    assert compared == kept


@pytest.mark.parametrize("library", stored.names())
def test_stored_states_say_where_they_are_from_and_are_small(library):
    record = stored.read(library)
    assert "/" in record["repository"]
    assert len(record["commit"]) == 40
    assert len(json.dumps(record)) < 50_000


def test_the_page_has_these_cases():
    expected = table.page(lambda case, dtype: "", lambda library: library)
    for library in stored.names():
        expected = expected.replace(f"## {library}\n", f"## {table.titled(library)}\n")
    assert table.blank(table.PAGE.read_text()) == table.blank(expected)
