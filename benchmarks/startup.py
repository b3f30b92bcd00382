"""Measure what the listing commands cost on a machine with many other packages.

300 made-up distributions are put on the path; `kernel --help` and `kernel plugins` then run as
processes of their own. What counts is CPU time, user and system, of the whole process; the best of
the runs is the least disturbed one. The imports of one more run are checked for torch.

    pip install . ./plugins
    python benchmarks/startup.py --json startup.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OTHERS = 300
TARGETS_MS = {("--help",): 100, ("plugins",): 150, ("plugins", "--json"): 150}
SCRIPT = Path(sysconfig.get_path("scripts")) / "kernel"


def make_distributions(folder: Path, count: int) -> None:
    for index in range(count):
        name = f"made_up_{index:03d}"
        info = folder / f"{name}-1.{index}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{index}\n\n" + "Words. " * 300
        )
        (info / "entry_points.txt").write_text(
            f"[console_scripts]\n{name} = {name}.cli:main\n\n[pytest11]\n{name} = {name}.plugin\n"
        )
        files = [f"{name}/module_{number}.py,sha256=abc,1234" for number in range(40)]
        (info / "RECORD").write_text("\n".join(files) + "\n")


def cpu_ms(arguments: tuple[str, ...], environment: dict[str, str]) -> float:
    process = subprocess.Popen([SCRIPT, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"kernel {' '.join(arguments)} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def imported(arguments: tuple[str, ...], environment: dict[str, str]) -> set[str]:
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=environment | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def measure(others: int, runs: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        make_distributions(Path(folder), others)
        environment = {**os.environ, "PYTHONPATH": folder}
        modules = {arguments: imported(arguments, environment) for arguments in TARGETS_MS}
        times: dict[tuple[str, ...], list[float]] = {arguments: [] for arguments in TARGETS_MS}
        for _ in range(runs):
            for arguments in TARGETS_MS:
                times[arguments].append(cpu_ms(arguments, environment))
    return [
        {
            "command": " ".join(("kernel", *arguments)),
            "best_ms": round(min(times[arguments]), 1),
            "median_ms": round(statistics.median(times[arguments]), 1),
            "modules": len(modules[arguments]),
            "torch_imported": "torch" in modules[arguments],
            "target_ms": TARGETS_MS[arguments],
        }
        for arguments in TARGETS_MS
    ]


def machine() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each command")
    parser.add_argument("--others", type=int, default=OTHERS, help="made-up distributions")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()

    where, rows = machine(), measure(arguments.others, arguments.runs)
    table = Table(title=f"CPU time with {arguments.others} other distributions installed")
    for column in ("command", "best", "median", "target", "torch imported"):
        table.add_column(column, justify="left" if column == "command" else "right")
    for row in rows:
        table.add_row(
            row["command"],
            f"{row['best_ms']:.0f} ms",
            f"{row['median_ms']:.0f} ms",
            f"<= {row['target_ms']} ms",
            "yes" if row["torch_imported"] else "no",
        )
    console = Console()
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in where.items()), highlight=False)
    if arguments.json:
        record = {"machine": where, "others": arguments.others, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
