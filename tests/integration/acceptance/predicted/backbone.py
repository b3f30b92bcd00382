"""`predicted`: a predictor and a generator in one network, as in StoRM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Backbone, ConditionSpec, LatentSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Predicted(Backbone):
    """Predict the clean sound from the noisy one, and let the process drift to the prediction.

    Lemercier et al. 2023 (StoRM), section 3: the predictor's output takes the place of the origin,
    and the gradient of the loss reaches the predictor through it.
    """

    dims = (1,)

    width: int = Field(64, ge=1, description="channels within both networks")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return both networks in one module. Raises UsageError for a condition that is told."""
        from .network import Both

        if condition:
            raise UsageError("backbone.predicted is told an origin alone; choose another backbone")
        return Both(latent.channels, self.width)


@hookimpl
def backbone() -> type[Backbone]:
    """Offer `predicted`."""
    return Predicted
