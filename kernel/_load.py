"""Imports one plugin and gets its component out of it; every failure has an owner."""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module, metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pluggy

from kernel.errors import PluginError, did_you_mean
from kernel.hooks import PROJECT
from kernel.kinds import base, hook_modules
from kernel.locate import locate

if TYPE_CHECKING:
    import click

    from kernel.kinds._component import Component
    from kernel.registry import PluginInfo

__all__ = ["build_command", "load"]


def load(info: PluginInfo) -> type[Component]:
    """Return the component class that a plugin offers. Raises PluginError, whatever it does."""
    module = _run(info, f"importing {info.target}", lambda: import_module(info.target))
    manager = pluggy.PluginManager(PROJECT)
    for specified in hook_modules():
        manager.add_hookspecs(specified)
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
    hook = getattr(manager.hook, info.kind)
    offers = _run(info, f"its hook {info.kind!r}", lambda: hook(name=info.name))
    if not offers:
        _fail(info, f"its hook {info.kind!r} returned None for the name {info.name!r}")
    return _checked(info, offers[0])


def build_command(info: PluginInfo) -> click.Command:
    """Return what a plugin of the kind `command` builds. Raises PluginError, whatever it does."""
    import click

    component: Any = load(info)
    command = _run(info, "its method build()", lambda: component().build())
    if not isinstance(command, click.Command):
        _fail(info, f"its method build() returned {command!r:.80}, which is not a click.Command")
    return command


def _run(info: PluginInfo, what: str, call: Callable[[], Any]) -> Any:
    """Return what a plugin's code returns; what it prints goes to the standard error."""
    try:
        with redirect_stdout(sys.stderr):
            return call()
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"while {info.spelling} of {info.distribution} {info.version} was loaded; leave it "
            f"out, or let `kernel check {info.spelling}` find out what it waits for"
        ) from error
    except BaseException as error:  # a plugin may call sys.exit
        _fail(info, f"{what} raised {_cause(error)}", error)


def _checked(info: PluginInfo, offer: object) -> type[Component]:
    wanted = base(info.kind)
    assert wanted is not None
    if not isinstance(offer, type) or not issubclass(offer, wanted):
        what = f"{offer!r:.80}, which is not a subclass of kernel.{wanted.__name__}"
        _fail(info, f"its hook {info.kind!r} returned {what}")
    if not (offer.__doc__ or "").strip():
        _fail(info, f"its class {offer.__name__} has no docstring")
    return offer


def _unknown_hook(manager: pluggy.PluginManager, module: ModuleType) -> str:
    callers = manager.get_hookcallers(module) or ()
    unknown = sorted(caller.name for caller in callers if not caller.has_spec())
    known = [
        name
        for specified in hook_modules()
        for name, value in vars(specified).items()
        if hasattr(value, "kernel_spec")
    ]
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
    missing = _missing(info.distribution) if isinstance(cause, ModuleNotFoundError) else []
    remedy = (
        f"`pip install {shlex.join(missing)}` installs what it requires and is not there"
        if missing
        else f"`kernel check {info.spelling}` says more, and leaving it out or reinstalling "
        f"{info.distribution} may help"
    )
    raise PluginError(
        f"{info.spelling} of {info.distribution} {info.version} ({place}) cannot be used: {what}; "
        f"{remedy}"
    ) from cause


def _missing(distribution: str) -> list[str]:
    """Return what a distribution requires in every environment and is not installed, sorted."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    return sorted(line for line in lines if ";" not in line and not _is_installed(line))


def _is_installed(requirement: str) -> bool:
    try:
        metadata.distribution(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
    except metadata.PackageNotFoundError:
        return False
    return True
