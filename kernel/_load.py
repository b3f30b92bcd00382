"""Imports plugins and gets their components out of them; every failure has an owner."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from inspect import getattr_static
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import entrypoints
import pluggy
from entrypoints import EntryPoint

from kernel._scan import distribution
from kernel.errors import PluginError, did_you_mean
from kernel.kinds import KINDS, base, specification
from kernel.kinds._component import PROJECT, hookimpl
from kernel.registry import locate

if TYPE_CHECKING:
    import click
    from torch import nn

    from kernel.kinds._component import Component
    from kernel.registry import PluginInfo


class Hooks:
    """The plugin manager of one assembly: every offer and every wrapper in it has an owner."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(specification())
        # The building hooks implement themselves; wrappers stand around them.
        self._manager.register(specification())

    def load(self, info: PluginInfo) -> type[Component]:
        """Return the component class that a plugin offers. Raises PluginError, whatever it does."""
        with owned(info, f"importing {info.target}"):
            entry: Any = EntryPoint(info.name, info.target, None)  # type: ignore[no-untyped-call]
            module = entry.load()
        if not self._manager.is_registered(module):
            self._register(info, module, info.qualified)
        callers = {caller.name for caller in self._manager.get_hookcallers(module) or ()}
        if building := sorted(callers - set(KINDS)):
            _fail(info, f"its module implements {building[0]!r}; only a method of a wrapper may")
        if info.kind not in callers:
            _fail(info, f"its module has no hook implementation called {info.kind!r}")
        others = [plugin for plugin in self._manager.get_plugins() if plugin is not module]
        hook = self._manager.subset_hook_caller(info.kind, others)
        with owned(info, f"its hook {info.kind!r}"):
            offers = hook(name=info.name)
        if not offers:
            _fail(info, f"its hook {info.kind!r} returned None for the name {info.name!r}")
        offer, wanted = offers[0], base(info.kind)
        assert wanted is not None
        if not isinstance(offer, type) or not issubclass(offer, wanted):
            what = f"{offer!r:.80}, which is not a subclass of kernel.{wanted.__name__}"
            _fail(info, f"its hook {info.kind!r} returned {what}")
        if not (offer.__doc__ or "").strip():
            _fail(info, f"its class {offer.__name__} has no docstring")
        return offer

    def load_weights(self, kind: str, load: Callable[[nn.Module], nn.Module | None]) -> None:
        """Have `load` called with every module of a kind; it may return another in its place.

        That of a codec is inside all wrappers, that of a network inside those yet to be added.
        """

        @hookimpl(wrapper=True, trylast=kind == "codec")
        def loaded() -> Generator[None, nn.Module, nn.Module]:
            module = yield
            return load(module) or module

        loader = ModuleType(f"weights of the {kind}")
        setattr(loader, f"build_{kind}", loaded)
        self._manager.register(loader, loader.__name__)

    def wrap(self, info: PluginInfo, wrapper: Component) -> None:
        """Put a wrapper around what was added before. Raises PluginError when it wraps wrongly."""
        names = wraps(type(wrapper))
        if not names:
            _fail(info, "its class has no method that is marked @hookimpl(wrapper=True)")
        # Not the component itself: pluggy would read every attribute of it.
        methods = ModuleType(info.qualified)
        for name in names:
            method = getattr(wrapper, name)
            if not getattr(method, f"{PROJECT}_impl")["wrapper"]:
                _fail(info, f"its method {name!r} is not marked @hookimpl(wrapper=True)")
            setattr(methods, name, method)
        self._register(info, methods, f"{info.qualified} as a wrapper")

    def build(self, component: Component, **given: Any) -> Any:
        """Return what a component builds with all wrappers around it."""
        return getattr(self._manager.hook, f"build_{component.kind}")(component=component, **given)

    def _register(self, info: PluginInfo, plugin: ModuleType, name: str) -> None:
        try:
            self._manager.register(plugin, name)
        except pluggy.PluginValidationError as error:
            _fail(info, f"its hook does not match the specification ({_line(error)})", error)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            _fail(info, _unknown_hook(self._manager, plugin), error)


def wraps(component: type[Component]) -> list[str]:
    """Return the names of the hooks that a component's class implements, sorted."""
    return [
        name
        for name in dir(component)
        if hasattr(getattr_static(component, name, None), f"{PROJECT}_impl")
    ]


def build_command(info: PluginInfo) -> click.Command:
    """Return what a plugin of the kind `command` builds. Raises PluginError, whatever it does."""
    import click

    component: Any = Hooks().load(info)
    with owned(info, "its method build()"):
        command = component().build()
    if not isinstance(command, click.Command):
        _fail(info, f"its method build() returned {command!r:.80}, which is not a click.Command")
    return command


@contextmanager
def owned(
    info: PluginInfo, what: str, caught: type[BaseException] = BaseException
) -> Iterator[None]:
    """Run a plugin's code: its errors get an owner, and it cannot end the process.

    What it prints goes to the standard error. Raises PluginError for what is `caught`.
    """
    leave, process = os._exit, os.getpid()

    def end(status: int) -> NoReturn:
        if os.getpid() != process:  # what a plugin forked may end
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = end
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt as error:
        if caught is SystemExit:  # a large network may take long to build
            raise
        raise KeyboardInterrupt(
            f"while {info.spelling} of {info.distribution} {info.version} was loaded; leave it "
            f"out, or let `kernel check {info.spelling}` find out what it waits for"
        ) from error
    except caught as error:
        _fail(info, f"{what} raised {_cause(error)}", error)
    finally:
        os._exit = leave


def _unknown_hook(manager: pluggy.PluginManager, plugin: ModuleType) -> str:
    known = {name for name, caller in vars(manager.hook).items() if caller.has_spec()}
    callers = manager.get_hookcallers(plugin) or ()
    unknown = sorted(caller.name for caller in callers if caller.name not in known)
    hints = did_you_mean(unknown[0], known) or f"; the hooks are {', '.join(sorted(known))}"
    return f"there is no hook {', '.join(map(repr, unknown))}{hints.removesuffix('?')}"


def _cause(error: BaseException) -> str:
    """Return what was raised and where: the last place that is neither ours nor Python's."""
    places = [
        f" at {frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename not in _OURS
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places = [f" at {error.filename}:{error.lineno}"]
    return ": ".join(filter(None, (type(error).__name__, _line(error)))) + "".join(places[-1:])


_OURS = {__file__, entrypoints.__file__, importlib.__file__}


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


def _missing(owner: str) -> list[str]:
    """Return what pip has to be told of what a distribution requires here and is absent, sorted."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = distribution(owner)
    absent = []
    for line in (found and found.requires) or []:
        with suppress(InvalidRequirement):
            requirement = Requirement(line)
            here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if here and distribution(requirement.name) is None:
                requirement.marker = None
                absent.append(str(requirement))
    return sorted(absent)
