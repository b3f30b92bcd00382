"""The scalars that a training reports: losses, gradients, rates, speed, memory."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

import attrs
import torch
from torch import Tensor

__all__ = ["Diverged", "Report"]


class Diverged(Exception):
    """A loss or a gradient that is not finite: its name, and the step that computed it."""

    def __init__(self, name: str, step: int) -> None:
        super().__init__(name, step)
        self.name, self.step = name, step


@attrs.frozen
class _Step:
    number: int
    losses: Mapping[str, Tensor]
    norms: Mapping[str, Tensor]

    def of(self, what: str) -> Mapping[str, Tensor]:
        return self.losses if what == "loss" else self.norms


class Report:
    """Gathers what the steps since the last report have computed, without waiting for the device.

    scaled: whether a gradient may be infinite, as with float16, which skips its step.
    """

    def __init__(self, device: torch.device, scaled: bool = False) -> None:
        self._device = device
        self._scaled = scaled
        self.restart()

    def restart(self) -> None:
        """Forget the steps, and begin to measure time."""
        self._steps: list[_Step] = []
        self._items, self._began = 0, time.monotonic()

    def add(
        self, step: int, items: int, losses: Mapping[str, Tensor], norms: Mapping[str, Tensor]
    ) -> None:
        """Note what a step has computed: the loss of each group, and the norm of its gradient."""
        self._steps.append(_Step(step, losses, norms))
        self._items += items

    def scalars(self, rates: Mapping[str, float]) -> dict[str, float]:
        """Return the means over the steps, the learning rates, speed and memory.

        The first of `rates` gives its plain names, every other `NAME.GROUP`. Raises Diverged.
        """
        scalars: dict[str, float] = {}
        first = next(iter(rates))
        for what, skipped in (("loss", False), ("grad_norm", self._scaled)):
            for group in rates:
                name = what if group == first else f"{what}.{group}"
                told = [(each.number, each.of(what)) for each in self._steps]
                found = {number: values[group] for number, values in told if group in values}
                finite = []
                for number, value in zip(found, _values(found.values()), strict=True):
                    if math.isfinite(value):
                        finite.append(value)
                    elif not skipped:
                        raise Diverged(name, number)
                if finite:
                    scalars[name] = sum(finite) / len(finite)
        for group, rate in rates.items():
            if group == first or rate != rates[first]:
                scalars["learning_rate" if group == first else f"learning_rate.{group}"] = rate
        seconds = time.monotonic() - self._began
        scalars["items_per_second"] = self._items / max(seconds, 1e-9)
        return scalars | _memory(self._device)


def _values(tensors: Iterable[Tensor]) -> list[float]:
    """Return the values of scalars, which are copied from their device at once."""
    every = list(tensors)
    return torch.stack(every).tolist() if every else []


def _memory(device: torch.device) -> dict[str, float]:
    """Return the most memory in use so far, in GB: of the CUDA device, else of the process."""
    if device.type == "cuda":
        return {"memory_gb": torch.cuda.max_memory_allocated(device) / 1e9}
    with suppress(ImportError):  # Windows has no such module.
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"memory_gb": most * (1 if sys.platform == "darwin" else 1024) / 1e9}
    return {}
