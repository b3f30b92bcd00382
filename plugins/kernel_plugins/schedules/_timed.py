"""The base of the schedules whose grid and draws follow the native time of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from kernel import NativePath
from kernel_plugins.mathematics._process import Process
from kernel_plugins.schedules._curve import Curve, rising

__all__ = ["Timed"]


class Timed(Curve):
    """Sample at equal steps of t from `t_max` to `t_min`, and train where t is uniform.

    The process is the objective's, if both have the same one; else it is `standard`, with its
    numbers replaced by the options that are set.
    """

    standard: ClassVar[Process]

    _rising = rising("t_min", "t_max")

    if TYPE_CHECKING:

        @property
        def t_min(self) -> float:
            """Return the smallest time."""

        @property
        def t_max(self) -> float:
            """Return the largest time."""

    @property
    def path(self) -> NativePath:
        """Return the process."""
        return self.adopted or self.own

    @property
    def own(self) -> Any:
        """Return the process of the options."""
        options = {name: getattr(self, name, None) for name in self.standard.numbers}
        given = {name: number for name, number in options.items() if number is not None}
        return attrs.evolve(self.standard, **given)

    @property
    def sigma_min(self) -> float:
        """Return the sigma at t_min."""
        return float(self.path.sigma(self.t_min))

    @property
    def sigma_max(self) -> float:
        """Return the sigma at t_max."""
        return float(self.path.sigma(self.t_max))

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        return self.path.sigma(self.t_max + part * (self.t_min - self.t_max))
