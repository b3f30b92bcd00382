"""What tasks share that ask what somebody hears in a sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import LatentSpace, UsageError
from kernel_plugins.tasks._applied import ABOUT, AppliedTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class HeardTask(AppliedTask):
    """A task that measures the decoded sound with an encoder, through which gradients go."""

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    encoder: str | None = Field(None, description="the encoder that listens, NAME[@DISTRIBUTION]")

    @property
    def encoders(self) -> tuple[str, ...]:
        """Return the encoder, once it is named."""
        return () if self.encoder is None else (self.encoder,)

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `measurement`."""
        return frozenset({"measurement"})

    def spelling(self) -> str:
        """Return the encoder. Raises UsageError when none is named."""
        if self.encoder is None:
            raise UsageError(
                "the task listens with an encoder and none is named; set -o task.encoder=NAME"
                " (`kernel plugins` lists them)"
            )
        return self.encoder

    def heard(self, space: LatentSpace) -> Callable[[Tensor], Tensor]:
        """Return what the encoder makes of audio [B, C, L]: [B, M].

        Raises UsageError for an encoder that is not named or listens to something else.
        """
        listen = space.encoder(self.spelling())
        return lambda audio: listen(audio, space.audio.sample_rate)
