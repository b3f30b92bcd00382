"""The picture of error against evaluations: a panel for each schedule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

COLUMNS = 3
KEY = {
    "euler": ("#000000", "o"),
    "heun": ("#E69F00", "s"),
    "dpm-2s": ("#56B4E9", "^"),
    "dpmpp-3s": ("#999933", "v"),
    "pndm": ("#CC79A7", "P"),
    "dpmpp-2m": ("#009E73", "D"),
    "dpmpp-3m": ("#D55E00", "X"),
    "unipc": ("#0072B2", "*"),
}
"""The solvers that are told apart, in colours of Okabe and Ito 2008 and Tol; others are grey."""

GREY = "#c4c4c4"
TICKS = (4, 8, 16, 32, 64)


def draw(results: Sequence[Any], aim: float, within: int, path: Path) -> None:
    """Draw the best of each schedule's grids, for every solver, and the aim."""
    families = sorted({each.schedule.split()[0] for each in results})
    lines = -(-len(families) // COLUMNS)
    figure = Figure(figsize=(11, 3.1 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, family in zip(panels, families, strict=False):
        chosen = [each for each in results if each.schedule.split()[0] == family]
        for solver in dict.fromkeys(each.solver for each in chosen):
            curve: dict[int, float] = {}
            for each in chosen:
                if each.solver == solver:
                    curve[each.nfe] = min(each.error, curve.get(each.nfe, float("inf")))
            colour, marker = KEY.get(solver, (GREY, ""))
            known = solver in KEY
            panel.plot(
                list(curve),
                list(curve.values()),
                color=colour,
                marker=marker,
                markersize=5 if marker != "*" else 8,
                markeredgecolor="white" if known else colour,
                markeredgewidth=0.4,
                linewidth=1.4 if known else 0.7,
                zorder=3 if known else 1,
                label=solver if known else None,
            )
        panel.plot([4, within, within], [aim, aim, 1e-5], color="#444444", ls=":", lw=1, zorder=2)
        panel.set(xscale="log", yscale="log", xlim=(3.7, 70), ylim=(1e-4, 3), title=family)
        panel.set_xticks(TICKS, [str(tick) for tick in TICKS])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(color="#eeeeee", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(families) :]:
        panel.set_visible(False)
    figure.supxlabel("evaluations of the denoiser (NFE)")
    figure.supylabel("relative error of the sample")
    handles, labels = panels[0].get_legend_handles_labels()
    order = [labels.index(name) for name in KEY if name in labels]
    figure.legend(
        [handles[index] for index in order],
        [labels[index] for index in order],
        loc="outside upper center",
        ncols=len(order),
        frameon=False,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})
