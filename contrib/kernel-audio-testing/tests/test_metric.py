"""The checks of metrics catch what they are there to catch."""

from __future__ import annotations

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
        return {"ratio": scores.mean()} if "named" in self.faults else scores.mean()

    def reset(self) -> None:
        if "memory" not in self.faults:
            self.found.clear()


class Comparing(Metric):
    """Compare energies."""

    higher_is_better = True
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
