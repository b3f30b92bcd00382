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
    """A task that measures the decoded sound with a listener, through which gradients go."""

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    listener: str | None = Field(
        None, description="who listens, MODULE:NAME of something that is installed"
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `measurement`."""
        return frozenset({"measurement"})

    def spelling(self) -> str:
        """Return the listener. Raises UsageError when none is named."""
        if self.listener is None:
            raise UsageError(
                "the task needs somebody to listen; name an installed embedding or classifier with"
                " -o task.listener=MODULE:NAME"
            )
        return self.listener

    def heard(self, space: LatentSpace) -> Callable[[Tensor], Tensor]:
        """Return what the listener makes of audio [B, C, L]: [B, M].

        Raises UsageError for a listener that is not named, is not there or returns something else.
        """
        spelling = self.spelling()
        listen = space.listener(spelling)

        def hear(audio: Tensor) -> Tensor:
            found = listen(audio, space.audio.sample_rate)
            if found.ndim != 2 or len(found) != len(audio):
                raise UsageError(
                    f"{spelling} returns {tuple(found.shape)} for {len(audio)} sounds and has to"
                    f" return [{len(audio)}, M]; name another listener"
                )
            return found

        return hear
