"""A comparison from Python: what `kernel compare` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kernel.api import settled
from kernel.assembly import assemble
from kernel.config import RunConfig, load
from kernel.errors import InputError, KernelError, UsageError
from kernel.registry import Registry, Selection
from kernel.runner.libraries import check_pair
from kernel_audio_compare.grid import Converged, Job, Scoring, planned

__all__ = ["Comparison", "compare"]

STATES = ("done", "failed", "missing")


@attrs.frozen
class Comparison:
    """A grid that was worked on: its folder, and the record that `comparison.json` there holds."""

    folder: Path
    record: dict[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what has to be known beside the figures."""
        said = [group["note"] for group in self.record["groups"] if group["note"]]
        return (*self.record["warnings"], *dict.fromkeys(said))

    @property
    def told(self) -> str:
        """Return how many cells there are and what they took, in one line."""
        cells = self.record["cells"]
        count = {word: sum(cell["status"] == word for cell in cells) for word in STATES}
        seconds = sum(cell.get("seconds", 0.0) for cell in cells)
        parts = [
            f"{count['done']} of {len(cells)} cells in {self.folder}, {seconds:.1f} s of sampling"
        ]
        if count["failed"]:
            parts.append(f"{count['failed']} failed (--retry makes them again)")
        if count["missing"]:
            parts.append(f"{count['missing']} are being made by other processes")
        return "; ".join(parts)


def compare(
    over: Mapping[str, Sequence[Any]],
    out: str | Path,
    plugins: Sequence[str] = (),
    *,
    options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    metrics: Sequence[str] = (),
    reference: str | Path | None = None,
    converged: int = 128,
    converged_solver: str = "unipc",
    converged_count: int = 10,
    retry: bool = False,
    telling: Callable[[int, int, Job], object] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Comparison:
    """Make a run of every combination of values into the folder `out`, and measure them.

    over: axis to values, such as `{"solver": ["euler", "heun"], "steps": [8, 16]}`; an axis is a
    setting of RunConfig, a kind or an option KIND.OPTION. A second call with the same grid goes on
    with what is there, as other processes may do at the same time. metrics: score every cell once
    it is made, beside those of `plugins`; reference: their folder of reference sounds. converged:
    steps of the run that distances are measured to, by `converged_solver`, on the first
    `converged_count` sounds; 0 for none. retry: make cells again that failed. telling: called
    before each run with the number of runs that are there, that of all, and the run. Everything
    else is as for `kernel.run`.

    Raises KernelError for a grid that cannot be; a cell that fails is marked in the record.
    """
    registry = registry or Registry.scan()
    given = dict(options or {})
    own = {key: given.pop(key) for key in list(given) if metrics and key.startswith("metric.")}
    if converged and converged < 4:
        raise UsageError("a converged run takes 4 steps or more; 0 makes none")
    if reference is not None and not metrics:
        raise UsageError("a reference is for the metrics of --metrics; name them, e.g. frechet")
    asked = settled(
        RunConfig,
        registry,
        None if config is None else Path(config),
        None,
        settings | {"plugins": tuple(plugins) or None},
        given,
    )
    reference = None if reference is None else Path(reference)
    scoring = Scoring(tuple(metrics), reference, own)
    _check(scoring, registry.preferring(asked.prefer))
    aim = Converged(converged_solver, converged, converged_count) if converged else None
    grid = planned(asked, over, Path(out), registry.preferring(asked.prefer), scoring, aim)
    check_pair()
    from kernel.runner.device import Machine
    from kernel_audio_compare.report import written
    from kernel_audio_compare.work import fill, held

    for cell in grid.cells:
        Machine.choose(cell.config, cell.config.cuda_graph)
    grid.open()
    if retry:
        for job in grid.jobs:
            job.failed.unlink(missing_ok=True)
    fill(grid, registry.preferring(asked.prefer), telling or (lambda done, count, job: None))
    # The last process to end writes of all cells: none reads before another has written.
    with held(grid.claim("report"), "being measured", patience=60):
        record = written(grid)
    if all(cell["status"] == "failed" for cell in record["cells"]):
        raise KernelError(f"every cell of {grid.folder} failed: {record['cells'][0]['sentence']}")
    return Comparison(grid.folder, record)


def _check(scoring: Scoring, registry: Registry) -> None:
    """Raise KernelError for metrics that cannot be, or that lack what they compare with."""
    if not scoring.metrics:
        return
    config = load(RunConfig, None, {}, scoring.options)
    picked = tuple(registry.pick(name, "metric") for name in dict.fromkeys(scoring.metrics))
    assembly, _ = assemble(registry, Selection(picked), ("encoder", "metric"), config.options)
    folder = scoring.reference
    assembly.check(frozenset() if folder is None else frozenset({"reference", "references"}))
    if folder is not None and not any(folder.glob("*")):
        raise InputError(f"there is no sound in {folder}; name a folder of reference sounds")
