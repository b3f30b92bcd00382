"""The base of every component: a frozen pydantic model whose fields are its options.

Every component speaks one language, the variance-exploding coordinates

    x = x0 + sigma n,  n ~ N(0, I),          D(x, sigma, condition) -> estimate of x0,

in which the probability-flow ODE is `dx/dsigma = (x - D) / sigma` (Karras et al. 2022, eq. 1 with
s(t) = 1, sigma(t) = t). Any other process is an invertible change of variables inside an objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import pluggy
from pydantic import BaseModel, ConfigDict

PROJECT = "kernel"
"""The word that marks our hooks; each kind specifies its own, in its file.

An implementation takes the `name` it is asked for, or leaves the argument out when its module
offers only one component of that kind.
"""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Component(BaseModel):
    """A part of a model or a run; its fields are its options.

    Needs are words that some other selected component must offer before a run starts. The kernel
    knows `gradient`, `measurement`, `null-condition`, `origin`, `path` and `reference`; plugins may
    coin more.
    """

    # The command line reads a label such as 7 as a number.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    kind: ClassVar[str]

    accumulates: ClassVar[bool] = False
    """Whether several plugins of the kind may be selected at once."""

    added: ClassVar[bool] = False
    """Whether what is recommended of the kind is taken beside what the user names of it."""

    assembled: ClassVar[bool] = True
    """Whether the kind is part of a run or a training, and so may be named with `--plugins`."""

    played: ClassVar[bool] = True
    """Whether a run uses the kind, or a component of it; what is False serves trainings alone.

    A run plays such a component only where the model was trained with it and holds its weights.
    """

    fixed: ClassVar[bool] = False
    """Whether trained weights belong to a component of the kind, so that a model decides it."""

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Plugins, by kind, that are taken where the user names none of that kind.

    The component's own distribution comes first where it offers such a plugin. Of a kind that
    several parts recommend, the part that was named first decides.
    """

    formerly: ClassVar[tuple[str, ...]] = ()
    """Distributions that offered the component before its own took it over.

    A model that was trained with theirs is recommended, and gives its options to, this one.
    """

    changeable: ClassVar[tuple[str, ...]] = ()
    """Options that may differ from those of a training, because no weight depends on them.

    They matter for the kinds that a model decides; other options of those are refused.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {}
    """Checks of the conformance kit that are known to fail, by name, each with the reason.

    One that passes after all is a failure, so that the list stays true.
    """

    def portable(self) -> Self:
        """Return the component without what only this machine has (paths), for a manifest."""
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Return the words that other components must offer."""
        return frozenset()

    @property
    def encoders(self) -> tuple[str, ...]:
        """Return the encoders that it listens with, as its options spell them.

        Each is `[encoder.]NAME[@DISTRIBUTION]`, selected as if the user had named it.
        """
        return ()

    @property
    def offers(self) -> frozenset[str]:
        """Return the words that this component offers to others."""
        return frozenset()
