"""The markers of hooks; every kind of plugin specifies its own hook, in its file in `kernel.kinds`.

A hook implementation takes the `name` it is asked for, or leaves the argument out when its module
offers only one component of that kind.
"""

from __future__ import annotations

import pluggy

PROJECT = "kernel"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
