from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel.errors import UsageError
from kernel_audio_compare import Comparison
from kernel_audio_compare.axes import parse_axis


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps=8,16", (8, 16)),
        ("solver=euler, unipc@kernel-audio-plugins", ("euler", "unipc@kernel-audio-plugins")),
        ("guidance.guidance_scale=1,2.5", (1, 2.5)),
        ("task.spans=[[0.1, 0.2]],[[0.1, 0.3]]", ([[0.1, 0.2]], [[0.1, 0.3]])),
        ("solver.lower=true,none", (True, "none")),
    ],
)
def test_values_are_read_as_toml_and_else_as_words(text: str, values: tuple[Any, ...]) -> None:
    assert parse_axis(text) == (text.partition("=")[0], values)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps", "is not of the form AXIS=A,B,C"),
        ("=8", "is not of the form AXIS=A,B,C"),
        ("stebs=8,16", "there is no axis 'stebs'; did you mean 'steps'?"),
        ("sover=euler", "there is no axis 'sover'; did you mean 'solver' or 'encoder'?"),
        ("qqq.x=1", "there is no axis 'qqq.x'; it may be steps, a kind such as solver"),
        ("solver=euler,hoin", "there is no solver 'hoin'; did you mean 'heun'?"),
        ("solver=euler,euler", "axis 'solver' has the value 'euler' twice; leave one out"),
        ("solver=euler,", "axis 'solver' has an empty value"),
        ("steps=8,many", "setting 'steps' cannot be 'many'"),
        ("steps=8,0", "setting 'steps' cannot be 0"),
        ("precision=float32,float8", "setting 'precision' cannot be 'float8'"),
        ("plugins=edm,rf", "'plugins' cannot be an axis: name a kind, such as solver=euler,heun"),
        ("count=1,2", "'count' cannot be an axis: the cells of a grid have the same items"),
        ("metric=frechet", "'metric' cannot be an axis: every cell has the same scores"),
        ("solver.ordre=1,2", "option of solver.euler 'ordre' does not exist"),
        ("model=digits-edm,digits-emd", "there is no model 'digits-emd'; did you mean"),
    ],
)
def test_an_axis_that_cannot_be_is_told_before_anything_is_made(
    grid: Callable[..., Comparison], tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(UsageError) as error:
        grid(dict([parse_axis(text)]), ("euler",))
    assert sentence in str(error.value)
    assert not (tmp_path / "grid").exists()


def test_a_comparison_needs_an_axis(grid: Callable[..., Comparison]) -> None:
    with pytest.raises(UsageError, match="a comparison needs an axis; add one"):
        grid({})


def test_a_grid_of_which_nothing_fits_is_refused(grid: Callable[..., Comparison]) -> None:
    with pytest.raises(UsageError, match="no cell of the grid fits together: .*dps needs"):
        grid({"guidance": ["dps"], "steps": [2, 3]})
