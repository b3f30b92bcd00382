"""The encoders of a run: each is built, placed and frozen when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from kernel.assembly import Assembly
from kernel.errors import PluginError, UsageError
from kernel.kinds.encoder import Encoder
from kernel.runner.device import Machine


def encoders(assembly: Assembly, machine: Machine) -> Callable[[str], Callable[..., Any]]:
    """Return the function from an encoder's spelling to what listens, made once for each."""
    made = cache(lambda spelling: _Frozen(*assembly.encoder(spelling), machine))
    return cast("Callable[[str], Callable[..., Any]]", made)


class _Frozen:
    """An encoder on the device, held to what it promises."""

    def __init__(self, name: str, encoder: Encoder, machine: Machine) -> None:
        self._name = name
        self._encoder = encoder
        self._machine = machine
        # Layers are initialised before weights are loaded: that is no draw of the run's.
        with torch.random.fork_rng(devices=[]):
            self._module = machine.place(encoder.build()).eval().requires_grad_(False)

    def __call__(self, heard: Tensor | Sequence[str], sample_rate: int | None = None) -> Any:
        """Return what the encoder makes of audio [B, C, L] or of B texts.

        Raises UsageError for one that listens to something else, and PluginError for one that
        returns something of another shape.
        """
        given = "text" if sample_rate is None else "audio"
        if given != self._encoder.listens:
            raise UsageError(
                f"{self._name} listens to {self._encoder.listens} where {given} is to be heard; "
                f"name another encoder"
            )
        with nullcontext() if self._encoder.differentiable else torch.no_grad():
            if isinstance(heard, torch.Tensor):
                found = self._module(self._machine.put(heard), sample_rate)
                self._check([found], [2], len(heard))
            else:
                found = self._module(list(heard))
                self._check(list(found), [3, 2], len(heard))
        return found

    def _check(self, found: Sequence[Tensor], dims: Sequence[int], count: int) -> None:
        shapes = [tuple(each.shape) for each in found]
        if [len(shape) for shape in shapes] != list(dims) or any(s[0] != count for s in shapes):
            wanted = f"[{count}, M]" if len(dims) == 1 else f"[{count}, L, W] and [{count}, L]"
            raise PluginError(
                f"{self._name} returns {' and '.join(map(str, shapes))} for {count} items and has "
                f"to return {wanted}; name another encoder"
            )
