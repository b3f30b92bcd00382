"""What a plugin may provide: one hook for each kind, named by its noun.

A hook implementation takes the `name` it is asked for, or leaves the argument out when its module
offers only one component of that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from kernel.components import (
        Backbone,
        Codec,
        Guidance,
        Metric,
        Objective,
        Observer,
        Schedule,
        Solver,
        Task,
    )

PROJECT = "kernel"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def objective(name: str) -> type[Objective] | None:
    """Return the objective called `name`, or None when the plugin has no such objective."""


@hookspec
def schedule(name: str) -> type[Schedule] | None:
    """Return the schedule called `name`, or None when the plugin has no such schedule."""


@hookspec
def solver(name: str) -> type[Solver] | None:
    """Return the solver called `name`, or None when the plugin has no such solver."""


@hookspec
def guidance(name: str) -> type[Guidance] | None:
    """Return the guidance called `name`, or None when the plugin has no such guidance."""


@hookspec
def backbone(name: str) -> type[Backbone] | None:
    """Return the backbone called `name`, or None when the plugin has no such backbone."""


@hookspec
def codec(name: str) -> type[Codec] | None:
    """Return the codec called `name`, or None when the plugin has no such codec."""


@hookspec
def task(name: str) -> type[Task] | None:
    """Return the task called `name`, or None when the plugin has no such task."""


@hookspec
def metric(name: str) -> type[Metric] | None:
    """Return the metric called `name`, or None when the plugin has no such metric."""


@hookspec
def observer(name: str) -> type[Observer] | None:
    """Return the observer called `name`, or None when the plugin has no such observer."""
