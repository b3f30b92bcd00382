"""Encoders that options name: selected, configured, built once, frozen and held to their word."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kernel import Component, Encoder, Guidance
from kernel.assembly import Assembly, Part, assemble
from kernel.config import RunConfig
from kernel.errors import MisfitError, PluginError, UsageError
from kernel.registry import PluginInfo, Registry
from kernel.runner.device import Machine
from kernel.runner.encoders import encoders

MACHINE = Machine.choose(RunConfig(device="cpu"))
EARS = """
    from pathlib import Path

    import kernel

    class Ears(kernel.Encoder):
        "Hears."
        size: int = 3
        weights: Path | None = None

    @kernel.hookimpl
    def encoder(name):
        return Ears
"""
ASKS = """
    import kernel

    class Asks(kernel.Task):
        "Asks."
        listener: str | None = "ears"

        @property
        def encoders(self):
            return () if self.listener is None else (self.listener,)

    @kernel.hookimpl
    def task(name):
        return Asks
"""


@pytest.fixture
def lab(site: Any) -> Any:
    names = ("ears", "eyes")
    site.install("lab-b", {f"encoder.{name}": "lab_ears" for name in names}, {"lab_ears.py": EARS})
    site.install("lab-a", {"task.asks": "lab_asks"}, {"lab_asks.py": ASKS})
    return site


def assembled(lab: Any, *named: str, **options: Any) -> dict[str, Any]:
    """Return the options of every encoder of an assembly by its qualified name."""
    registry = Registry.scan(path=lab.path)
    given = {key.replace("_", "."): each for key, each in options.items()}
    assembly, selection = assemble(registry, registry.select(named), ("encoder", "task"), given)
    parts = [part for part in assembly.parts if part.info.kind == "encoder"]
    assert [part.info for part in parts] == list(selection.of("encoder"))
    return {part.info.qualified: part.component.model_dump() for part in parts}


def test_a_name_inside_an_option_counts_as_named(lab: Any) -> None:
    given = {"size": 3, "weights": None}
    assert assembled(lab, "asks") == {"encoder.ears@lab-b": given}
    assert assembled(lab, "asks", task={"listener": "eyes@lab-b"}) == {"encoder.eyes@lab-b": given}
    assert assembled(lab, "asks", task={"listener": None}) == {}


@pytest.mark.parametrize("spelling", ["ears", "encoder.ears", "ears@lab-b", "encoder.ears@lab-b"])
@pytest.mark.parametrize("named", [(), ("ears",)])
def test_it_is_selected_once_and_takes_its_options(
    lab: Any, spelling: str, named: tuple[str, ...]
) -> None:
    found = assembled(lab, "asks", *named, task={"listener": spelling}, encoder_ears={"size": 7})
    assert found == {"encoder.ears@lab-b": {"size": 7, "weights": None}}
    found = assembled(lab, "asks", *named, task={"listener": spelling}, encoder={"size": 7})
    assert found == {"encoder.ears@lab-b": {"size": 7, "weights": None}}


def test_options_without_a_name_are_of_the_one_that_was_named(lab: Any) -> None:
    found = assembled(lab, "asks", "eyes", encoder={"size": 7})
    assert {name: each["size"] for name, each in found.items()} == {
        "encoder.eyes@lab-b": 7,
        "encoder.ears@lab-b": 3,
    }


def test_an_encoder_that_is_not_there_is_told_with_who_asks(lab: Any) -> None:
    with pytest.raises(UsageError) as raised:
        assembled(lab, "asks", task={"listener": "eers"})
    assert str(raised.value).startswith(
        "task.asks names an encoder, but there is no encoder 'eers'; did you mean '"
    )
    lab.install("lab-c", {"encoder.ears": "lab_ears"})
    with pytest.raises(UsageError, match=r"task.asks names an encoder, but more than one distrib"):
        assembled(lab, "asks")
    assert list(assembled(lab, "asks", "ears@lab-c")) == ["encoder.ears@lab-c"]


# What listens


class Network(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1)
        self.result = result

    def forward(self, *heard: Any) -> Any:
        return self.result(self.weight, *heard)


class Ears(Encoder):
    """Hear whatever the test says."""

    result: Any = None
    built: Any = None

    def build(self) -> nn.Module:
        torch.rand(1)
        network = Network(self.result or (lambda weight, audio, rate: weight * audio.mean(-1)))
        if self.built is not None:
            self.built.append(network)
        return network


class Deaf(Ears):
    """Hear without a gradient."""

    differentiable = False


class Reads(Ears):
    """Read texts."""

    listens = "text"


class Follows(Guidance):
    """Follow the gradient of what is heard."""

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("ears",)

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        return x


def parts(*components: Component) -> Assembly:
    return Assembly(
        tuple(
            Part(PluginInfo(each.kind, "ears", "lab-b", "1", "tests"), each) for each in components
        )
    )


def test_it_is_built_once_and_frozen() -> None:
    built: list[Any] = []
    state = torch.get_rng_state()
    encoder = encoders(parts(Ears.model_construct(result=None, built=built)), MACHINE)
    audio = torch.full((2, 1, 4), 3.0, requires_grad=True)
    for _ in range(3):
        heard = encoder("ears")(audio, 8000)
    assert heard.tolist() == [[3.0], [3.0]]
    assert torch.autograd.grad(heard.sum(), audio)[0].unique().tolist() == [0.25]
    (network,) = built
    assert torch.equal(state, torch.get_rng_state())
    assert not network.training and not network.weight.requires_grad


def test_one_without_a_gradient_gives_none() -> None:
    audio = torch.ones(2, 1, 4, requires_grad=True)
    assert not encoders(parts(Deaf()), MACHINE)("ears")(audio, 8000).requires_grad


def test_a_guidance_that_follows_one_without_a_gradient_does_not_fit() -> None:
    offered = frozenset({"gradient"})
    parts(Follows(), Ears()).check(offered)
    with pytest.raises(MisfitError) as raised:
        parts(Follows(), Deaf()).check(offered)
    assert str(raised.value) == (
        "guidance.ears follows the gradient of encoder.ears@lab-b, which has none; name another "
        "encoder"
    )


def test_texts_become_rows_and_a_mask() -> None:
    def read(weight: Any, texts: list[str]) -> Any:
        longest = max(map(len, texts))
        mask = torch.arange(longest) < torch.tensor([[len(text)] for text in texts])
        return mask[..., None] * weight, mask

    rows, mask = encoders(parts(Reads(result=read)), MACHINE)("ears")(("ab", "abc"))
    assert (rows.shape, mask.sum(1).tolist()) == ((2, 3, 1), [2, 3])


@pytest.mark.parametrize(
    ("encoder", "heard", "sentence"),
    [
        (
            Ears(),
            (["a"],),
            "encoder.ears@lab-b listens to audio where text is to be heard; name an",
        ),
        (Reads(), (torch.ones(1, 1, 4), 8000), "listens to text where audio is to be heard; name"),
    ],
)
def test_one_that_listens_to_something_else_is_told(
    encoder: Encoder, heard: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        encoders(parts(encoder), MACHINE)("ears")(*heard)


@pytest.mark.parametrize(
    ("encoder", "heard", "sentence"),
    [
        (
            Ears(result=lambda weight, audio, rate: audio),
            (torch.ones(2, 1, 4), 8000),
            r"encoder.ears@lab-b returns \(2, 1, 4\) for 2 items and has to return \[2, M\]; name",
        ),
        (
            Ears(result=lambda weight, audio, rate: audio[:1, 0]),
            (torch.ones(2, 1, 4), 8000),
            r"returns \(1, 4\) for 2 items",
        ),
        (
            Reads(result=lambda weight, texts: (torch.ones(2, 3, 1), torch.ones(3, 2))),
            (["a", "b"],),
            r"returns \(2, 3, 1\) and \(3, 2\) for 2 items and has to return \[2, L, W\] and \[2,",
        ),
    ],
)
def test_results_of_another_shape_are_told(
    encoder: Encoder, heard: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(PluginError, match=sentence):
        encoders(parts(encoder), MACHINE)("ears")(*heard)


def test_one_that_was_not_declared_is_told() -> None:
    with pytest.raises(PluginError) as raised:
        encoders(parts(Ears()), MACHINE)("nose")
    assert str(raised.value) == (
        "the encoder 'nose' is asked for by a component that does not declare it; its property "
        "`encoders` has to return it"
    )
