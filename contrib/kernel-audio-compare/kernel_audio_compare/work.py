"""Making the runs of a grid, in one process or in several that share its folder."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel.api import evaluate
from kernel.assembly import Assembly
from kernel.config import RunConfig
from kernel.errors import KernelError, OutputError
from kernel.files import claimed
from kernel.kinds import model_kinds
from kernel.record import write_json
from kernel.registry import Registry
from kernel.runner.libraries import guarded
from kernel.runner.plan import Plan
from kernel.runner.run import execute
from kernel.values import ConditionSpec
from kernel_audio_compare.grid import Cell, Grid, Job

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fill", "finished", "held"]

Tell = Callable[[int, int, Job], object]
"""Called with how many runs there are, of how many, and the one that is made next."""


def fill(grid: Grid, registry: Registry, tell: Tell = lambda done, count, job: None) -> None:
    """Make every run of the grid that is not there and that no other process makes.

    A run that fails is marked with its sentence. Raises OutputError for a place that cannot be
    written, which would be the end of every run. Returns when others make all that is missing.
    """
    shared = Shared()
    moved = True
    while moved:
        moved = False
        for job in grid.jobs:
            if finished(grid, job):
                continue
            with held(grid.claim(job.name), "being made") as mine:
                # Another process may have made it since.
                if not mine or finished(grid, job):
                    continue
                tell(sum(finished(grid, each) for each in grid.jobs), len(grid.jobs), job)
                _make(job, shared)
                _score(grid, job, registry)
                moved = True


def finished(grid: Grid, job: Job) -> bool:
    """Return whether nothing is left to do for a run: it is made, and scored where it should be."""
    if not job.made or not isinstance(job, Cell) or not grid.scoring.metrics:
        return job.made
    return not job.folder.exists() or _scored(grid, job)


@contextmanager
def held(folder: Path, doing: str, patience: float = 0.0) -> Iterator[bool]:
    """Yield whether this process holds the lock of `folder`, which is free when a process dies.

    patience: seconds to wait for another process.
    """
    until = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(claimed(folder, doing))
            except OutputError as error:
                # Only a folder that cannot be written has a cause.
                if error.__cause__ is not None:
                    raise
                if time.monotonic() >= until:
                    yield False
                    return
                time.sleep(0.05)
            else:
                break
        yield True


def _make(job: Job, shared: Shared) -> None:
    if job.made or job.plan is None:
        return
    # A killed process leaves a part of its run; the lock says that it is dead.
    for part in job.place.glob(f".{job.name}.partial-*"):
        shutil.rmtree(part, ignore_errors=True)
    try:
        with guarded():
            execute(job.config, shared.plan(job.config, job.plan), job.folder, job.observers)
    except OutputError:
        # Where a file system has no locks, another process may have made it meanwhile.
        if not job.made:
            raise
    except KernelError as error:
        write_json(job.failed, {"sentence": str(error), "error": type(error).__name__})
    except Exception as error:
        told = {
            "sentence": f"this is a bug in kernel-audio or in a plugin: {error!r:.300}; "
            f"{job.failed.name} holds the lines to report",
            "error": type(error).__name__,
            "traceback": traceback.format_exc(),
        }
        write_json(job.failed, told)


def _score(grid: Grid, job: Job, registry: Registry) -> None:
    scoring = grid.scoring
    if not isinstance(job, Cell) or not scoring.metrics or not job.folder.exists():
        return
    settings = {"options": dict(scoring.options), "device": job.config.device}
    scored = evaluate(
        job.folder,
        scoring.metrics,
        reference=scoring.reference,
        registry=registry,
        **settings,
    )
    place = grid.scores(job)
    place.parent.mkdir(exist_ok=True)
    write_json(place, {"key": scoring.key, "scored": scored})


def _scored(grid: Grid, cell: Cell) -> bool:
    try:
        told: dict[str, Any] = json.loads(grid.scores(cell).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(told.get("key") == grid.scoring.key)


class Shared:
    """Keeps the network that was loaded last, for the next run that is made with its weights."""

    def __init__(self) -> None:
        self._key: str = ""
        self._network: nn.Module | None = None

    def plan(self, config: RunConfig, plan: Plan) -> Plan:
        """Return the plan with an assembly that takes the kept network where it is the same."""
        kinds = (*model_kinds(), "wrapper")
        parts = [
            (each.info, each.component) for each in plan.assembly.parts if each.info.kind in kinds
        ]
        where = (config.device, config.precision, config.compile, config.cuda_graph)
        key = repr((plan.model.folder, where, parts))
        own = plan.assembly
        assembly = _Sharing(own.parts, own.hooks, own.notes, lambda build: self._kept(key, build))
        return attrs.evolve(plan, assembly=assembly)

    def _kept(self, key: str, build: Callable[[], nn.Module]) -> nn.Module:
        if self._network is None or self._key != key:
            self._network = None
            self._key, self._network = key, build()
        return self._network


@attrs.frozen
class _Sharing(Assembly):
    """An assembly whose network may be one that was built before."""

    keep: Callable[[Callable[[], nn.Module]], nn.Module] = attrs.field(
        default=lambda build: build(), eq=False, repr=False
    )

    def build_network(self, condition: ConditionSpec) -> nn.Module:
        """Return the network for the codec's latents, the kept one where there is one."""
        whole = super().build_network
        return self.keep(lambda: whole(condition))
