"""`adversarial`: a denoiser whose estimates a critic cannot tell from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Parts, Recipe, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Adversarial(Recipe):
    """Train a denoiser in even steps, and in odd steps a critic that tells its estimates from data.

    Xiao et al. 2022 (denoising diffusion GANs), with the non-saturating loss of Goodfellow et al.
    2014 beside the squared error. The critic is a second network of the backbone.
    """

    share: float = Field(0.1, gt=0, description="weight of the critic's word in the loss")

    def build(self, parts: Parts) -> nn.Module:
        """Return the network and the critic."""
        from .step import Step

        return Step(self.share, parts)


@hookimpl
def recipe() -> type[Recipe]:
    """Offer `adversarial`."""
    return Adversarial
