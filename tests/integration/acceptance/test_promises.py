"""The examples of the guide keep the promises of their kinds; test_recipes.py checks two more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("folder", "spelling"),
    [
        ("paired", "task.lab"),
        ("prompted", "task.lab"),
        ("incontext", "task.lab"),
        ("private", "solver.lab"),
        ("elbo", "recipe.lab"),
    ],
)
def test_an_example_keeps_every_promise(
    install: Callable[..., Any], folder: str, spelling: str
) -> None:
    kernel = install(folder, spelling)
    done = kernel("check", spelling)
    assert done.exit_code == 0, done.output
