"""network + objective = D(x, sigma, condition), with the evaluations counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kernel.kinds.backbone import NetworkModule
from kernel.kinds.objective import Objective
from kernel.values import Condition, Network

if TYPE_CHECKING:
    from torch import Tensor


class Denoiser:
    """The innermost GuidedDenoise: what the runner hands to guidances and solvers.

    `evaluations` counts network calls, `items` the batch items in them (a guidance may batch two
    branches into one call). What `prepare` makes of a condition is kept for as long as the denoiser
    lives, so that a condition passed as the same object is prepared once. `gradients` counts the
    backward passes through its results.
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
        self.gradients = 0

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return D(x, sigma, condition). x, result: [B, C, *S]."""
        self.evaluations += 1
        self.items += x.shape[0]
        estimate = self._objective.denoise(
            self._network, x, sigma, self._prepare(condition), condition.origin
        )
        if estimate.requires_grad:
            estimate.register_hook(self._count)  # type: ignore[no-untyped-call]
        return estimate

    def _count(self, gradient: Tensor) -> None:
        self.gradients += 1

    def _prepare(self, condition: Condition) -> Any:
        # The condition is kept beside its cache: an id is only unique while its object lives.
        key = id(condition)
        if key not in self._prepared:
            self._prepared[key] = (condition, self._module.prepare(condition))
        return self._prepared[key][1]


class Routed:
    """A GuidedDenoise that evaluates every item of a batch with the model it asks for.

    names: the model of each item, None for that of the run.
    """

    def __init__(
        self, names: Sequence[str | None], denoiser: Callable[[str | None], Denoiser]
    ) -> None:
        self._names = names
        self._make = denoiser
        self._denoisers: dict[str | None, Denoiser] = {}
        self._parts: dict[tuple[int, str], tuple[Condition, Condition, Tensor]] = {}

    @property
    def evaluations(self) -> int:
        """Return how many calls were made of all networks together."""
        return sum(each.evaluations for each in self._denoisers.values())

    @property
    def gradients(self) -> int:
        """Return how many backward passes were made through them."""
        return sum(each.gradients for each in self._denoisers.values())

    @property
    def items(self) -> int:
        """Return how many batch items they evaluated."""
        return sum(each.items for each in self._denoisers.values())

    def model(self, name: str | None) -> Denoiser:
        """Return the denoiser of one model, whatever the items ask for."""
        if name not in self._denoisers:
            self._denoisers[name] = self._make(name)
        return self._denoisers[name]

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return D(x, sigma, condition). x, result: [B, C, *S].

        A batch may hold the items several times over, one repetition after another.
        """
        kinds = sorted({name or "" for name in self._names})
        if len(kinds) == 1:
            return self.model(kinds[0] or None)(x, sigma, condition)
        result = x.new_zeros(x.shape)
        for kind in kinds:
            part, rows = self._part(condition, kind, x)
            result = result.index_copy(0, rows, self.model(kind or None)(x[rows], sigma, part))
        return result

    def _part(self, condition: Condition, kind: str, x: Tensor) -> tuple[Condition, Tensor]:
        """Return the condition of the items of one model, and which they are."""
        # The condition is kept beside its part: an id is only unique while its object lives.
        key = (id(condition), kind)
        if key not in self._parts:
            wanted = [name or "" for name in self._names] * (len(x) // len(self._names))
            rows = x.new_tensor([row for row, name in enumerate(wanted) if name == kind]).long()
            self._parts[key] = (condition, condition.map(lambda each: each[rows]), rows)
        return self._parts[key][1:]
