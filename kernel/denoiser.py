"""network + objective = D(x, sigma, condition), with the evaluations counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import torch
from torch import Tensor
from torch.nn.functional import pad

from kernel.errors import MisfitError
from kernel.kinds.backbone import Backbone, NetworkModule
from kernel.kinds.objective import Objective
from kernel.values import Condition, Network, Prepared


def prepare(
    module: NetworkModule, condition: Condition, backbone: Backbone | None = None
) -> Prepared:
    """Return what the module of a backbone makes of a condition, with the origin to go on with.

    Raises MisfitError when the backbone cannot mask and the items have unequal lengths.
    """
    if backbone is not None and not backbone.masks:
        valid, mask = condition.valid, condition.mask
        padded = valid is not None and not bool(valid.all())
        # A mask that is false throughout belongs to the null condition.
        ragged = mask is not None and bool((mask.ne(0).any(1) & mask.eq(0).any(1)).any())
        if padded or ragged:
            raise MisfitError(
                f"the backbone {type(backbone).__name__} cannot mask, and items of unequal lengths "
                f"are padded; choose a backbone that masks, or items and prompts of one length"
            )
        condition = attrs.evolve(condition, valid=None)
    return Prepared.of(module.prepare(condition), condition)


def leveled(network: Network, backbone: Backbone | None) -> Network:
    """Return a network of c_noise [B]: the second time of a network that takes two is 0."""
    if backbone is None or "two-times" not in backbone.offers:
        return network

    def evaluate(x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        return network(x, pad(c_noise[:, None], (0, 1)), condition)

    return evaluate


class Denoiser:
    """The innermost GuidedDenoise, which the runner hands to guidances and solvers.

    `evaluations` counts network calls, `items` the batch items in them (a guidance may batch two
    branches into one call). What `prepare` makes of a condition is kept for as long as that object
    lives, so that it is prepared once. `gradients` counts the backward passes through its results.
    """

    def __init__(
        self,
        objective: Objective,
        module: NetworkModule,
        network: Network | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        self._objective = objective
        self._module = module
        self._network = leveled(network or module.forward, backbone)
        self._backbone = backbone
        self._prepared: WeakKeyDictionary[Condition, Prepared] = WeakKeyDictionary()
        self.evaluations = 0
        self.items = 0
        self.gradients = 0

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return D(x, sigma, condition). x, result: [B, C, *S]."""
        self.evaluations += 1
        self.items += x.shape[0]
        prepared = self._prepare(condition)
        # All branches of a run are of one process: that which it was settled to start from.
        origin = prepared.origin if condition.moved is None else condition.moved
        estimate = self._objective.denoise(self._network, x, sigma, prepared.tree, origin)
        if estimate.requires_grad:
            estimate.register_hook(self._count)  # type: ignore[no-untyped-call]
        return estimate

    def settled(self, condition: Condition) -> Condition:
        """Return the condition with the origin that `prepare` moved, where it did."""
        prepared = self._prepare(condition)
        if prepared.origin is condition.origin:
            return condition
        moved = attrs.evolve(condition, moved=prepared.origin)
        self._prepared[moved] = prepared
        return moved

    def _count(self, gradient: Tensor) -> None:
        self.gradients += 1

    def _prepare(self, condition: Condition) -> Prepared:
        prepared = self._prepared.get(condition)
        if prepared is None:
            prepared = prepare(self._module, condition, self._backbone)
            self._prepared[condition] = prepared
        return prepared


class Routed:
    """A GuidedDenoise that evaluates every item of a batch with the model it asks for.

    names: the model of each item, None for that of the run. `denoisers` has those that were used.
    """

    def __init__(
        self, names: Sequence[str | None], denoiser: Callable[[str | None], Denoiser]
    ) -> None:
        self._names = names
        self._asked = list(dict.fromkeys(names))
        self._make = denoiser
        self.denoisers: dict[str | None, Denoiser] = {}
        self._parts: WeakKeyDictionary[Condition, dict[str | None, tuple[Condition, Tensor]]]
        self._parts = WeakKeyDictionary()

    def model(self, name: str | None) -> Denoiser:
        """Return the denoiser of one model, whatever the items ask for."""
        if name not in self.denoisers:
            self.denoisers[name] = self._make(name)
        return self.denoisers[name]

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return D(x, sigma, condition). x, result: [B, C, *S].

        A batch may hold the items several times over, one repetition after another.
        """
        if len(self._asked) == 1:
            return self.model(self._asked[0])(x, sigma, condition)
        result = x.new_zeros(x.shape)
        for name in self._asked:
            part, rows = self._part(condition, name, x)
            result = result.index_copy(0, rows, self.model(name)(x[rows], sigma, part))
        return result

    def settled(self, condition: Condition, x: Tensor) -> Condition:
        """Return the condition with the origins that the items' models moved. x: [B, C, *S]."""
        if len(self._asked) == 1:
            return self.model(self._asked[0]).settled(condition)
        moved = x.new_zeros(x.shape) if condition.origin is None else condition.origin
        moves = False
        for name in self._asked:
            part, rows = self._part(condition, name, x)
            own = self.model(name).settled(part).moved
            if own is not None:
                moved, moves = moved.index_copy(0, rows, own), True
        return attrs.evolve(condition, moved=moved) if moves else condition

    def _part(self, condition: Condition, name: str | None, x: Tensor) -> tuple[Condition, Tensor]:
        """Return the condition of the items of one model, and which they are."""
        parts = self._parts.setdefault(condition, {})
        if name not in parts:
            asked = [each == name for each in self._names] * (len(x) // len(self._names))
            rows = torch.tensor(asked).nonzero().flatten().to(x.device)
            parts[name] = (condition.map(lambda each: each[rows]), rows)
        return parts[name]
