"""What the benchmarks of solvers share: following a trajectory to its end, and renewing a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from kernel import Denoise, Noise, Solver, UsageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "solvers.md"


def no_noise(sigma: float, following: float) -> Tensor:
    """Raise UsageError: the noise of what has to be compared path by path."""
    raise UsageError("a solver that adds noise has no path to compare; set its eta to 0")


@torch.inference_mode()
def follow(
    solver: Solver,
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Noise = no_noise,
) -> Tensor:
    """Return the state at the end of a trajectory."""
    trajectory = solver.trajectory(denoise, x, sigmas, noise)
    step = next(trajectory)
    while step.sigma > 0:
        step = trajectory.send(step.x)
    return step.x


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, its first column to the left and all others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def renew(text: str, part: str, content: str) -> str:
    """Return a page with the text between the two comments that name a part made anew."""
    begin, end = f"<!-- {part} -->\n", f"\n<!-- end of {part} -->"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    renewed, count = re.subn(pattern, lambda _: begin + content + end, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"the page has {count} parts {part!r}, not 1; put its two comments back")
    return renewed
