"""A grid: its cells and converged runs, planned before anything is computed, and its folder."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from kernel.config import RunConfig
from kernel.errors import InputError, MisfitError, OutputError, UsageError
from kernel.files import CLAIM, output_error
from kernel.kinds.observer import Observer
from kernel.kinds.solver import Solver
from kernel.record import write_json
from kernel.registry import Registry
from kernel.runner.plan import Plan, plan_run
from kernel_audio_compare.axes import Axis, axes_of

__all__ = ["Cell", "Converged", "Grid", "Group", "Job", "Scoring", "planned"]

GRID = "grid.json"
CELLS, CLAIMS, CONVERGED, SCORES = "cells", ".claims", "converged", "scores"

FREE = {"device", "name", "out"}
"""Settings that may differ between the processes of one grid."""


@attrs.frozen
class Converged:
    """How a converged run is made, and how many sounds of a cell are compared with it."""

    solver: str = "unipc"
    steps: int = 128
    count: int = 10


@attrs.frozen
class Scoring:
    """The metrics that every cell is scored with once it is made, and their references."""

    metrics: tuple[str, ...] = ()
    reference: Path | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def key(self) -> dict[str, Any]:
        """Return the facts by which scores on disk are known to be of this scoring."""
        reference = None if self.reference is None else str(self.reference.absolute())
        return {
            "metrics": list(self.metrics),
            "reference": reference,
            "options": json.loads(json.dumps(dict(self.options), default=str)),
        }


@attrs.frozen
class Job:
    """One run of a grid: a cell, or a converged run. `plan` is None where its parts do not fit."""

    name: str
    place: Path
    config: RunConfig
    plan: Plan | None
    misfit: str = ""

    @property
    def folder(self) -> Path:
        """Return the folder of the run, which is there whole or not at all."""
        return self.place / self.name

    @property
    def failed(self) -> Path:
        """Return the file that says why there is no run."""
        return self.place / f"{self.name}.failed.json"

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Return the observers that were named."""
        return self.plan.assembly.observers if self.plan else ()

    @property
    def made(self) -> bool:
        """Return whether the run is there, or cannot be."""
        return self.plan is None or self.failed.exists() or self.folder.exists()


@attrs.frozen
class Cell(Job):
    """One cell of a grid: its number from 1, and its value on every axis."""

    number: int = 0
    values: Mapping[str, Any] = attrs.field(factory=dict)
    group: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes of its plan, but for the parts that the axes put in place of others."""
        if self.plan is None:
            return ()
        pairs = self.plan.selection.replaced
        meant = {f"{new.qualified} replaces {old.qualified}" for old, new in pairs}
        return tuple(note for note in self.plan.notes if note not in meant)

    @property
    def stochastic(self) -> bool:
        """Return whether its solver draws noise, so that its sounds converge to no other."""
        return self.plan is not None and self.plan.assembly.get(Solver).stochastic


@attrs.frozen
class Group:
    """The cells that differ in solver, schedule and steps alone, and what they converge to.

    values: of the other axes. runs: the converged run and that of half its steps; none where no
    cell has a deterministic solver, for the reason of `note`.
    """

    number: int
    values: Mapping[str, Any]
    runs: tuple[Job, ...] = ()
    note: str = ""


@attrs.frozen
class Grid:
    """A planned grid and its folder."""

    folder: Path
    axes: tuple[Axis, ...]
    base: RunConfig
    cells: tuple[Cell, ...]
    groups: tuple[Group, ...]
    scoring: Scoring
    converged: Converged | None

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Return every run: the cells in order, then the converged ones."""
        return (*self.cells, *(run for group in self.groups for run in group.runs))

    @property
    def identity(self) -> dict[str, Any]:
        """Return what another start has to share to go on with the folder."""
        settings = self.base.model_dump(mode="json", exclude=FREE)
        axes = [{"name": axis.name, "values": list(axis.values)} for axis in self.axes]
        told: dict[str, Any] = json.loads(json.dumps({"axes": axes, "settings": settings}))
        return told

    def claim(self, name: str) -> Path:
        """Return the folder by whose lock a process holds a job."""
        return self.folder / CLAIMS / name

    def scores(self, cell: Cell) -> Path:
        """Return the file of a cell's scores."""
        return self.folder / SCORES / f"{cell.name}.json"

    def open(self) -> None:
        """Make the folder, or go on with one of the same grid.

        Raises OutputError for a folder that holds another grid or anything else.
        """
        path = self.folder / GRID
        if not path.exists():
            there = sorted(each.name for each in self.folder.glob("*") if each.name != CLAIM)
            if there and CLAIMS not in there:
                raise OutputError(
                    f"{self.folder} holds {there[0]} and no grid; choose another --out"
                )
            for part in (CELLS, CLAIMS):
                _folder(self.folder / part)
            write_json(path, self.identity)
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}); choose another --out") from None
        if told := _difference(before, self.identity):
            raise OutputError(
                f"{self.folder} holds another grid: {told}; choose another --out, or type what it "
                f"was made with"
            )
        # A folder of a lock that is there already is not removed with the lock.
        for name in ("report", *(job.name for job in self.jobs)):
            _folder(self.claim(name))


def planned(
    base: RunConfig,
    over: Mapping[str, Sequence[Any]],
    folder: Path,
    registry: Registry,
    scoring: Scoring,
    converged: Converged | None,
) -> Grid:
    """Return a grid over the axes, every cell of it planned.

    A cell whose parts do not fit together is marked; it is an error when none fits. Raises
    UsageError or PluginError for an axis, a value or a setting that cannot be.
    """
    axes = axes_of(over, registry)
    base = base.model_copy(update={"out": folder / CELLS, "name": None})
    rows = list(itertools.product(*(axis.values for axis in axes)))
    keys: list[tuple[Any, ...]] = []
    cells: list[Cell] = []
    for number, row in enumerate(rows, start=1):
        config = base
        for axis, value in zip(axes, row, strict=True):
            config = axis.applied(value, config)
        key = tuple(v for axis, v in zip(axes, row, strict=True) if not axis.integrates)
        if key not in keys:
            keys.append(key)
        name = f"{number:0{len(str(len(rows)))}d}-{_slug(row)}"
        config = config.model_copy(update={"name": name})
        values = {axis.name: value for axis, value in zip(axes, row, strict=True)}
        job = attrs.asdict(_job(name, folder / CELLS, config, registry), recurse=False)
        cells.append(Cell(**job, number=number, values=values, group=keys.index(key) + 1))
    if all(cell.misfit for cell in cells):
        raise MisfitError(f"no cell of the grid fits together: {cells[0].misfit}")
    groups = []
    for number in range(1, len(keys) + 1):
        members = [cell for cell in cells if cell.group == number]
        groups.append(_group(number, members, axes, base, folder, registry, converged))
    return Grid(folder, axes, base, tuple(cells), tuple(groups), scoring, converged)


def _group(
    number: int,
    members: Sequence[Cell],
    axes: Sequence[Axis],
    base: RunConfig,
    folder: Path,
    registry: Registry,
    converged: Converged | None,
) -> Group:
    shared = [axis for axis in axes if not axis.integrates]
    values = {axis.name: members[0].values[axis.name] for axis in shared}
    if converged is None:
        return Group(number, values, note="no converged run was asked for")
    if not any(cell.plan and not cell.stochastic for cell in members):
        return Group(number, values, note="its solvers draw noise, so that no sound is converged")
    options = {
        kind: given for kind, given in base.options.items() if kind.split(".")[0] != "solver"
    }
    config = base.model_copy(update={"options": options})
    for axis in shared:
        config = axis.applied(values[axis.name], config)
    solver = registry.pick(converged.solver, "solver").qualified
    plugins = (*config.plugins, solver)
    config = config.model_copy(update={"plugins": plugins, "out": folder / CONVERGED})
    runs: list[Job] = []
    for steps in (converged.steps, converged.steps // 2):
        name = f"{number}-{_slug([converged.solver, steps, converged.count])}"
        changed = config.model_copy(update={"steps": steps, "name": name})
        job = _job(name, folder / CONVERGED, changed, registry)
        if job.plan is None:
            return Group(number, values, note=f"there is no converged run: {job.misfit}")
        if job.plan.assembly.get(Solver).stochastic:
            raise UsageError(
                f"solver {converged.solver!r} draws noise and converges to no sound; name a "
                f"deterministic one with --converged-solver"
            )
        task = job.plan.assembly.task
        # How far it still is from convergence shows on a few sounds.
        wanted = converged.count if not runs else -(-converged.count // 5)
        count = min(wanted, config.count or task.usual_count(config.inputs))
        runs.append(attrs.evolve(job, config=changed.model_copy(update={"count": count})))
    return Group(number, values, tuple(runs))


def _job(name: str, place: Path, config: RunConfig, registry: Registry) -> Job:
    """Return a planned run; observers that nobody named, such as a page, are left out of it."""
    registry = registry.preferring(config.prefer)
    try:
        plan = plan_run(config, registry)
        named = {info.spelling for each in config.plugins for info in registry.find(each)}
        watching = [
            part.info.spelling for part in plan.assembly.parts if part.info.kind == "observer"
        ]
        if idle := [each for each in watching if each not in named]:
            config = config.model_copy(update={"without": (*config.without, *idle)})
            plan = plan_run(config, registry)
    except MisfitError as error:
        return Job(name, place, config, None, str(error))
    return Job(name, place, config, plan)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in a few words the first thing that another grid has otherwise; "" for the same."""
    axes = [
        "; ".join(f"{axis['name']}={','.join(map(str, axis['values']))}" for axis in each["axes"])
        for each in (before, now)
    ]
    if before["axes"] != now["axes"]:
        return f"its axes are {axes[0]}, not {axes[1]}"
    for name, value in now["settings"].items():
        if (old := before["settings"].get(name)) != value:
            return f"its {name} is {old!r}, not {value!r}"
    return ""


def _slug(values: Sequence[Any]) -> str:
    return re.sub(r"[^\w.+-]+", "_", "-".join(map(str, values)))[:80]


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
