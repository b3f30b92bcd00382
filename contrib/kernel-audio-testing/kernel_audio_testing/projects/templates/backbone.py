"""`mine`: the architecture of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Backbone, ConditionSpec, LatentSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Mine(Backbone):
    """Convolve along the last axis with growing dilation, in residual blocks.

    A small relative of DiffWave (Kong et al. 2021, section 3). All axes before the last count as
    channels, so that latents may have one axis or two. To make it your own, replace the modules in
    `network.py`; what has to hold is that items never mix within a batch, that a condition of zeros
    means none, and that other lengths than that of training work.
    """

    width: int = Field(28, ge=1, description="channels inside")
    depth: int = Field(6, ge=1, description="residual blocks")
    cycle: int = Field(6, ge=1, description="blocks after which the dilation starts from 1 again")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return the network. Raises UsageError for a sequence, and for an origin to be shown."""
        from kernel_audio_testing.projects.templates.network import MineNetwork

        if condition.sequence or condition.origin:
            raise UsageError(
                "backbone 'mine' takes no sequence in a condition and is shown no origin; choose a "
                "task without them, or another backbone"
            )
        return MineNetwork(latent, condition, self.width, self.depth, self.cycle)


@hookimpl
def backbone() -> type[Backbone]:
    """Offer `mine`."""
    return Mine
