"""Measure how near five formulations come to real digits with four solvers, against evaluations.

    python benchmarks/digits/formulations.py --data ../shared/data/fsdd

Two hundred digits a cell, on the schedule and with the guidance that each model recommends: their
Frechet distance to the training recordings in the features of the classifier, how many are heard
right, and their inception score. What was measured is kept in a file, so that the command goes on
where it was interrupted. Takes about half an hour on one core. Writes docs/formulations.png and a
part of docs/formulations.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import torch
from classifier import Ear, labelled, listen, load
from judge import machine
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from measures import frechet, inception, jackknife, wilson
from rich.progress import Progress
from torch import Tensor
from voice import Cells, Voice

from kernel import Solver
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.unipc import UniPC

sys.path.append(str(Path(__file__).resolve().parent.parent / "solvers"))
from error import steps_within
from paths import renew, table
from picture import KEY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formulations.md"
FORMULATIONS = ("ve", "vp", "v", "edm", "rf")
SOLVERS: dict[str, Solver] = {
    "euler": Euler(),
    "heun": Heun(),
    "dpmpp-3m": DpmPP3M(),
    "unipc": UniPC(),
}
BUDGETS = (4, 8, 16, 32)
COUNT, SEED = 200, 2


@attrs.frozen
class Cell:
    """What COUNT digits of a formulation and a solver are worth, made with `nfe` evaluations.

    `distance` and its standard `error` are those to the training recordings, `score` is the
    inception score.
    """

    formulation: str
    solver: str
    budget: int
    nfe: int
    hits: int
    distance: float
    error: float
    score: float


@attrs.frozen(eq=False)
class Judge:
    """The classifier and the features [N, D] of the training recordings, with their digits."""

    ear: Ear
    features: Tensor
    digits: Tensor

    @classmethod
    def of(cls, data: Path) -> Judge:
        """Return the judge that has heard the recordings in `data`."""
        ear = load()
        clips, digits, _ = labelled(data / "train")
        return cls(ear, listen(ear, clips)[1], digits)

    def measure(self, voice: Voice, solver: Solver, steps: int, count: int) -> dict[str, Any]:
        """Return the measured fields of a Cell."""
        spoken = voice.speak(solver, voice.assembly.schedule, steps, count, SEED)
        _, features, chances = listen(self.ear, spoken.clips)
        return {
            "nfe": spoken.nfe,
            "hits": int((chances.argmax(1) == spoken.digits).sum()),
            "distance": frechet(features, self.features),
            "error": jackknife(lambda some: frechet(some, self.features), features),
            "score": inception(chances),
        }

    def yardstick(self, count: int, draws: int = 20) -> float:
        """Return the distance of `count` recordings, drawn alike from each digit, to the rest."""
        generator = torch.Generator().manual_seed(0)
        total = 0.0
        for _ in range(draws):
            order = torch.randperm(len(self.digits), generator=generator)
            chosen = [order[self.digits[order] == digit][: count // 10] for digit in range(10)]
            drawn = torch.zeros(len(self.digits), dtype=torch.bool)
            drawn[torch.cat(chosen)] = True
            total += frechet(self.features[drawn], self.features[~drawn])
        return total / draws


def cells(judge: Judge, models: Sequence[str], file: Path, progress: Progress) -> list[Cell]:
    """Return the cell of every model, solver and budget."""
    kept, found = Cells(file), []
    for model in models:
        voice = Voice(model)
        each = [(name, budget) for name in SOLVERS for budget in BUDGETS]
        for name, budget in progress.track(each, description=model):
            steps = steps_within(SOLVERS[name], budget)
            figures = kept.get(
                f"{voice.key} {name}, {steps} steps, {COUNT} digits, seed {SEED}",
                partial(judge.measure, voice, SOLVERS[name], steps, COUNT),
            )
            found.append(Cell(voice.formulation, name, budget, **figures))
    return sorted(found, key=lambda cell: FORMULATIONS.index(cell.formulation))


def part(found: Sequence[Cell], yardstick: float) -> str:
    """Return the table of distances and that of the best of each formulation."""
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in found:
        rows.setdefault((cell.formulation, cell.solver), []).append(cell)
    distances = [
        [
            f"`{formulation}`, `{solver}`",
            *(f"{cell.distance:.0f} ± {cell.error:.0f}" for cell in row),
        ]
        for (formulation, solver), row in rows.items()
    ]
    best = []
    for formulation in dict.fromkeys(cell.formulation for cell in found):
        nearest = min(
            (cell for cell in found if cell.formulation == formulation),
            key=lambda cell: cell.distance,
        )
        low, high = wilson(nearest.hits, COUNT)
        best.append(
            [
                f"`{formulation}`",
                f"`{nearest.solver}`",
                str(nearest.nfe),
                f"{nearest.distance:.1f} ± {nearest.error:.1f}",
                f"{nearest.score:.2f}",
                f"{nearest.hits / COUNT:.1%} ({low:.0%} to {high:.0%})",
            ]
        )
    names = ["solver", "NFE", "distance", "inception score", "heard right"]
    return "\n\n".join(
        [
            table(["distance", *(f"{budget} NFE" for budget in BUDGETS)], distances),
            "The nearest of each formulation:",
            table(["formulation", *names], best),
            f"{COUNT} digits a cell, seed {SEED}; as many recordings are {yardstick:.1f} from the "
            f"rest. Made on: {machine()}.",
        ]
    )


def draw(found: Sequence[Cell], yardstick: float, path: Path) -> None:
    """Draw a panel for each formulation: distance against evaluations, a curve for each solver."""
    names = list(dict.fromkeys(cell.formulation for cell in found))
    figure = Figure(figsize=(2.6 * len(names) + 0.6, 3.4), layout="constrained")
    panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for panel, formulation in zip(panels, names, strict=True):
        for solver in SOLVERS:
            curve = [
                cell for cell in found if (cell.formulation, cell.solver) == (formulation, solver)
            ]
            colour, marker = KEY[solver]
            panel.errorbar(
                [cell.nfe for cell in curve],
                [cell.distance for cell in curve],
                [cell.error for cell in curve],
                color=colour,
                marker=marker,
                markersize=5 if marker != "*" else 8,
                markeredgecolor="white",
                markeredgewidth=0.4,
                linewidth=1.4,
                elinewidth=0.8,
                label=solver,
            )
        panel.axhline(yardstick, color="#444444", ls=":", lw=1)
        panel.set(xscale="log", yscale="log", title=formulation)
        panel.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(color="#eeeeee", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("evaluations of the denoiser (NFE)")
    panels[0].set_ylabel("Frechet distance")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument(
        "--models",
        nargs="+",
        default=[f"digits-{name}" for name in FORMULATIONS],
        help="packs or trained folders",
    )
    parser.add_argument(
        "--cells", type=Path, default=Path("runs/formulations.json"), help="what is measured"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge.of(options.data)
    with Progress() as progress:
        found = cells(judge, options.models, options.cells, progress)
    yardstick = judge.yardstick(COUNT)
    draw(found, yardstick, PAGE.with_suffix(".png"))
    text = renew(PAGE.read_text("utf-8"), "distances", part(found, yardstick))
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
