"""The architecture of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from kernel.kinds._component import Component, hookimpl, hookspec
from kernel.values import Condition, ConditionSpec, LatentSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@hookimpl
@hookspec(firstresult=True)
def build_backbone(component: Backbone, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
    """Build the network of `component`, and load its weights where a model has any."""
    return component.build(latent, condition)


class NetworkModule(Protocol):
    """The `torch.nn.Module` that a backbone builds."""

    def prepare(self, condition: Condition) -> Any:
        """Return everything that depends on the condition alone; computed once for a run.

        The result is a tree of tensors: any nesting of dict, list, tuple, attrs record and None;
        its other leaves are numbers and words, which are constants. A `Prepared` of such a tree and
        an origin lets that origin take the place of the condition's.
        """

    def forward(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        """Return F. x, result: [B, C, *S]; condition: the tree that `prepare` returned.

        c_noise: [B], or [B, 2] when the backbone offers "two-times"; the second is 0 in sampling.
        """


class Backbone(Component):
    """The architecture of the network F."""

    kind: ClassVar[str] = "backbone"
    fixed: ClassVar[bool] = True

    dims: ClassVar[tuple[int, ...]] = (1, 2)
    """Numbers of axes after the channels that a latent may have."""

    masks: ClassVar[bool] = False
    """Whether a network hears neither what `mask` nor what `valid` says is padding.

    One that does not gets conditions of equal lengths alone, without `valid`.
    """

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return a NetworkModule for such latents and conditions, freshly initialised.

        The sizes in `latent` are those of training; a network should take others too. Parts of a
        condition that are all zeros are the null condition, and items never mix within a batch.
        Raises UsageError for a part that it cannot take.
        """
        raise NotImplementedError
