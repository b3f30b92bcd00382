"""`separate`: the sources of a mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, cast

import attrs
from pydantic import Field, model_validator

from kernel import LatentSpace, Measurement, Request, Task, hookimpl
from kernel_plugins.tasks._applied import EXACTLY
from kernel_plugins.tasks._edit import Edit, Edited, Recording, Window

if TYPE_CHECKING:
    from torch import Tensor

MANY = 2**20
"""More windows than a mixture has."""


@attrs.frozen(eq=False, kw_only=True)
class Source(Edited):
    """One source of a mixture. `number` counts from 0; `mixture` is the same for all of one.

    others: the sources that nobody asked for and that have to be made all the same.
    """

    number: int
    mixture: int = 0
    others: tuple[Source, ...] = ()


class Separate(Edit):
    """Make the sources whose sum is a recording, each into a file of its own.

    Every source has a prior: one of `models`, or the run's model, told one of `parts` where it
    knows labels. The sources are sampled together, and what ties them is the guidance:

        projection  the mixture is exactly their sum ("Dirac"): what the estimates lack of it is
                    given to them in equal shares
        dps         with -o guidance.dps.normalization=gaussian, the mixture is Gaussian around
                    their sum, more narrowly as sigma falls; -o guidance.dps.on=x measures the noisy
                    sources in place of the estimates (Mariani et al. 2024, section 4.2)

    A mixture is brought to the level of as many uncorrelated sources of the model's level. Sources
    with the same prior may change places from one window of a long mixture to the next.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    sources: int = Field(2, ge=2, le=16, description="how many sources the mixture has")
    models: tuple[str, ...] = Field(
        (), description="the model of each source, by name or folder; by default that of the run"
    )
    parts: tuple[str, ...] = Field(
        (), description="the label of each source, of those that the model knows"
    )

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
        """Return that there is a `measurement`."""
        return frozenset({"measurement"})

    def usual_count(self, inputs: Sequence[Path]) -> int:
        """Return that every source of every mixture is made."""
        return self.sources * super().usual_count(inputs)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests, the sources of each mixture one after another.

        Raises UsageError and InputError as other edits do.
        """
        requests = [
            attrs.evolve(cast(Source, each), mixture=index // self.sources)
            for index, each in enumerate(super().requests(inputs, count))
        ]
        *whole, last = requests
        missing = (self._source(last, number) for number in range(last.number + 1, self.sources))
        return [*whole, attrs.evolve(last, others=tuple(missing))]

    def edits(self, recordings: Sequence[Recording]) -> list[Edited]:
        """Return the sources of every recording."""
        mixtures = [self.edit(recording) for recording in recordings]
        return [self._source(each, number) for each in mixtures for number in range(self.sources)]

    def gain(self, sound: Tensor) -> float:
        """Return the factor that brings a mixture to the level of as many sources."""
        return super().gain(sound) * math.sqrt(self.sources)

    def windows(self, request: Request) -> Sequence[Request]:
        """Return the windows of the source, and after them those of sources nobody asked for."""
        source, windows = cast(Source, request), []
        for each in (source, *source.others):
            for place, window in enumerate(super().windows(each)):
                joint = source.mixture * MANY + place
                stream = (window.stream or 0) + MANY * (each.number - source.number)
                windows.append(attrs.evolve(window, model=each.model, joint=joint, stream=stream))
        return windows

    def measurement(self, requests: Sequence[Request], space: LatentSpace) -> Measurement | None:
        """Return that the windows with the same `joint` have a certain sum."""
        import torch

        from kernel_plugins.tasks._operators import SumOfSources, measure

        windows = cast("Sequence[Window]", requests)
        sources = sum(window.joint == windows[0].joint for window in windows)
        mixture = torch.stack([window.sound for window in windows])
        return measure(space, SumOfSources(sources), mixture / sources, "l2")

    def join(self, windows: Sequence[Tensor], request: Request) -> Tensor:
        """Return the audio [C, samples] of the source."""
        source = cast(Source, request)
        return super().join(windows[: len(source.cuts) * len(source.lanes)], request)

    def _source(self, mixture: Edited, number: int) -> Source:
        fields = {each.name: getattr(mixture, each.name) for each in attrs.fields(Edited)}
        if self.models:
            fields["model"] = self.models[number]
        if self.parts:
            part = self.parts[number]
            fields |= {"label": part, "condition": self.named(part)}
        fields["name"] += f"-{self.parts[number] if self.parts else number + 1}"
        return Source(**fields, number=number)


@hookimpl
def task() -> type[Task]:
    """Offer `separate`."""
    return Separate
