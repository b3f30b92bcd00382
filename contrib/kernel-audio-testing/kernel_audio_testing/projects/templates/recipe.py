"""`mine`: what one training step computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Parts, Recipe, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Mine(Recipe):
    """Train a network to denoise, with an error that large values count less in.

    sqrt(|D - x0|^2 + c^2) - c, the pseudo-Huber loss (Song and Dhariwal 2024, eq. 9), weighted as
    the objective says. To make it your own, change `Step.forward`, and name every group of
    parameters that has a loss of its own in `Step.groups`.
    """

    c: float = Field(0.1, gt=0, description="error from which on the loss grows no faster")

    def build(self, parts: Parts) -> nn.Module:
        """Return the module that is trained."""
        from kernel_audio_testing.projects.templates.step import Step

        return Step(self.c, parts)


@hookimpl
def recipe() -> type[Recipe]:
    """Offer `mine`."""
    return Mine
