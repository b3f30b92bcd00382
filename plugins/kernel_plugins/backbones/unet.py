"""`unet`: a convolutional U-Net with attention at chosen levels, for 1-D and 2-D latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kernel import Backbone, ConditionSpec, LatentSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import nn

Level = Annotated[int, Field(ge=0)]
Multiplier = Annotated[int, Field(ge=1)]


class Unet(Backbone):
    """Halve every axis from level to level, then double it again, with skip connections.

    Ronneberger et al. 2015 with the residual blocks of Dhariwal and Nichol 2021 (section 3.1) and
    skips scaled by 2^-1/2 as in Saharia et al. 2022 (Efficient U-Net, appendix B). Any length
    works: the network pads the latent to a multiple of patch 2^(levels - 1) and crops the result.
    `patch` positions of each axis are folded into channels before the first level (Shi et al. 2016,
    section 2.2); this makes thousands of audio samples affordable.

    The condition's `vector` is added to the embedding of the noise level. Its `sequence` is
    attended to at `attention_levels`. Its `aligned` part and, if the task asks for it, its `origin`
    are concatenated to the channels. In the padding that `valid` marks, every convolution sees
    zeros; norms leave it out, and no position attends to it.
    """

    masks: ClassVar[bool] = True

    width: int = Field(64, ge=1, description="channels at the first level; a multiple of groups")
    multipliers: tuple[Multiplier, ...] = Field(
        (1, 2, 2), min_length=1, description="channels of each level over width"
    )
    patch: int = Field(1, ge=1, description="positions along each axis that are folded into one")
    blocks: int = Field(2, ge=1, description="residual blocks at each level, down and up")
    attention_levels: tuple[Level, ...] = Field(
        (2,), description="levels, counted from 0, with attention after every block"
    )
    heads: int = Field(4, ge=1, description="attention heads")
    groups: int = Field(8, ge=1, description="groups of channels in a norm")
    times: Literal[1, 2] = Field(1, description="number of times in c_noise; a recipe may need 2")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping in training")

    @property
    def offers(self) -> frozenset[str]:
        """Return `two-times` if `times` is 2."""
        return frozenset({"two-times"} if self.times == 2 else ())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width {self.width} is not a multiple of groups = {self.groups}")
        for level in self.attention_levels:
            if level >= len(self.multipliers):
                raise ValueError(
                    f"attention_levels names level {level}; the multipliers give levels 0 to "
                    f"{len(self.multipliers) - 1}"
                )
            channels = self.width * self.multipliers[level]
            if channels % self.heads:
                raise ValueError(
                    f"the {channels} channels of level {level} are not a multiple of heads = "
                    f"{self.heads}"
                )
        return self

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return the network for such latents and conditions, freshly initialised.

        Raises UsageError when the condition has a sequence and no level attends.
        """
        from kernel_plugins.backbones._unet import UnetNetwork

        if condition.sequence and not self.attention_levels:
            raise UsageError(
                "backbone 'unet' needs attention for the condition's sequence, and "
                "attention_levels is empty; name at least one level"
            )
        return UnetNetwork(self, latent, condition)


@hookimpl
def backbone() -> type[Backbone]:
    """Offer `unet`."""
    return Unet
