"""The commands that plugins offer: listed without importing them, imported when they are called."""

from __future__ import annotations

from collections.abc import Mapping

import click

from kernel.errors import UsageError, did_you_mean
from kernel.registry import PluginInfo, Registry, first_line


def listing(registry: Registry, own: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return each distribution's commands: their names, and the first lines of their modules.

    The line is read from the module's docstring; nothing of the module is run.
    """
    offered: dict[str, list[tuple[str, str]]] = {}
    for info in registry.plugins:
        if info.kind == "command" and info.name not in own:
            line = first_line(info.target) or f"`kernel {info.name} --help` explains it."
            offered.setdefault(info.distribution, []).append((info.name, line))
    return dict(sorted(offered.items()))


def find(registry: Registry, name: str, own: Mapping[str, str]) -> click.Command:
    """Import the command that `name` stands for: NAME or [command.]NAME@DISTRIBUTION.

    Raises PluginError for one that is broken, UsageError for one that is not there, that several
    distributions offer, or that is called as one of our `own`.
    """
    try:
        matches = registry.find(name, "command")
    except UsageError:
        matches = []
    if not matches:
        raise UsageError(_unknown(registry, name, own))
    info = registry.pick(name, "command")
    if info.name in own:
        raise UsageError(_shadow(info))
    from kernel._load import build_command

    return build_command(info)


def shadowed(registry: Registry, own: Mapping[str, str]) -> list[str]:
    """Return a sentence for each command that is called as one of our `own`."""
    commands = [info for info in registry.plugins if info.kind == "command" and info.name in own]
    return [_shadow(info) for info in commands]


def _shadow(info: PluginInfo) -> str:
    return (
        f"{info.spelling} of {info.distribution} {info.version} is never called, because "
        f"kernel-audio has a command {info.name!r} of its own; its author has to rename it"
    )


def _unknown(registry: Registry, name: str, own: Mapping[str, str]) -> str:
    from kernel.api import absent

    if sentence := absent(name):
        return sentence
    names = [info.name for info in registry.plugins if info.kind == "command"]
    near = did_you_mean(name, [*own, *names]) or "; `kernel --help` lists them"
    return f"there is no command {name!r}{near}"
