"""How sounds are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from kernel.kinds._component import Component
from kernel.values import AudioSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class MetricModule(Protocol):
    """The `torch.nn.Module` that a metric builds; a `torchmetrics.Metric` is one."""

    def update(self, *audio: Tensor) -> None:
        """Take in a sound [C, L] and, when the metric needs one, its reference [C, L].

        Raises InputError, here or in `compute`, for a sound that has no score (silence, say).
        """

    def refer(self, audio: Tensor) -> None:
        """Take in a reference [C, L]; only of a metric that needs the word `references`."""

    def compute(self) -> Tensor | Mapping[str, Tensor]:
        """Return the score of what was taken in: a scalar, or several by name."""

    def reset(self) -> None:
        """Forget what was taken in."""


class Metric(Component):
    """Scores sounds: each by itself, or all of them together as one set.

    A metric that compares pairs needs the word `reference`, and takes one in beside every sound. A
    metric that compares two sets needs `references`: its module has `refer`, which takes them in
    before the first sound.
    """

    kind: ClassVar[str] = "metric"
    accumulates: ClassVar[bool] = True

    scope: ClassVar[Literal["item", "set"]] = "item"
    """Whether each sound has a score, of which the mean is told, or only all of them together."""

    higher_is_better: ClassVar[bool | None] = None
    """Which way is better; None when neither is."""

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a MetricModule for such audio. Raises UsageError for audio it cannot score."""
        raise NotImplementedError

    def listen(self, audio: AudioSpec, encoder: Callable[[str], Callable[..., Any]]) -> nn.Module:
        """Return the MetricModule of a metric that names `encoders`; called in place of `build`.

        encoder: as `LatentSpace.encoder`.
        """
        return self.build(audio)
