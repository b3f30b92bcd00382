"""Write docs/parity.md: how far our samples are from those of other libraries, measured.

pip install -r benchmarks/requirements.txt . ./plugins
python tests/parity/table.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from peers import stored
from peers.case import Case
from peers.cases import CASES, LEFT_OUT

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"

HEAD = """\
# Parity

<!-- written by tests/parity/table.py -->

The same exact denoiser (a mixture of five normal distributions in 8 dimensions), the same start,
grid and noises, given to our solvers and to theirs: the distance of the final samples, relative to
their length. It is to be at most 1e-9 in float64 and 1e-5 in float32; where it is more, the row
says why, and a test holds it to the size given. "to" is where the two are compared: many samplers
end at the last sigma above 0.

Others treat steps of all lengths alike: `leap_ratio` and `noise_limit` are none in all rows.

The two noises in a step of `dpmpp_sde` are given as those of one Brownian path in sigma^2. The
states of repositories that cannot be installed were made once by their own code, in float64; ours
in float32 are compared with those.
"""


def rows(library: str, figure: Callable[[Case, torch.dtype], str]) -> list[str]:
    """Return the lines of a library's table, with `figure` for each measurement."""
    lines = [
        "| ours | theirs | grid | to | float64 | float32 | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        if case.library == library:
            figures = [figure(case, dtype) for dtype in (torch.float64, torch.float32)]
            end = "0" if case.to_zero else "sigma_min"
            cells = [f"`{case.ours}`", f"`{case.theirs}`", case.grid, end, *figures, case.reason]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def page(figure: Callable[[Case, torch.dtype], str], heading: Callable[[str], str]) -> str:
    """Return the whole page."""
    parts = [HEAD]
    for library in dict.fromkeys(case.library for case in CASES):
        parts += [f"## {heading(library)}", "", *rows(library, figure), ""]
    parts += ["## Not compared", ""]
    parts += [f"- {name}: {reason}." for name, reason in LEFT_OUT.items()]
    return "\n".join(parts) + "\n"


def measured(case: Case, dtype: torch.dtype) -> str:
    return f"{case.measure(dtype):.1e}"


def titled(library: str) -> str:
    if library in stored.names():
        record = stored.read(library)
        return f"{record['repository']} at {record['commit'][:12]}"
    return f"{library} {version(library)}"


def blank(text: str) -> str:
    """Return a page without its figures and versions."""
    text = re.sub(r"\| (\d\.\de[-+]\d\d|nan) (?=\|)", "|  ", text)
    return re.sub(r"^## (diffusers|k-diffusion) .*", r"## \1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page(measured, titled))
    print(f"wrote {PAGE.name}: {len(CASES)} rows")
