"""`separate`: the sources of a mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self, cast

import attrs
from pydantic import Field, model_validator

from kernel import Item, LatentSpace, Making, Measurement, Request, Task, hookimpl
from kernel_plugins.tasks._applied import EXACTLY
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor


class Separate(Edit):
    """Make the sources whose sum is a recording, each into a file of its own.

    Every source has a prior: one of `models`, or the run's model with one of `parts` as its label.
    The sources are sampled together, and the guidance ties them:

        projection  the mixture is exactly their sum ("Dirac"): the rest of the mixture is added to
                    the estimates in equal shares
        dps         with -o guidance.dps.normalization=gaussian, the mixture is Gaussian around
                    their sum and narrows as sigma falls; -o guidance.dps.on=x measures the noisy
                    sources instead of the estimates (Mariani et al. 2024, section 4.2)

    A request is a mixture; its sources are its sounds. A mixture is brought to the level of as many
    uncorrelated sources of the model's level. Sources with the same prior may change places from
    one window of a long mixture to the next.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    sources: int = Field(2, ge=2, le=16, description="number of sources in the mixture")
    models: tuple[str, ...] = Field(
        (), description="model of each source, by name or folder; by default the run's"
    )
    parts: tuple[str, ...] = Field((), description="label of each source, for a model with labels")

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        for name in ("models", "parts"):
            if (given := len(getattr(self, name))) not in (0, self.sources):
                raise ValueError(
                    f"there are {self.sources} sources and {given} {name}; name one for each"
                )
        return self

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def edits(self, recordings: Sequence[Recording]) -> list[Edited]:
        """Return the mixtures. Raises UsageError for a label that the model lacks."""
        for part in self.parts:
            self.named(part)
        return super().edits(recordings)

    def gain(self, sound: Tensor) -> float:
        """Return the factor that brings a mixture to the level of as many sources."""
        return super().gain(sound) * math.sqrt(self.sources)

    def make(self, request: Request) -> Making:
        """Make all sources of a mixture together, each a sound."""
        sources = [self._source(cast(Edited, request), number) for number in range(self.sources)]
        parts = [self.windows(each, number * len(each.cuts)) for number, each in enumerate(sources)]
        made = yield [
            attrs.evolve(window, joint=place)
            for windows in parts
            for place, window in enumerate(windows)
        ]
        own = len(made) // self.sources
        wholes = [
            self.joined(made[number * own :][:own], each) for number, each in enumerate(sources)
        ]
        return [
            each.finished(self.finish(whole, each), self.sample_rate)
            for each, whole in zip(sources, wholes, strict=True)
        ]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the sum of a joint's windows, which are neighbours."""
        import torch

        from kernel_plugins.tasks._measure import measure
        from kernel_plugins.tasks._operators import SumOfSources

        windows = cast("Sequence[Part]", items)
        mixture = torch.stack([window.sound for window in windows])
        return measure(space, SumOfSources(self.sources), mixture / self.sources, "l2")

    def _source(self, mixture: Edited, number: int) -> Edited:
        """Return the edit that makes one source of a mixture, counted from 0."""
        window, name, text = mixture.window, str(number + 1), mixture.text
        if self.models:
            window = attrs.evolve(window, model=self.models[number])
        if self.parts:
            name = text = self.parts[number]
            window = attrs.evolve(window, vector=self.named(name).vector)
        return attrs.evolve(mixture, name=f"{mixture.name}-{name}", window=window, text=text)


@hookimpl
def task() -> type[Task]:
    """Offer `separate`."""
    return Separate
