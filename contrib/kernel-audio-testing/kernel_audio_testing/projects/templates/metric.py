"""`mine`: how a sound is scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kernel import AudioSpec, Metric, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Mine(Metric):
    """The level of a sound in dB relative to full scale: 10 log10 of its mean square.

    To make it your own, replace the module in `meter.py`. Say here what a score means: whether each
    sound has one, or only the set; which way is better; and, by a property `needs` that returns
    `frozenset({"reference"})`, that sounds are compared with what they should be.
    """

    scope: ClassVar[Literal["item", "set"]] = "item"

    higher_is_better: ClassVar[bool | None] = None

    floor: float = Field(-120.0, lt=0, description="level of silence in dB")

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the MetricModule; it scores audio of any rate, mono or not."""
        from kernel_audio_testing.projects.templates.meter import MineMeter

        return MineMeter(self.floor)


@hookimpl
def metric() -> type[Metric]:
    """Offer `mine`."""
    return Mine
