"""Guidances: they change estimates or states while a run samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from kernel.kinds._component import Component
from kernel.values import Context, Denoise, GuidedDenoise, Pull

if TYPE_CHECKING:
    from torch import Tensor


class Guidance(Component):
    """Changes what the denoiser returns, or where a step ends.

    The order in which guidances are named does not matter. At every evaluation those that `mix`
    come first, then the sum of what all steer, then those that `project`, then those that `limit`;
    within a stage they go by their names, the first innermost.
    """

    kind: ClassVar[str] = "guidance"
    accumulates: ClassVar[bool] = True

    stage: ClassVar[Literal["mix", "project", "limit"]] = "mix"
    """When `wrap` and `constrain` have their turn.

    To mix is to combine several evaluations of the network into one estimate, to project is to make
    an estimate agree with what is known, to limit is to keep it within bounds.
    """

    strength: ClassVar[str | None] = None
    """The option to lower when a run with this guidance leaves the range of the data."""

    neutral: ClassVar[Mapping[str, Any] | None] = None
    """Options under which the guidance changes nothing; None when there are none."""

    @property
    def steers(self) -> bool:
        """Return whether `steer` says anything."""
        return type(self).steer is not Guidance.steer

    @property
    def needs(self) -> frozenset[str]:
        """Return `gradient` for a guidance that steers."""
        return frozenset({"gradient"}) if self.steers else frozenset()

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return a denoiser that calls `denoise` and passes on the condition it is called with."""
        return denoise

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return what is to be added to the estimate `x0`, shaped like it and detached.

        x0 depends on x, and `pull` gives the gradient of any loss that is made of the two. Adding
        -s grad to the score is adding -sigma^2 s grad here.
        """
        raise NotImplementedError

    def constrain(self, x: Tensor, sigma: float, denoise: Denoise, context: Context) -> Tensor:
        """Return the state to go on from after a step that reached `sigma`: `x`, or another.

        `denoise` is the denoiser with all guidances. `sigma` is 0 after the last step.
        """
        return x
