"""What tells a run that goes wrong: a state beyond all data, a measurement that cannot be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from kernel.assembly import Assembly
from kernel.errors import KernelError, MisfitError, NumericalError
from kernel.runner.device import Machine
from kernel.values import LatentSpace, Measurement

LIMIT = 30.0
"""How many times as large as the data, in root mean square, guidance may make a sound."""


class Health:
    """The size of the state after every step, looked at when the trajectory is over.

    Kept on the device: looking at once would make the host wait for it at every step. A solver may
    be far out in between and come back, so that only the end tells whether guidance was too strong.
    """

    def __init__(self, assembly: Assembly, sigmas: Sequence[float]) -> None:
        self._assembly = assembly
        self._sigmas = sigmas
        self._sizes: list[Tensor] = []

    def note(self, x: Tensor) -> None:
        """Note the state after a step."""
        self._sizes.append(x.float().square().flatten(1).mean(1).amax())

    def refuse(self) -> None:
        """Raise NumericalError naming the first bad step and what to change."""
        data = self._assembly.objective.sigma_data
        sizes = torch.stack(self._sizes).sqrt().tolist()
        step = next((step for step, size in enumerate(sizes) if not math.isfinite(size)), None)
        if step is not None:
            self._fail(step, "left the finite numbers")
        steered = any(each.steers for each in self._assembly.guidances.values())
        if steered and sizes[-1] > LIMIT * data:
            limits = [LIMIT * math.hypot(data, sigma) for sigma in self._sigmas[1:]]
            pairs = enumerate(zip(sizes, limits, strict=True))
            first = next(step for step, (size, limit) in pairs if size > limit)
            self._fail(first, f"went astray, the sound ended {sizes[-1] / data:.2g} times too loud")

    def _fail(self, step: int, what: str) -> NoReturn:
        sigma = self._sigmas[step + 1]
        raise NumericalError(
            f"step {step + 1} of {len(self._sizes)} (to sigma {sigma:.4g}) {what}; {self._remedy()}"
        )

    def _remedy(self) -> str:
        lower = [
            f"guidance.{name}.{each.strength}={value / 4:.3g}"
            for name, each in self._assembly.guidances.items()
            if each.strength is not None and (value := float(getattr(each, each.strength)))
        ]
        if not lower:
            return "use more steps, weaker guidance, or --precision float32"
        return f"the guidance is too strong: try -o {' -o '.join(lower)}, or more steps"


def check_measurement(
    measurement: Measurement, space: LatentSpace, batch: int, machine: Machine
) -> None:
    """Raise MisfitError unless what is measured of latents has the shape of the target."""
    zeros = machine.put(torch.zeros(batch, *space.latent.shape))
    try:
        found = tuple(measurement.operator(zeros).shape)
    except KernelError:
        raise
    except RuntimeError as error:
        raise MisfitError(
            f"the task's measurement does not take latents of the shape {space.latent.shape} "
            f"({str(error).splitlines()[0]}); choose another task or codec"
        ) from None
    if found != tuple(measurement.target.shape):
        raise MisfitError(
            f"the task measures {found[1:]} values of a sound, but its target has "
            f"{tuple(measurement.target.shape)[1:]}; both have to be of the same length of audio"
        )
