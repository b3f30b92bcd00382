"""What it means that one of our solvers is a sampler elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch

from kernel import Solver
from peers import problem, stored

OWN = "its own"

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
"""How far samples may be apart, relative to their length."""


CAUTION = ("leap_ratio", "noise_limit")


def bold(solver: Solver) -> Solver:
    """Return the solver as others have it: it takes a long step as it does any other."""
    off = {name: None for name in CAUTION if name in type(solver).model_fields}
    return solver.model_copy(update=off)


@attrs.frozen
class Case:
    """One solver, without CAUTION, beside one sampler.

    `library` is `diffusers`, `k-diffusion` or the name of a file of stored states, and `name` with
    `options` what is called there. `grid` is one of `problem.GRIDS`, or the sampler's own; `parts`
    says into how many each step is cut for a sampler that takes its inner nodes from the grid.
    Samplers without a step to sigma 0 are compared at the last sigma above it (`to_zero` false).

    `differs` is the measured relative difference where the two are not meant to be equal, NaN
    where the sampler returns that; `reason` says why.
    """

    solver: Solver = attrs.field(converter=bold)
    library: str
    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    grid: str = "edm, 12 steps"
    parts: int = 1
    to_zero: bool = True
    differs: float | None = None
    reason: str = ""

    @property
    def ours(self) -> str:
        """Return the solver's name and the options that are not its defaults."""
        changed = {
            key: value
            for key, value in self.solver
            if value != type(self.solver).model_fields[key].default and key not in CAUTION
        }
        return spelled(type(self.solver).__module__.rpartition(".")[2].replace("_", "-"), changed)

    @property
    def theirs(self) -> str:
        """Return the sampler's name and the options that it was given."""
        return spelled(self.name, self.options)

    @property
    def stored(self) -> bool:
        """Return whether the sampler's states are on file, so that no library is needed."""
        return self.library not in ("diffusers", "k-diffusion")

    def measure(self, dtype: torch.dtype) -> float:
        """Return the relative difference of the two samples."""
        sigmas = problem.rounded(self._sigmas(), dtype)
        given = sigmas if self.parts == 1 else problem.refined(sigmas, self.parts)
        given = given if self.to_zero else given[:-1]
        if self.stored:
            theirs = stored.final(self.library, self.name)
        elif self.library == "diffusers":
            from peers import diffusers

            theirs = diffusers.final(self.name, self.options, given, dtype)
        else:
            from peers import k_diffusion

            theirs = k_diffusion.final(self.name, self.options, given, dtype)
        reached = problem.states(self.solver, sigmas, dtype)
        return problem.difference(reached[-1 if self.to_zero else -2], theirs)

    def _sigmas(self) -> Sequence[float]:
        if self.grid != OWN:
            return problem.GRIDS[self.grid]
        if self.stored:
            return stored.sigmas(self.library, self.name)
        from peers import diffusers

        return diffusers.grid(self.name, 12)

    def holds(self, found: float, dtype: torch.dtype) -> bool:
        """Return whether a measured difference is the promised one, a known one within a third."""
        if self.differs is None:
            return found <= BOUNDS[dtype]
        if math.isnan(self.differs):
            return math.isnan(found)
        tolerance = self.differs / 3 + (0 if dtype == torch.float64 else BOUNDS[dtype])
        return abs(found - self.differs) <= tolerance


def spelled(name: str, options: Mapping[str, Any]) -> str:
    shown = (
        f"{key}={value:.4g}" if type(value) is float else f"{key}={value}"
        for key, value in options.items()
    )
    return " ".join([name, *shown])
