"""`classifier`: towards a class, by the gradient of a classifier of audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kernel import Context, Guidance, Pull, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Classifier(Guidance):
    """Add scale sigma^2 grad_x log p(target | audio) to D.

    Dhariwal and Nichol 2021, algorithm 1, and Song et al. 2021 (score SDE), eq. 14: the gradient is
    added to the score. With `on` x0 the classifier hears the decoded estimate of x0 and the
    gradient goes through the network: a classifier of clean sounds works. With `on` x it hears the
    decoded noisy state: it must be trained on noise of every sigma.

    The encoder returns the logits of the classes, [B, K].
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"scale": 0.0}
    strength: ClassVar[str | None] = "scale"

    encoder: str | None = Field(
        None, description="the encoder that classifies, NAME[@DISTRIBUTION]"
    )
    target: int = Field(0, ge=0, description="the class, counted from 0")
    scale: float = Field(1.0, ge=0, description="weight of the gradient; 1 is Bayes' rule")
    on: Literal["x0", "x"] = Field(
        "x0", description="sound for the classifier: the estimate of x0, or the noisy state"
    )

    @property
    def encoders(self) -> tuple[str, ...]:
        """Return the encoder, if it is named."""
        return () if self.encoder is None else (self.encoder,)

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return scale sigma^2 times the gradient.

        Raises UsageError when no classifier is named or it does not know the class.
        """
        space = context.space
        if self.encoder is None or space is None:
            raise UsageError(
                "guidance 'classifier' needs a classifier and none is named; set "
                "-o guidance.classifier.encoder=NAME (`kernel plugins` lists them)"
            )
        audio = space.decode(x0 if self.on == "x0" else x, space.samples)
        logits = space.encoder(self.encoder)(audio, space.audio.sample_rate)
        if not self.target < logits.shape[1]:
            raise UsageError(
                f"guidance 'classifier' needs the logit of class {self.target} for {len(x)} sounds "
                f"and {self.encoder} returned the shape {tuple(logits.shape)}; set "
                f"-o guidance.classifier.target to one of its classes, or name another encoder"
            )
        surprise = -logits.log_softmax(1)[:, self.target]
        return pull(surprise).mul(-self.scale * sigma**2)


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `classifier`."""
    return Classifier
