"""The options of all tasks for the audio of a model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kernel import AudioSpec, Task

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = {"rms": -23.0, "peak": -1.0}


class AudioTask(Task):
    """The audio of a model: rate, channels, length and level of an item."""

    sample_rate: int = Field(16000, ge=1000, le=384000, description="samples a second")
    channels: int = Field(1, ge=1, le=8, description="1 is mono, 2 is stereo")
    seconds: float = Field(1.0, gt=0, description="length of an item; longer sounds are cropped")
    normalize: Literal["rms", "peak", "none"] = Field(
        "rms", description="measure of loudness that is brought to `level` in every sound"
    )
    level: float | None = Field(
        None, ge=-80, le=0, description="level in dBFS; by default -23 (rms) or -1 (peak)"
    )

    @property
    def audio(self) -> AudioSpec:
        """Return the rate and the channels."""
        return AudioSpec(self.sample_rate, self.channels)

    @property
    def samples(self) -> int:
        """Return `seconds` in samples, at least 1."""
        return max(1, round(self.seconds * self.sample_rate))

    def gain(self, sound: Tensor) -> float:
        """Return the factor that brings `sound` [C, L] to `level`; infinite for silence."""
        if self.normalize == "none":
            return 1.0
        now = sound.square().mean().sqrt() if self.normalize == "rms" else sound.abs().max()
        level = LEVELS[self.normalize] if self.level is None else self.level
        return 10 ** (level / 20) / float(now) if now > 0 else math.inf
