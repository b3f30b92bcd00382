"""Measure what speaking ten digits costs, from the command to the finished page.

    python benchmarks/speak.py --json speak.json

Each run is a process of its own, imports included; wall time and peak memory are the operating
system's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RUNS = (("edm,unipc", 16), ("rf,heun", 16))
TARGET_SECONDS, TARGET_BYTES = 15, 1.5e9


def once(plugins: str, steps: int, place: Path) -> tuple[float, float]:
    """Return the wall seconds and the peak bytes of one run."""
    kernel = Path(sys.executable).with_name("kernel")
    words = ["kernel", "run", "--plugins", plugins, "--steps", str(steps), "--out", str(place)]
    began = time.perf_counter()
    process = os.posix_spawn(
        kernel,
        [*words, "--device", "cpu"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, usage.ru_maxrss * unit


def measure(repeats: int) -> list[dict[str, Any]]:
    """Return a row for each run, after one run that warms the disk up."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        once(*RUNS[0], Path(folder))
        for plugins, steps in RUNS:
            figures = [once(plugins, steps, Path(folder)) for _ in range(repeats)]
            rows.append(
                {
                    "plugins": plugins,
                    "steps": steps,
                    "seconds": statistics.median(seconds for seconds, _ in figures),
                    "slowest": max(seconds for seconds, _ in figures),
                    "bytes": max(memory for _, memory in figures),
                }
            )
    return rows


def main() -> None:
    """Measure, print a table and, if asked, write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    rows = measure(arguments.repeats)
    table = Table(title="ten digits, from the command to the page")
    for column in ("run", "median", "slowest", "target", "peak memory", "target "):
        table.add_column(column, justify="left" if column == "run" else "right")
    for row in rows:
        table.add_row(
            f"--plugins {row['plugins']} --steps {row['steps']}",
            f"{row['seconds']:.1f} s",
            f"{row['slowest']:.1f} s",
            f"<= {TARGET_SECONDS} s",
            f"{row['bytes'] / 1e9:.2f} GB",
            f"<= {TARGET_BYTES / 1e9} GB",
        )
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {os.cpu_count()} logical cores", highlight=False)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
