"""`dit`: a diffusion transformer for sequences and for spectrogram-like latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kernel import Backbone, ConditionSpec, LatentSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

Patch = Annotated[int, Field(ge=1)]


class Dit(Backbone):
    """Cut the latent into patches and let them attend to each other, modulated by the noise level.

    Peebles and Xie 2023, section 3.2 (adaLN-zero), with rotary positions along each axis of the
    latent. Any length works: the network pads the latent to whole patches and crops the result.

    The condition's `vector` is added to the embedding of the noise level. Its `sequence` is
    attended to. Its `aligned` part and, if the task asks for it, its `origin` are concatenated to
    the latent's channels. The padding that `valid` marks has no effect.
    """

    masks: ClassVar[bool] = True

    width: int = Field(192, ge=1, description="size of a token; a multiple of heads")
    depth: int = Field(6, ge=1, description="number of transformer blocks")
    heads: int = Field(6, ge=1, description="attention heads in a block")
    patch: int = Field(1, ge=1, description="frames in a token of a 1-D latent")
    patch_2d: tuple[Patch, Patch] = Field(
        (4, 4), description="frequency bins and frames in a token of a 2-D latent"
    )
    mlp_ratio: float = Field(3.0, gt=0, description="hidden size of the perceptrons over width")
    times: Literal[1, 2] = Field(1, description="number of times in c_noise; a recipe may need 2")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping in training")
    qk_norm: bool = Field(True, description="normalise queries and keys; keeps bf16 stable")
    rope_base: float = Field(
        1000.0, gt=1, description="ratio of the fastest to the slowest rotary frequency"
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return `two-times` if `times` is 2."""
        return frozenset({"two-times"} if self.times == 2 else ())

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width {self.width} is not a multiple of 4 x heads = {4 * self.heads}; "
                "rotary positions on two axes need that"
            )
        return self

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return the network for such latents and conditions, freshly initialised."""
        from kernel_plugins.backbones._dit import DitNetwork

        return DitNetwork(self, latent, condition)


@hookimpl
def backbone() -> type[Backbone]:
    """Offer `dit`."""
    return Dit
