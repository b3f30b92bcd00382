"""Set metrics that compare the embeddings of two sets of sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kernel import AudioSpec, Metric, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Heard(Metric):
    """Compares a set of sounds with a set of references, in the embeddings of an encoder."""

    scope: ClassVar[Literal["item", "set"]] = "set"

    encoder: str = Field("timbre", description="the encoder whose embeddings are compared")

    @property
    def needs(self) -> frozenset[str]:
        """Return that a set of references is needed."""
        return frozenset({"references"})

    @property
    def encoders(self) -> tuple[str, ...]:
        """Return the encoder."""
        return (self.encoder,)

    def build(self, audio: AudioSpec) -> nn.Module:
        """Refuse: the metric listens with an encoder."""
        raise UsageError(f"{type(self).__name__} listens with an encoder; call listen()")

    def listen(self, audio: AudioSpec, encoder: Callable[[str], Callable[..., Any]]) -> nn.Module:
        """Return the module that keeps the embeddings of both sets."""
        from kernel_plugins.metrics._sets import Sets

        return Sets(encoder(self.encoder), audio.sample_rate, self.score, self.fewest)

    @property
    def fewest(self) -> int:
        """Return how many sounds either set needs at least."""
        return 2

    def score(self, sounds: Tensor, references: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the score of two sets of embeddings, each [N, M] in float64."""
        raise NotImplementedError
