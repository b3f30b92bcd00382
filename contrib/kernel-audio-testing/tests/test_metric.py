"""The checks of metrics catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from kernel import AudioSpec, InputError, Metric, UsageError


class Ratio(nn.Module):
    """The mean over all sounds of the energy of the reference over that of the difference."""

    kept: ClassVar[list[Tensor]] = []

    def __init__(self, faults: frozenset[str]) -> None:
        super().__init__()
        self.faults = faults
        self.found: list[Tensor] = self.kept if "shared" in faults else []

    def update(self, sound: Tensor, reference: Tensor) -> None:
        if not reference.any() and "silence" not in self.faults:
            raise InputError("the reference is silent and has no energy; leave it out")
        if sound.shape[-1] < 50 and "short" in self.faults:
            raise ValueError("too short")
        if "in place" in self.faults:
            sound -= sound.mean()
        if "start" in self.faults:
            sound, reference = (each[:, : each.shape[1] // 2 + 1] for each in (sound, reference))
        if "left" in self.faults:
            sound, reference = sound[:1], reference[:1]
        if "random" in self.faults:
            sound = sound + 1e-3 * torch.randn_like(sound)
        self.samples = sound.shape[-1]
        difference = (sound - reference).square().sum() + 1e-6
        score = 10 * (reference.square().sum() / difference).log10()
        if "length" in self.faults:
            score = score - 0.02 * sound.flip(-1).any(0).int().argmax()
        self.found.append(-score if "direction" in self.faults else score)

    def compute(self) -> Any:
        scores = torch.stack(self.found)
        if "order" in self.faults:
            return scores.double().cumsum(0).cumsum(0)[-1]
        if "vector" in self.faults:
            return scores.repeat(2)
        if "sum" in self.faults:
            return scores.mean() - self.samples / 1000
        return {"ratio": scores.mean()} if "named" in self.faults else scores.mean()

    def reset(self) -> None:
        if "memory" not in self.faults:
            self.found.clear()


class Comparing(Metric):
    """Compare energies."""

    higher_is_better = True
    shortfalls: ClassVar[Mapping[str, str]] = {"options": "an option names the faults"}
    faults: tuple[str, ...] = Field((), description="what is broken")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"reference"})

    def build(self, audio: AudioSpec) -> nn.Module:
        if audio.sample_rate < 16000:
            error = InputError if "refusal" in self.faults else UsageError
            raise error(f"{audio.sample_rate} Hz is too low; use 16000 Hz or more")
        return Ratio(frozenset(self.faults))


class ComparingSets(Comparing):
    """Compare energies of sets."""

    scope = "set"


class Strange(Comparing):
    """Score whatever nobody knows."""

    scope = "batch"  # type: ignore[assignment]


class Level(Metric):
    """Tell the level."""

    def build(self, audio: AudioSpec) -> nn.Module:
        class Module(Ratio):
            def update(self, sound: Tensor) -> None:  # type: ignore[override]
                self.found.append(sound.square().mean())

        return Module(frozenset())


@pytest.mark.parametrize(
    ("component", "options"),
    [(Comparing, {}), (Comparing, {"faults": ["named"]}), (ComparingSets, {}), (Level, {})],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_sound_passes(component: Any, options: Any, broken: Any) -> None:
    assert broken(component, **options) == set()


@pytest.mark.parametrize(
    ("component", "fault", "check", "detail"),
    [
        (Strange, "", "declared", "scope is 'batch', not 'item' or 'set'"),
        (Comparing, "vector", "score", "score has the shape (2,)"),
        (Comparing, "refusal", "audio", "refuses 8000 Hz, 1 channel(s) with InputError"),
        (Comparing, "direction", "direction", "says that higher is better"),
        (Comparing, "start", "parts", "with noise in the last third"),
        (Comparing, "left", "parts", "with noise in channel 1"),
        (Comparing, "length", "padding", "of an exact copy goes from"),
        (Comparing, "memory", "reset", "after other sounds"),
        (Comparing, "shared", "apart", "beside another one"),
        (ComparingSets, "shared", "apart", "beside another one"),
        (ComparingSets, "order", "order", "in reverse"),
        (Comparing, "silence", "odd_sounds", "score of silence is -inf"),
        (Comparing, "short", "odd_sounds", "1 samples raises ValueError, not a KernelError"),
        (Comparing, "in place", "pure", "is changed in place"),
        (Comparing, "random", "pure", "draws from torch's global generator"),
    ],
)
def test_what_is_broken_is_caught(
    component: Any, fault: str, check: str, detail: str, catch: Any
) -> None:
    assert detail in catch(component, check, faults=[fault] if fault else [])


class Apart(nn.Module):
    """How far the mean of a set is from that of its references, in what an encoder hears."""

    def __init__(self, listen: Any, faults: frozenset[str]) -> None:
        super().__init__()
        self.listen, self.faults = listen, faults
        self.known: list[Tensor] = []
        self.found: list[Tensor] = []

    def refer(self, audio: Tensor) -> None:
        self.known.append(self.listen(audio))

    def update(self, audio: Tensor) -> None:
        self.found.append(self.listen(audio))

    def compute(self) -> Tensor:
        known, found = (torch.cat(each).mean(0) for each in (self.known, self.found))
        if "first" in self.faults:
            known = self.known[0][0] + 5
        far = (known - found).norm()
        return -far if "way" in self.faults else far

    def reset(self) -> None:
        self.found.clear()


class Sets(Metric):
    """Compare sets."""

    scope = "set"
    higher_is_better = False
    shortfalls: ClassVar[Mapping[str, str]] = {"options": "an option names the faults"}
    ear: str = Field("ear", description="who listens")
    faults: tuple[str, ...] = Field((), description="what is broken")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"references"})

    @property
    def encoders(self) -> tuple[str, ...]:
        return (self.ear,)

    def listen(self, audio: AudioSpec, encoder: Any) -> nn.Module:
        rate = 8000 if "rate" in self.faults else audio.sample_rate
        return Apart(lambda sound: encoder(self.ear)(sound[None], rate), frozenset(self.faults))


def test_sets_beside_their_references(broken: Any, catch: Any) -> None:
    assert broken(Sets) == set()
    assert "it says that lower is better" in catch(Sets, "direction", faults=["way"])
    assert "of the references is" in catch(Sets, "itself", faults=["first"])
    assert "an encoder is given" in catch(Sets, "score", faults=["rate"])


def test_repeated_sounds_and_options(catch: Any) -> None:
    assert "of the sound twice" in catch(Comparing, "twice", faults=["sum"])
    assert "the option faults changes nothing" in catch(Comparing, "options")
