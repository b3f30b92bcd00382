"""What importers are given: values found by their way, through whatever a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_audio_import import ForeignObject

from kernel import ForeignFile, Importer, InputError

CONTENT = {
    "hyper_parameters": ForeignObject("lab.Attributes", (), items={"theta": 1.5, "sizes": [3, 4]}),
    "config": ForeignObject("lab.Config", (), state={"width": 8, "inner": ({"deep": None},)}),
    "slots": ForeignObject("lab.Slots", (), state=(None, {"rate": 16000})),
    "members": ForeignObject("lab.List", (), members=["a", "b"]),
    3: "three",
}


def file(content: Any = CONTENT) -> ForeignFile:
    return ForeignFile(Path("last.ckpt"), {}, content)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("hyper_parameters", "theta"), 1.5),
        (("hyper_parameters", "sizes", 1), 4),
        (("config", "width"), 8),
        (("config", "inner", 0, "deep"), None),
        (("slots", "rate"), 16000),
        (("members", 1), "b"),
        ((3,), "three"),
    ],
)
def test_a_value_is_found_by_its_way(way: tuple[Any, ...], value: Any) -> None:
    assert file().at(*way) == value
    assert file().at(*way, default="none") == value


@pytest.mark.parametrize(
    "way", [("theta",), ("config", "width", "more"), ("config", "inner", 1), ("members", "b")]
)
def test_a_way_that_leads_nowhere_is_told(way: tuple[Any, ...]) -> None:
    assert file().at(*way, default=7) == 7
    with pytest.raises(InputError) as raised:
        file().at(*way)
    assert str(raised.value) == (
        f"last.ckpt has nothing at {'.'.join(map(str, way))}; it may have been written by another "
        "version of its project"
    )


@pytest.mark.parametrize("content", [None, 7, "text", [], ForeignObject("lab.Network")])
def test_a_file_of_anything_has_nothing_there(content: Any) -> None:
    assert file(content).at("config", "width", default=None) is None


def test_the_weights_are_what_is_renamed() -> None:
    class Held:
        dtype, shape = "float32", (2,)

        def load(self) -> Any:
            return "loaded"

    class Mine(Importer):
        """Take all."""

        def rename(self, file: ForeignFile) -> Any:
            return {name.upper(): each for name, each in file.tensors.items()}

    given = ForeignFile(Path("x"), {"w": Held()})
    assert Mine().weights(given) == {"W": "loaded"}
