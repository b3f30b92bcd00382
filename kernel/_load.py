"""Imports one plugin and gets its component out of it; every failure has an owner."""

from __future__ import annotations

import traceback
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import pluggy

from kernel import components, hookspecs
from kernel.errors import PluginError, did_you_mean
from kernel.locate import locate

if TYPE_CHECKING:
    from kernel.components import Component
    from kernel.registry import PluginInfo

__all__ = ["load"]


def load(info: PluginInfo) -> type[Component]:
    """Return the component class that a plugin offers. Raises PluginError, whatever it does."""
    module = _import(info)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, info.qualified)
    except pluggy.PluginValidationError as error:
        _fail(info, f"its hook does not match the specification ({_line(error)})", error)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        _fail(info, _unknown_hook(manager, module), error)
    callers = {caller.name for caller in manager.get_hookcallers(module) or ()}
    if info.kind not in callers:
        _fail(info, f"its module has no hook implementation called {info.kind!r}")
    try:
        offers = getattr(manager.hook, info.kind)(name=info.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _fail(info, f"its hook {info.kind!r} raised {_cause(error)}", error)
    if not offers:
        _fail(info, f"its hook {info.kind!r} returned None for the name {info.name!r}")
    return _checked(info, offers[0])


def _import(info: PluginInfo) -> ModuleType:
    try:
        return import_module(info.target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit
        _fail(info, f"importing {info.target} raised {_cause(error)}", error)


def _checked(info: PluginInfo, offer: object) -> type[Component]:
    base = getattr(components, info.kind.capitalize())
    if not isinstance(offer, type) or not issubclass(offer, base):
        what = f"{offer!r:.80}, which is not a subclass of kernel.{base.__name__}"
        _fail(info, f"its hook {info.kind!r} returned {what}")
    if not (offer.__doc__ or "").strip():
        _fail(info, f"its class {offer.__name__} has no docstring")
    return offer


def _unknown_hook(manager: pluggy.PluginManager, module: ModuleType) -> str:
    callers = manager.get_hookcallers(module) or ()
    unknown = sorted(caller.name for caller in callers if not caller.has_spec())
    known = [name for name in dir(hookspecs) if hasattr(getattr(hookspecs, name), "kernel_spec")]
    hints = did_you_mean(unknown[0], known) or f"; the hooks are {', '.join(sorted(known))}"
    return f"there is no hook {', '.join(map(repr, unknown))}{hints.removesuffix('?')}"


def _cause(error: BaseException) -> str:
    message = _line(error)
    return type(error).__name__ + (f": {message}" if message else "") + _where(error)


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename not in _OURS
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


_OURS = {__file__, import_module.__globals__["__file__"]}


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _fail(info: PluginInfo, what: str, cause: BaseException | None = None) -> NoReturn:
    place = locate(info.target) or info.target
    raise PluginError(
        f"{info.spelling} of {info.distribution} {info.version} ({place}) cannot be used: {what}; "
        f"`kernel check {info.spelling}` says more, and leaving it out or reinstalling "
        f"{info.distribution} may help"
    ) from cause
