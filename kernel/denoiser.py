"""network + objective = D(x, sigma, condition), with the evaluations counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.components import NetworkModule, Objective
from kernel.values import Condition, Network

if TYPE_CHECKING:
    from torch import Tensor


class Denoiser:
    """The innermost GuidedDenoise: what the runner hands to guidances and solvers.

    `evaluations` counts network calls, `items` the batch items in them (a guidance may batch two
    branches into one call). What `prepare` makes of a condition is kept for as long as the denoiser
    lives, so that a condition passed as the same object is prepared once.
    """

    def __init__(
        self, objective: Objective, module: NetworkModule, network: Network | None = None
    ) -> None:
        self._objective = objective
        self._module = module
        self._network: Network = network or module.forward
        self._prepared: dict[int, tuple[Condition, Any]] = {}
        self.evaluations = 0
        self.items = 0

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return D(x, sigma, condition). x, result: [B, C, *S]."""
        self.evaluations += 1
        self.items += x.shape[0]
        return self._objective.denoise(
            self._network, x, sigma, self._prepare(condition), condition.origin
        )

    def _prepare(self, condition: Condition) -> Any:
        # The condition is kept beside its cache: an id is only unique while its object lives.
        key = id(condition)
        if key not in self._prepared:
            self._prepared[key] = (condition, self._module.prepare(condition))
        return self._prepared[key][1]
