"""The base of the tasks that measure sounds with an encoder."""

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
    """A task that measures the decoded sound with an encoder; gradients go through it."""

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    encoder: str | None = Field(None, description="the encoder that listens, NAME[@DISTRIBUTION]")

    @property
    def encoders(self) -> tuple[str, ...]:
        """Return the encoder, if it is named."""
        return () if self.encoder is None else (self.encoder,)

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def spelling(self) -> str:
        """Return the encoder. Raises UsageError when none is named."""
        if self.encoder is None:
            raise UsageError(
                "the task needs an encoder and none is named; set -o task.encoder=NAME"
                " (`kernel plugins` lists them)"
            )
        return self.encoder

    def heard(self, space: LatentSpace) -> Callable[[Tensor], Tensor]:
        """Return the encoder's output for audio [B, C, L]: [B, M].

        Raises UsageError when no encoder is named or it does not listen to audio.
        """
        listen = space.encoder(self.spelling())
        return lambda audio: listen(audio, space.audio.sample_rate)
