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
            self._module = machine.frozen(encoder.build())

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
        count = len(heard)
        with nullcontext() if self._encoder.differentiable else torch.no_grad():
            if isinstance(heard, torch.Tensor):
                found = self._module(self._machine.put(heard), sample_rate)
                parts, dims, wanted = [found], [2], f"[{count}, M]"
            else:
                found = self._module(list(heard))
                parts, dims, wanted = list(found), [3, 2], f"[{count}, L, W] and [{count}, L]"
        if [each.ndim for each in parts] != dims or any(len(each) != count for each in parts):
            shapes = " and ".join(str(tuple(each.shape)) for each in parts)
            raise PluginError(
                f"{self._name} returns {shapes} for {count} items and has to return {wanted}; "
                f"name another encoder"
            )
        return found
