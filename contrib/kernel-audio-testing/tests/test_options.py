"""Which other values of options are tried, and when an option counts as doing something."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from kernel import Observer
from kernel_audio_testing import Subject, Violation
from kernel_audio_testing._options import choices, every_option_acts, variations


class Many(Observer):
    """Have an option of every type."""

    flag: bool = Field(False, description="a boolean")
    word: Literal["a", "b", "c"] = Field("b", description="a choice")
    whole: int = Field(2, ge=1, le=3, description="a whole number")
    share: float = Field(0.5, gt=0, le=1, description="a number")
    limit: float | None = Field(None, gt=0, description="a number or none")
    name: str | None = Field(None, description="a text")
    grid: tuple[tuple[float, ...], ...] = Field((), description="numbers that fall")
    weights: dict[Literal["x", "y"], float] = Field({}, description="a weight of each")
    secret: float = Field(3.0, description="takes no other value")

    @model_validator(mode="after")
    def _refuse(self) -> Many:
        if self.secret != 3 or any(list(each) != sorted(each)[::-1] for each in self.grid):
            raise ValueError("refused")
        return self


def test_other_values_are_of_the_type_and_within_the_bounds(subject: Any) -> None:
    assert variations(subject(Many)) == {
        "flag": (True,),
        "word": ("a", "c"),
        "whole": (3, 1),
        "share": (0.25, 0.75, 0.3, 1.0),
        "limit": (0.5, 1.5, 0.3, 1.0, 3.0, 20.0),
        "name": ("kick", "weak", "ears"),
        "grid": (((3.0, 1.0, 0.3),),),
        "weights": ({"x": 1.5}, {"y": 1.5}),
        "secret": (),
    }
    near = variations(subject(Many, whole=3), near=True)
    assert near["share"] == (0.25, 0.75) and "whole" not in near
    assert variations(subject(Many, whole=3), given=True)["whole"] == (2, 1)


def test_choices_are_complete(subject: Any) -> None:
    assert [dict(each.options) for each in choices(subject(Many))] == [
        {"flag": True},
        {"word": "a"},
        {"word": "c"},
    ]
    whole = [dict(each.options) for each in choices(subject(Many, flag=True), whole=True)]
    assert {"flag": True, "whole": 3} in whole


class Two(Observer):
    """Have an option that acts beside another alone, and one that may act."""

    on: bool = Field(False, description="whether `size` counts")
    size: float = Field(1.0, ge=0, description="how much")


def test_an_option_may_need_another(subject: Any) -> None:
    tested: Subject = subject(Two)
    assert every_option_acts(tested, lambda two: [two.size if two.on else 0.0]) == "2 options"
    with pytest.raises(Violation, match=r"the option size changes nothing: 0.5, 1.5, .* what 1.0"):
        every_option_acts(tested, lambda two: [float(two.on)])


def test_a_refusal_is_seen_and_rounding_is_not(subject: Any) -> None:
    def refuses(two: Two) -> list[float]:
        if two.size > 2:
            raise ZeroDivisionError
        return [float(two.on)]

    assert every_option_acts(subject(Two), refuses) == "2 options"
    with pytest.raises(Violation, match="the option size changes nothing"):
        every_option_acts(subject(Two), lambda two: [1.0 + two.on + 1e-13 * two.size])
