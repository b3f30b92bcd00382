"""A network that cannot stand in for the shipped one of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Backbone, ConditionSpec, LatentSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Other(Backbone):
    """Has other options than the shipped one, so that no model of that can be played with it."""

    rooms: int = Field(3, description="something else")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Raise UsageError: the network stays in the lab."""
        raise UsageError("the lab keeps this network; choose another backbone")


@hookimpl
def backbone() -> type[Backbone]:
    """Offer the backbone."""
    return Other
