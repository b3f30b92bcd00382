"""Measure how far what every guidance samples is from the posterior, where it is known.

    python benchmarks/guidance/posterior.py

The prior is a normal distribution of 32 values, so that its denoiser and the posterior of every
linear measurement are exact; float64. Takes about 2 minutes on one core. Writes two parts of
docs/posterior.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from rich.progress import track
from truth import Counted, Error, Problem, problems

from kernel import Guidance, Solver
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.guidance.guidance_gradient import GuidanceGradient
from kernel_plugins.guidance.langevin import Langevin
from kernel_plugins.guidance.moments import Moments
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun

sys.path.append(str(Path(__file__).resolve().parent.parent / "solvers"))
from paths import renew, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "posterior.md"
STEPS, COUNT = 64, 2048
GUIDANCES: Mapping[str, type[Guidance]] = {
    "dps": Dps,
    "guidance-gradient": GuidanceGradient,
    "langevin": Langevin,
    "moments": Moments,
    "projection": Projection,
}
SOLVERS: Mapping[str, Solver] = {"ddpm": Ddpm(), "euler": Euler(), "heun": Heun()}


@attrs.frozen(eq=False)
class Case:
    """A solver and the options of the guidances that it is run with, by their names."""

    solver: str
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    title: str | None = None

    def __str__(self) -> str:
        if self.title:
            return self.title
        return " + ".join(
            "`"
            + " ".join([name, *(f"{key}={_plain(value)}" for key, value in options.items())])
            + "`"
            for name, options in self.options.items()
        )

    def run(self, problem: Problem, steps: int, count: int) -> tuple[Error, Counted]:
        """Return how far the samples are from the posterior, and what they took."""
        exact = problem.posterior if self.title == EXACT else problem.prior
        denoiser = Counted(exact.denoiser())
        guidances = {name: GUIDANCES[name](**options) for name, options in self.options.items()}
        sigmas = EdmSchedule().sigmas(steps)
        samples = problem.sample(guidances, SOLVERS[self.solver], sigmas, count, denoiser)
        return Error.of(samples, problem), denoiser


EXACT = "the posterior's own denoiser"


def cases() -> Iterator[Case]:
    """Yield what is compared: what is possible, and every mode of every guidance."""
    yield Case("heun", title=EXACT)
    yield Case("ddpm", title=EXACT)
    yield Case("heun", title="no guidance")
    for solver in ("heun", "ddpm"):
        yield Case(solver, {"projection": {}})
        yield Case(solver, {"projection": {"mode": "noised"}})
    yield Case("heun", {"projection": {"mode": "noised", "fresh": False}})
    yield Case("euler", {"projection": {"mode": "literal"}})
    yield Case("heun", {"projection": {"resamples": 8}})
    yield Case("heun", {"projection": {"mode": "noised", "resamples": 8}})
    yield Case("heun", {"dps": {}})
    yield Case("heun", {"dps": {"scale": 0.5}})
    yield Case("heun", {"dps": {"scale": 1.0}})
    yield Case("ddpm", {"dps": {"normalization": "residual"}})
    yield Case("ddpm", {"dps": {"normalization": "residual", "scale": 0.3}})
    for solver in ("heun", "ddpm"):
        yield Case(solver, {"dps": {"normalization": "gaussian"}})
    yield Case("heun", {"dps": {"normalization": "gaussian", "c": 2.0}})
    yield Case("heun", {"dps": {"normalization": "gaussian", "on": "x"}})
    yield Case("heun", {"dps": {"normalization": "gaussian"}, "projection": {}})
    for iterations in (1, 3, 6):
        yield Case("heun", {"moments": {"iterations": iterations}})
    for solver in ("heun", "ddpm"):
        yield Case(solver, {"moments": {"iterations": 6, "tolerance": 0.02}})
    for xi in (0.03, 1.0):
        yield Case("euler", {"guidance-gradient": {"xi": xi}})
        yield Case("ddpm", {"guidance-gradient": {"algorithm": "ddpm", "xi": xi}})
    absolute = {"xi": 0.03, "losses": {"l1": 1.0}}
    yield Case("euler", {"guidance-gradient": absolute})
    yield Case("euler", {"guidance-gradient": {"on": "x", **absolute}})
    yield Case("euler", {"guidance-gradient": absolute, "projection": {}})
    yield Case("heun", {"langevin": {}})
    yield Case("heun", {"langevin": {"steps": 10}})
    corrector = {"gamma": None, "steps": 3}
    yield Case("heun", {"langevin": corrector, "projection": {}})
    yield Case("heun", {"langevin": corrector, "dps": {"normalization": "gaussian"}})


def parts(
    results: Mapping[Case, Mapping[str, tuple[Error, Counted]]],
) -> dict[str, str]:
    """Return the two tables: the errors of the moments, and what tells how a guidance errs."""
    names = list(problems())
    moments, signs = [], []
    for case, found in results.items():
        errors = [found[name][0] for name in names]
        _, cost = found[names[0]]
        nfe = f"{cost.evaluations}" + (f" + {cost.gradients}" if cost.gradients else "")
        moments.append(
            [
                f"{case}",
                f"`{case.solver}`",
                nfe,
                *(f"{e.mean:.2f} {e.covariance:.2f}" for e in errors),
            ]
        )
        signs.append(
            [f"{case}", f"`{case.solver}`", *(f"{e.spread:.2f} {e.residual:.3f}" for e in errors)]
        )
    return {
        "moments": table(["guidance", "solver", "NFE", *names], moments),
        "signs": table(["guidance", "solver", *names], signs),
    }


def main() -> None:
    """Write the tables."""
    torch.set_num_threads(1)
    posed = problems()
    results = {}
    for case in track(list(cases()), "sampling", transient=True):
        results[case] = {name: case.run(each, STEPS, COUNT) for name, each in posed.items()}
    text = PAGE.read_text("utf-8")
    for part, content in parts(results).items():
        text = renew(text, part, content)
    PAGE.write_text(text, "utf-8")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " + ".join(value)
    return str(value).lower() if isinstance(value, bool) or value is None else f"{value}"


if __name__ == "__main__":
    main()
