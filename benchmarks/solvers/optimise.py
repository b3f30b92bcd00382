"""Find the sigmas with which a model and a solver come nearest to their own many-step solution.

    python benchmarks/solvers/optimise.py --model digits-edm --solver unipc --steps 6 --out six.toml
    kernel run -c six.toml

The error is measured at the end of the way down, over a batch of fixed noises, and minimised over
the sigmas between the first and 0 by Levenberg and Marquardt's method. The file that is written is
a configuration of `kernel run`; its table `options.schedule` is what a model pack can store.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Generator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import attrs
import tomli_w
import torch
from paths import follow
from rich.console import Console
from torch import Tensor

import kernel
from kernel import Denoise, KernelError, Noise, Player, Solver, Step, UsageError
from kernel.runner.plan import Plan
from kernel_plugins.schedules.edm import EdmSchedule

FINE = 100
"""Steps of the solution that all others are compared with."""

FIRST = (0.1, 0.15, 0.22, 0.33, 0.5)
LAST = (0.08, 0.15, 0.3)
RHO = (3.0, 7.0)
"""Where the search starts: polynomial grids between a share of the first sigma and a last one."""

STARTS = 2
"""How many of these, the best, are improved."""


DAMPINGS = 5
"""How many are tried, each five times the one before, until a move brings something."""


@attrs.frozen(eq=False)
class Problem:
    """A batch of noises at sigma_max, the denoiser that leads down from it, and where it ends."""

    solver: Solver
    denoise: Denoise
    x: Tensor
    truth: Tensor

    def offset(self, sigmas: Sequence[float]) -> Tensor:
        """Return how far from the truth a grid ends, relative to the size of the truth."""
        end = follow(self.solver, self.denoise, self.x, sigmas)
        offset: Tensor = (end - self.truth) / self.truth.norm()
        return offset

    def error(self, sigmas: Sequence[float]) -> float:
        """Return the relative error of a grid's samples."""
        return float(self.offset(sigmas).norm())


def problem(player: Player, count: int, seed: int) -> Problem:
    """Return the problem that the runner would pose the solver, for `count` items of a seed."""
    posed: list[tuple[Denoise, Tensor]] = []

    class Posed(Solver):
        def steps(
            self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
        ) -> Generator[Step, Tensor, None]:
            posed.append((denoise, x))
            yield Step(0, 0.0, x * 0, x)

    assembly = player.plan.assembly
    player.using(Posed()).sample(count=count, steps=1, seed=seed)
    denoise, x = posed[0]
    fine = assembly.schedule.sigmas(FINE)
    return Problem(assembly.solver, denoise, x, follow(assembly.solver, denoise, x, fine))


def search(
    problem: Problem, steps: int, sigma_max: float, sigma_min: float, tell: Callable[[str], None]
) -> list[float]:
    """Return the best grid that was found, steps + 1 sigmas.

    The unknowns are the logarithms of the steps in ln sigma, so that every grid descends. Raises
    UsageError when there is nothing to search.
    """
    if steps < 2:
        raise UsageError(f"a grid of {steps} steps has no sigma to choose; ask for at least 2")
    starts = [
        [
            sigma_max,
            *EdmSchedule(sigma_max=first * sigma_max, sigma_min=last, rho=rho).sigmas(steps - 1),
        ]
        for first in FIRST
        for last in LAST
        for rho in RHO
        if sigma_min < last < first * sigma_max
    ]
    if not starts:
        raise UsageError(
            f"the search needs room between sigma {sigma_min:g} and {sigma_max:g}; this model's "
            f"range has too little"
        )

    def grid(unknowns: Sequence[float]) -> list[float]:
        depths = accumulate(math.exp(unknown) for unknown in unknowns)
        return [sigma_max, *(sigma_max * math.exp(-depth) for depth in depths), 0.0]

    def offset(unknowns: Sequence[float]) -> Tensor | None:
        sigmas = grid(unknowns)
        return problem.offset(sigmas) if sigmas[-2] > sigma_min else None

    found = []
    for start in sorted(starts, key=problem.error)[:STARTS]:
        unknowns = [math.log(math.log(one / other)) for one, other in pairwise(start[:-1])]
        found.append(grid(levenberg_marquardt(offset, unknowns, tell)))
    return min(found, key=problem.error)


def levenberg_marquardt(
    residual: Callable[[Sequence[float]], Tensor | None],
    unknowns: Sequence[float],
    tell: Callable[[str], None] = lambda line: None,
    difference: float = 0.05,
    rounds: int = 20,
) -> list[float]:
    """Return the unknowns that make the residual small; None stands for a place that is forbidden.

    More, Garbow, Hillstrom 1980 (MINPACK), with slopes from forward differences. Ends when a round
    brings less than a thousandth. Raises UsageError when the first place is forbidden.
    """
    best = list(unknowns)
    value = residual(best)
    if value is None:
        raise UsageError("the search cannot start from a place that is forbidden")
    damping = 0.1
    for number in range(rounds):
        columns = []
        for index in range(len(best)):
            moved = [each + difference * (k == index) for k, each in enumerate(best)]
            ahead = residual(moved)
            columns.append(value * 0 if ahead is None else (ahead - value) / difference)
        slopes = torch.stack([column.flatten() for column in columns], 1).double()
        normal, gradient = slopes.T @ slopes, slopes.T @ value.flatten().double()
        before = value
        for _ in range(DAMPINGS):
            damped = normal + damping * torch.diag(normal.diagonal() + 1e-12)
            move = torch.linalg.solve(damped, -gradient).clamp(-0.5, 0.5)
            moved = [each + step for each, step in zip(best, move.tolist(), strict=True)]
            ahead = residual(moved)
            if ahead is not None and ahead.norm() < value.norm():
                best, value, damping = moved, ahead, damping / 5
                break
            damping *= 5
        tell(f"round {number + 1}: error {float(value.norm()):.5f}")
        if value.norm() > 0.999 * before.norm():
            break
    return best


def configuration(plan: Plan, model: str, solver: str, grids: Sequence[Sequence[float]]) -> str:
    """Return the TOML with which `kernel run` samples on these grids, at the first one's steps."""
    schedule = plan.assembly.schedule
    inner = [[float(f"{sigma:.4g}") for sigma in grid[1:-1]] for grid in grids]
    options = {"sigma_min": schedule.sigma_min, "sigma_max": schedule.sigma_max, "grids": inner}
    table = {
        "model": model,
        "plugins": ["schedule.optimised", f"solver.{solver}"],
        "steps": len(grids[0]) - 1,
        "options": {"schedule": options},
    }
    return tomli_w.dumps(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="digits-edm", help="a model pack, or a folder")
    parser.add_argument("--solver", default="unipc", help="a solver without noise")
    parser.add_argument("--steps", type=int, nargs="+", default=[6], help="of each grid")
    parser.add_argument("--items", type=int, default=30, help="how many noises")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the TOML to write")
    chosen = parser.parse_args()
    try:
        text = optimised(chosen.model, chosen.solver, chosen.steps, chosen.items, chosen.seed)
    except KernelError as error:
        raise SystemExit(str(error)) from None
    chosen.out.write_text(text, "utf-8")


def optimised(model: str, solver: str, counts: Sequence[int], items: int, seed: int) -> str:
    """Return the configuration with a grid for each number of steps, and print how good it is."""
    console = Console()
    player = kernel.load(model, [f"solver.{solver}"], batch=items)
    plan = player.plan
    with console.status(f"solving in {FINE} steps"):
        posed = problem(player, items, seed)
    schedule = plan.assembly.schedule
    grids = []
    for steps in counts:
        with console.status(f"looking for {steps} steps") as status:
            grid = search(posed, steps, schedule.sigma_max, schedule.sigma_min, status.update)
        grids.append(grid)
        for name, sigmas in (("plain", schedule.sigmas(steps)), ("optimised", grid)):
            shown = " ".join(f"{sigma:.4g}" for sigma in sigmas)
            console.print(f"{name}: error {posed.error(sigmas):.4f} at {shown}", highlight=False)
    return configuration(plan, model, solver, grids)


if __name__ == "__main__":
    main()
