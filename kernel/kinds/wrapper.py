"""Wrappers: they change the network, the codec or the solver of other components."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kernel.kinds._component import Component

if TYPE_CHECKING:
    from torch import nn


class Wrapper(Component):
    """Stands around what another component builds, in the order of naming from the inside.

    A wrapper implements one or several of `build_backbone`, `build_codec` and `build_solver` as
    methods that are marked `@hookimpl(wrapper=True)`: each yields once, is sent what was built
    inside, a network with its weights loaded, and returns it, changed or replaced.
    """

    kind: ClassVar[str] = "wrapper"
    accumulates: ClassVar[bool] = True

    def merge(self, module: nn.Module) -> nn.Module | None:
        """Return `module`, a network or a codec, as it is to be without the wrapper.

        Asked when a trained model is written, the outermost wrapper first. None, the default, says
        that the wrapper cannot be undone: the model then names it and holds its weights.
        """
        return None
