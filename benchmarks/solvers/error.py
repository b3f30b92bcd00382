"""Measure the error of every solver on every grid against evaluations, where the truth is known.

    python benchmarks/solvers/error.py

Deterministic solvers start from 64 noises at sigma 80 over a mixture of five normal distributions
and are compared with the exact solution of the probability-flow ODE. Stochastic ones start from
pure noise over normal data, whose denoiser is affine: mean and standard deviation of what they
return are computed exactly, by sending the impulse of each noise through by itself. Both in
float64. Writes docs/solvers.png and two parts of docs/solvers.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any

import attrs
import torch
from cases import ENDS, SIGMA_MAX, schedules, solvers
from paths import PAGE, follow, renew, table
from picture import draw
from rich.progress import Progress
from torch import Tensor

from kernel import Schedule, Solver
from kernel_audio_testing.exact import Gaussian, Mixture
from kernel_plugins.schedules.edm import EdmSchedule

BUDGETS = (4, 6, 8, 10, 12, 16, 24, 32, 48, 64)
"""Evaluations that a solver may make; it takes as many steps as that allows."""

SHOWN = (8, 12, 16, 32)
SHOWN_NOISY = (8, 16, 32, 64)
AIM, WITHIN = 1e-2, 12
STDS = (0.1, 0.5, 1.0)


@attrs.frozen
class Result:
    """What a solver with a schedule did in `nfe` evaluations, at most `budget`."""

    solver: str
    schedule: str
    budget: int
    nfe: int
    error: float
    mean_error: float = 0.0


class Flow:
    """Data, noises over it at SIGMA_MAX, and where each ends: by default five normal distributions.

    The `tolerance` is that of a mixture's flow; a normal distribution's is exact.
    """

    def __init__(
        self, data: Gaussian | Mixture | None = None, items: int = 64, tolerance: float = 1e-11
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
        self.data = data or five(generator)
        shape = self.data.sample(1, torch.Generator()).shape[1:]
        noises = torch.randn(items, *shape, **options)
        x = self.data.sample(items, generator) + SIGMA_MAX * noises
        flow = self.data.flow
        if isinstance(self.data, Mixture):
            flow = partial(self.data.flow, tolerance=tolerance)
        self.start = cache(lambda sigma: flow(x, SIGMA_MAX, sigma))
        self.truth = self.start(0.0)

    def measure(self, solver: Solver, sigmas: Sequence[float]) -> tuple[float, int]:
        """Return the relative error of the final samples, and the evaluations that it took."""
        calls = 0

        def denoise(x: Tensor, sigma: float) -> Tensor:
            nonlocal calls
            calls += 1
            return self.data.denoise(x, sigma)

        end = follow(solver, denoise, self.start(sigmas[0]), sigmas)
        return float((end - self.truth).norm() / self.truth.norm()), calls


def five(generator: torch.Generator) -> Mixture:
    """Return the mixture that most figures are measured on, of values [2, 3]."""
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    means = torch.randn(5, 2, 3, **options)
    stds, weights = 0.3 + torch.rand(5, **options) / 2, torch.rand(5, **options)
    return Mixture(means, stds, weights)


def moments(
    solver: Solver, sigmas: Sequence[float], data: Gaussian, from_data: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of what comes out of pure noise, for each value; exact.

    With `from_data` it starts from data and noise, the distribution that the way down begins with.

    Row 0 of the batch sees no noise at all, row 1 only that of the start, row k that of one draw.
    """
    draws = 0

    def impulse(sigma: float, following: float) -> Tensor:
        nonlocal draws
        draws += 1
        noise = torch.zeros(rows, *data.mean.shape, dtype=data.mean.dtype)
        noise[draws + 1 : draws + 2] = 1
        return noise

    rows = 1
    mean, std = (data.mean, data.std) if from_data else (data.mean * 0, data.std * 0)
    follow(solver, data.denoise, mean[None], sigmas, impulse)
    rows, draws = draws + 2, 0
    x = mean.repeat(rows, *[1] * mean.ndim)
    x[1] += (std**2 + sigmas[0] ** 2).sqrt()
    silent, *rest = follow(solver, data.denoise, x, sigmas, impulse)
    return silent, (torch.stack(rest) - silent).square().sum(0).sqrt()


def steps_within(solver: Solver, budget: int) -> int:
    """Return the largest number of steps that takes at most `budget` evaluations."""
    return max(steps for steps in range(1, budget + 1) if solver.nfe(steps) <= budget)


def paths(flow: Flow, makers: Iterable[tuple[str, Solver, str, Schedule]]) -> list[Result]:
    """Return the errors of deterministic solvers."""
    found = []
    for name, solver, grid, schedule in makers:
        for budget in BUDGETS:
            sigmas = schedule.sigmas(steps_within(solver, budget))
            found.append(Result(name, grid, budget, *flow.measure(solver, sigmas)[::-1]))
    return found


def distributions(makers: Iterable[tuple[str, Solver, str, Schedule]]) -> list[Result]:
    """Return the errors of mean and standard deviation of stochastic solvers, relative to the std.

    The worst of STDS counts. A grid of one step, which returns D of pure noise, is left out.
    """
    std = torch.tensor([STDS], dtype=torch.float64)
    data = Gaussian(torch.ones_like(std), std)
    found = []
    for name, solver, grid, schedule in makers:
        for budget in BUDGETS:
            steps = steps_within(solver, budget)
            if steps > 1:
                mean, spread = moments(solver, schedule.sigmas(steps), data)
                errors = [float((off / std).abs().max()) for off in (spread - std, mean - 1)]
                found.append(Result(name, grid, budget, solver.nfe(steps), *errors))
    return found


def best(results: Iterable[Result], solver: str, budget: int) -> Result | None:
    """Return the result of a solver on its best grid within a budget."""
    fitting = (each for each in results if each.solver == solver and each.nfe <= budget)
    return min(fitting, key=lambda each: each.error, default=None)


def adaptive(flow: Flow, solver: Solver) -> list[str]:
    """Return a row of what an adaptive solver needs from SIGMA_MAX to each of ENDS."""
    cells = []
    for end in ENDS:
        error, calls = flow.measure(solver, EdmSchedule(sigma_min=end).sigmas(2))
        cells.append(f"{error:.1e} in {calls}")
    return cells


def deterministic_part(results: Sequence[Result], adaptive_rows: Sequence[Sequence[str]]) -> str:
    """Return the tables of the solvers without noise."""
    rows, reached = [], []
    for name in dict.fromkeys(each.solver for each in results):
        chosen = [best(results, name, budget) for budget in SHOWN]
        rows.append(
            [f"`{name}`", *(f"{each.error:.1e} `{each.schedule}`" for each in chosen if each)]
        )
        within = best(results, name, WITHIN)
        if within and within.error <= AIM:
            reached.append((within.error, f"`{name}` on `{within.schedule}` ({within.error:.1e})"))
    header = ["solver", *(f"{budget} NFE" for budget in SHOWN)]
    named = ", ".join(text for _, text in sorted(reached))
    return "\n\n".join(
        [
            table(header, rows),
            f"A relative error of {AIM:g} within {WITHIN} NFE is reached by: {named}.",
            table(
                ["adaptive", *(f"down to {end:g}, then to 0" for end in ENDS)],
                adaptive_rows,
            ),
        ]
    )


def stochastic_part(results: Sequence[Result]) -> str:
    """Return the table of the solvers with noise."""
    rows = []
    for name in dict.fromkeys(each.solver for each in results):
        cells = []
        for budget in SHOWN_NOISY:
            each = best(results, name, budget)
            cells.append(
                f"{each.error:.1e}, {each.mean_error:.0e} `{each.schedule}`" if each else "-"
            )
        rows.append([f"`{name}`", *cells])
    return table(["solver", *(f"{budget} NFE" for budget in SHOWN_NOISY)], rows)


def main() -> None:
    torch.set_num_threads(1)
    flow = Flow()
    every, grids = solvers(), schedules()
    with Progress(transient=True) as progress:
        plain, noisy = (
            [
                (name, solver, grid, schedule)
                for name, solver in every.items()
                if solver.stochastic == stochastic and not name.startswith("rk45")
                for grid, schedule in grids.items()
            ]
            for stochastic in (False, True)
        )
        results = paths(flow, progress.track(plain, description="paths"))
        spread = distributions(progress.track(noisy, description="distributions"))
        searching = [name for name in every if name.startswith("rk45")]
        rows = [
            [f"`{name}`", *adaptive(flow, every[name])]
            for name in progress.track(searching, description="adaptive")
        ]
    draw(results, AIM, WITHIN, PAGE.with_suffix(".png"))
    page = renew(PAGE.read_text("utf-8"), "errors", deterministic_part(results, rows))
    PAGE.write_text(renew(page, "noise", stochastic_part(spread)), "utf-8")


if __name__ == "__main__":
    main()
