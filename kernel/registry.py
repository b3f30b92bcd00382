"""Installed and selected plugins, their places, and the way from a name to a class.

Three stages: `Registry.scan` reads metadata and imports nothing, `select` turns spellings into a
`Selection`, and `load` imports the plugins that were selected, one at a time. The records here are
named tuples, because every listing waits for this module and attrs would double its import.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

import kernel
from kernel._scan import Installed, canonical, content, installed
from kernel.errors import UsageError, did_you_mean
from kernel.kinds import KINDS, accumulates, training_kinds

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path

    from kernel.kinds._component import Component

__all__ = ["INSTALL_HINT", "PluginInfo", "Registry", "Selection", "first_line", "locate"]

INSTALL_HINT = (
    "`pip install` a distribution of plugins into this environment "
    f"(they register in the entry-point group 'kernel.v{kernel.API}')"
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MODULE = re.compile(r"\w+(\.\w+)*")
_DOCSTRING = re.compile(r'"""(.+?)("""|\r?\n)')
_APART = {
    "command": "; type `kernel {}`",
    "importer": "; type `kernel import FILE --as {}`",
    "model": "; select it with --model {}",
}
"""How to use a plugin of a kind that no run is assembled from."""


class PluginInfo(NamedTuple):
    """One entry point: its kind and name, its distribution, and the module it points at."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    api: int = kernel.API

    @property
    def spelling(self) -> str:
        """Return KIND.NAME."""
        return f"{self.kind}.{self.name}"

    @property
    def qualified(self) -> str:
        """Return KIND.NAME@DISTRIBUTION."""
        return f"{self.spelling}@{self.distribution}"


class Selection(NamedTuple):
    """The selected plugins in the order of naming; `replaced` holds (old, new) pairs."""

    plugins: tuple[PluginInfo, ...] = ()
    replaced: tuple[tuple[PluginInfo, PluginInfo], ...] = ()

    def of(self, kind: str) -> tuple[PluginInfo, ...]:
        """Return what was selected of a kind: at most one, unless the kind accumulates."""
        return tuple(info for info in self.plugins if info.kind == kind)

    def plus(self, more: Iterable[PluginInfo]) -> Selection:
        """Return the selection with more plugins after its own."""
        return self._replace(plugins=(*self.plugins, *more))


class Registry(NamedTuple):
    """Everything that is installed for us, sorted.

    foreign: plugins for another major version of the plugin API, never loaded. problems: one
    sentence for each entry that cannot be used. prefer: `KIND.NAME` to the distribution that wins.
    """

    plugins: tuple[PluginInfo, ...] = ()
    foreign: tuple[PluginInfo, ...] = ()
    problems: tuple[str, ...] = ()
    prefer: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def scan(
        cls, prefer: Mapping[str, str] | None = None, path: Sequence[str] | None = None
    ) -> Self:
        """Read the metadata of everything on `path` (default: `sys.path`), importing none of it."""
        owners: dict[str, Installed] = {}
        plugins: set[PluginInfo] = set()
        problems: set[str] = set()
        for found in installed(path):
            owner = owners.setdefault(found.distribution, found)
            if owner[:2] + owner[3:] != found[:2] + found[3:]:
                problems.add(
                    f"{found.distribution} is installed twice, {owner.version} in {owner.place} "
                    f"and {found.version} in {found.place}: the first is used; uninstall it until "
                    "it is gone, then install it again"
                )
        for found in owners.values():
            if found.doubt:
                problems.add(
                    f"the entry points of {found.distribution} {found.version} in {found.place} "
                    f"are malformed ({found.doubt}); reinstall it"
                )
            for api, entry, target in found.entries:
                kind, _, name = entry.partition(".")
                info = PluginInfo(kind, name, found.distribution, found.version, target, api)
                if wrong := _wrong(info):
                    problems.add(
                        f"the entry point {entry!r:.80} of {info.distribution} {info.version} "
                        f"{wrong}"
                    )
                else:
                    plugins.add(info)
        ordered = sorted(plugins)
        return cls(
            tuple(info for info in ordered if info.api == kernel.API),
            tuple(info for info in ordered if info.api != kernel.API),
            tuple(sorted(problems)),
            {spelling: canonical(owner) for spelling, owner in sorted((prefer or {}).items())},
        )

    def preferring(self, prefer: Mapping[str, str]) -> Self:
        """Return the registry with other preferences, which come before its own."""
        more = {spelling: canonical(owner) for spelling, owner in sorted(prefer.items())}
        return self._replace(prefer={**self.prefer, **more})

    def find(self, spelling: str, kind: str | None = None) -> list[PluginInfo]:
        """Return every plugin that `[KIND.]NAME[@DISTRIBUTION]` may mean, of any or of one kind."""
        return _parse(spelling, kind).among(self.plugins)

    def pick(self, spelling: str, kind: str) -> PluginInfo:
        """Return the one plugin of a kind that is meant. Raises UsageError as `select` does."""
        self._check_prefer()
        return self._resolve(_parse(spelling, kind), self.find(spelling, kind))[0]

    def select(self, spellings: Iterable[str]) -> Selection:
        """Return what the spellings, each `[KIND.]NAME[@DISTRIBUTION]`, stand for.

        A bare name takes every kind that a training is assembled from and that one distribution
        offers under it. A later plugin replaces an earlier one of its kind; guidances, metrics and
        observers accumulate. Raises UsageError for a name that is unknown, or that two
        distributions offer while no preference settles it.
        """
        self._check_prefer()
        taken: dict[tuple[str, str], PluginInfo] = {}
        replaced: list[tuple[PluginInfo, PluginInfo]] = []
        for spelling in spellings:
            wanted, matches = _parse(spelling, None), self.find(spelling)
            parts = [info for info in matches if info.kind in training_kinds()]
            apart = wanted.kind or (matches and not parts and matches[0].kind)
            if apart and apart not in training_kinds():
                hint = _APART.get(apart, "").format(wanted.name)
                raise UsageError(f"{wanted.name!r} is a {apart} and not a plugin to combine{hint}")
            for info in self._resolve(wanted, parts):
                key = (info.kind, info.name if accumulates(info.kind) else "")
                old = taken.get(key, info)
                if old != info:
                    replaced.append((old, info))
                taken[key] = info
        return Selection(tuple(taken.values()), tuple(replaced))

    def load(self, info: PluginInfo) -> type[Component]:
        """Import a plugin and return its component class. Raises PluginError whatever it does."""
        from kernel._load import Hooks

        return Hooks().load(info)

    def _resolve(self, wanted: _Spelling, matches: list[PluginInfo]) -> list[PluginInfo]:
        if not matches:
            raise self.unknown(wanted.text, wanted.kind)
        settled = [info for info in matches if self.prefer.get(info.spelling) == info.distribution]
        kinds = {info.kind for info in settled}
        rest = [info for info in matches if info.kind not in kinds]
        if len({info.distribution for info in rest}) > 1:
            counts = Counter(info.spelling for info in rest)
            # Where none is offered twice, the name stands for parts of two distributions.
            several = [info for info in rest if counts[info.spelling] > 1] or rest
            lines = " or ".join(f'"{info.spelling}" = "{info.distribution}"' for info in several)
            raise UsageError(
                f"more than one distribution offers {wanted.text!r}: {_names(several)}; "
                f"use one of these spellings, or settle it for good with the line {lines} under "
                "[prefer] in the configuration file"
            )
        return sorted(settled + rest, key=lambda info: KINDS.index(info.kind))

    def unknown(self, spelling: str, kind: str | None = None) -> UsageError:
        """Return the error for a spelling that `find` finds nothing for, with near misses."""
        wanted = _parse(spelling, kind)
        what = f"there is no {wanted.kind or 'plugin'} {wanted.name!r}"
        if wanted.distribution:
            what += f" in the distribution {wanted.distribution!r}"
            if others := wanted._replace(distribution="").among(self.plugins):
                return UsageError(f"{what}; there is {_names(others)}")
        if foreign := wanted.among(self.foreign):
            (_, _, owner, version, _, api), *_ = foreign
            newer = api > kernel.API
            return UsageError(
                f"{what} for this kernel: {owner} {version} offers it for kernel.v{api} and this "
                f"kernel loads kernel.v{kernel.API}; "
                + ("upgrade kernel-audio" if newer else f"install a newer {owner}")
            )
        if told := [each for each in self.problems if f".{wanted.name}' of " in each]:
            return UsageError(f"{what} that can be used: {told[0]}")
        if not self.plugins:
            return UsageError(f"{what}, because no plugins are installed; {INSTALL_HINT}")
        if wanted.kind and (others := wanted._replace(kind="").among(self.plugins)):
            return UsageError(f"{what}; there is {_names(others)}")
        known = [info for info in self.plugins if wanted.kind in ("", info.kind)]
        names = [info.spelling if "." in wanted.name else info.name for info in known]
        near = did_you_mean(wanted.name.lower(), names)
        return UsageError(what + (near or "; `kernel plugins` lists what is installed"))

    def _check_prefer(self) -> None:
        for spelling, distribution in self.prefer.items():
            offers = [info for info in self.plugins if info.spelling == spelling]
            if distribution not in (info.distribution for info in offers):
                near = did_you_mean(spelling, [info.spelling for info in self.plugins])
                raise UsageError(
                    f'[prefer] says "{spelling}" = "{distribution}", and no distribution '
                    f"{distribution!r} that offers {spelling} is installed; install it, or change "
                    "that line" + (f" (there is {_names(offers)})" if offers else near)
                )


class _Spelling(NamedTuple):
    text: str
    kind: str
    name: str
    distribution: str

    def among(self, plugins: Iterable[PluginInfo]) -> list[PluginInfo]:
        return [
            info
            for info in plugins
            if info.name == self.name
            and self.kind in ("", info.kind)
            and self.distribution in ("", info.distribution)
        ]


def _names(plugins: Iterable[PluginInfo]) -> str:
    return ", ".join(info.qualified for info in plugins)


def _parse(spelling: str, kind: str | None) -> _Spelling:
    text = spelling.strip()
    name, at, distribution = text.partition("@")
    first, dot, rest = name.partition(".")
    named = first if dot and first in KINDS else ""
    if not _NAME.fullmatch(rest if named else name) or (at and not distribution):
        raise UsageError(
            f"{spelling!r} is not the name of a plugin; write [KIND.]NAME[@DISTRIBUTION]"
        )
    if kind and named not in ("", kind):
        raise UsageError(f"{text!r} is a {named} where a {kind} is needed; write {kind}.NAME")
    return _Spelling(text, kind or named, rest if named else name, canonical(distribution))


def _wrong(info: PluginInfo) -> str:
    """Return what keeps a plugin for this kernel from being used; "" for any other."""
    if info.api != kernel.API:
        return ""
    if not _NAME.fullmatch(info.name):
        return "is not named KIND.NAME; its author has to rename it"
    if info.kind not in KINDS:
        near = did_you_mean(info.kind, KINDS) or f"; the kinds are {', '.join(KINDS)}"
        return f"has the unknown kind {info.kind!r:.80}{near}"
    if not _MODULE.fullmatch(info.target):
        return f"points at {info.target!r:.80}, which is not the name of a module"
    return ""


def locate(module: str) -> Path | None:
    """Return the folder of a package or the file of a module, or None when neither is on disk.

    A folder without `__init__.py` counts as a package, at any depth.
    """
    from pathlib import Path

    origin, inside = _walk(module)
    found = Path(inside[0] if inside else origin)
    return found if found.is_absolute() and found.exists() else None


def first_line(module: str) -> str | None:
    """Return the first line of a module's docstring, or None where the file does not begin so."""
    text = (content(_walk(module)[0]) or b"")[:400].decode("utf-8", "replace")
    found = _DOCSTRING.match(text)
    return found[1].strip() if found else None


def _walk(module: str) -> tuple[str, list[str]]:
    """Return the file of a module, "" where it has none, and the folders of its submodules."""
    from pathlib import Path

    origin = ""
    places: list[str] | None = None
    parts = module.split(".")
    for depth, part in enumerate(parts, start=1):
        spec = _spec(".".join(parts[:depth]), places)
        if spec is None:
            origin = ""
            places = [str(place) for root in places or () if (place := Path(root, part)).is_dir()]
        else:
            origin, places = spec.origin or "", list(spec.submodule_search_locations or ())
    return origin, places or []


def _spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, places)
        except (AttributeError, ImportError, KeyError):
            # A folder without __init__.py inside a package that is not imported: KeyError.
            continue
        if spec is not None:
            return spec
    return None
