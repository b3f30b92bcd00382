"""The checks of importers catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernel import ForeignFile, Importer


class Sound(Importer):
    """Know a file by one value of it."""

    def detect(self, file: ForeignFile) -> bool:
        return bool(file.at("project", default=None) == "sound")


class Greedy(Importer):
    """Know every file."""

    def detect(self, file: ForeignFile) -> bool:
        return True


class Loading(Importer):
    """Load a tensor to know a file."""

    def detect(self, file: ForeignFile) -> bool:
        return any(tensor.load().sum() == 3 for tensor in file.tensors.values())


class Trusting(Importer):
    """Take for granted what a file holds."""

    def detect(self, file: ForeignFile) -> bool:
        return "theta" in file.content["hyper_parameters"]


def test_what_is_sound_passes(broken: Callable[..., set[str]]) -> None:
    assert broken(Sound) == set()


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (Greedy, "detect() returns True for a file of nobody's"),
        (Loading, "detect() loads a tensor; names, shapes and values have to be enough"),
        (
            Trusting,
            "detect() raises TypeError ('NoneType' object is not subscriptable) for a file that "
            "holds None; return False",
        ),
    ],
)
def test_what_is_broken_is_caught(
    component: type[Importer], message: str, catch: Callable[..., str]
) -> None:
    assert catch(component, "strangers") == message
