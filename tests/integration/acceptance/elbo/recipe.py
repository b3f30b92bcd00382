"""The training of a variational codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Parts, Recipe, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Elbo(Recipe):
    """Train a codec to give back what it was given, near a standard normal latent.

    loss = |decoded - audio| + kl * KL(N(mean, std) || N(0, 1)) (Kingma and Welling 2014, eq. 7).
    """

    requires: ClassVar[tuple[str, ...]] = ("codec", "task")
    trains: ClassVar[tuple[str, ...]] = ("codec",)

    kl: float = Field(1e-3, ge=0, description="weight of the divergence from N(0, 1)")

    def build(self, parts: Parts) -> nn.Module:
        """Return the module that is trained."""
        from .step import Step

        return Step(parts, self.kl)


@hookimpl
def recipe() -> type[Recipe]:
    """Offer the recipe."""
    return Elbo
