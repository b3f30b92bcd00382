"""Make every figure of docs/figures.md in one run, and put the table into it.

    python benchmarks/all.py --data ../shared/data/fsdd

Needs what benchmarks/requirements.txt lists and a machine that is doing nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "figures.md"
BEGIN, END = "<!-- figures: written by benchmarks/all.py -->\n", "\n<!-- end of figures -->"
PACKS = ("edm", "rf")


def run(script: str, *arguments: str | Path) -> Any:
    """Run a benchmark and return what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / script), *map(str, arguments), "--json", str(target)]
        subprocess.run(command, check=True)
        return json.loads(target.read_text("utf-8"))


def rows(data: Path) -> tuple[list[tuple[str, str, str]], str]:
    """Return (what, measured, target) for every figure, and the machine."""
    startup = run("startup.py")
    table = [
        (
            f"`kernel {row['command'].removeprefix('kernel ')}`, {startup['others']} other "
            "distributions installed, CPU time",
            f"{row['median_ms']:.0f} ms, torch {'' if row['torch_imported'] else 'not '}imported",
            f"{row['target_ms']} ms",
        )
        for row in startup["rows"]
    ]
    for row in run("speak.py")["rows"]:
        table.append(
            (
                f"`kernel run --plugins {row['plugins']}`, ten digits, {row['steps']} steps, with "
                "imports",
                f"{row['seconds']:.1f} s, {row['bytes'] / 1e9:.2f} GB",
                "15 s, 1.5 GB",
            )
        )
    overhead = run("overhead.py")
    for row in overhead["ratios"]:
        mine, theirs = (overhead["rows"][row[side]]["median_us"] for side in ("ours", "theirs"))
        table.append(
            (
                f"loop overhead per step, {row['ours']} over {row['theirs']}",
                f"{mine:.0f} / {theirs:.0f} us = {row['median']:.3f}",
                f"{row['aim']:.3f}" if row["aim"] else "",
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        for pack in PACKS:
            words = [
                "run",
                "--plugins",
                pack,
                "--count",
                "200",
                "--steps",
                "16",
                "--seed",
                "2",
                "--name",
                pack,
            ]
            kernel = Path(sys.executable).with_name("kernel")
            subprocess.run([kernel, *words, "--batch", "50", "--out", folder], check=True)
            report = run("digits/judge.py", Path(folder) / pack, "--data", data)
            table += judged(pack, report)
        sources = [f"{pack}={Path(folder) / pack}" for pack in PACKS]
        picture = ["--out", PAGE.parent / "digits.png"]
        words = [sys.executable, HERE / "digits" / "compare.py", "--data", data, *sources, *picture]
        subprocess.run(words, check=True)
    where = ", ".join(f"{name} {value}" for name, value in startup["machine"].items())
    return table, where


def judged(pack: str, report: Any) -> list[tuple[str, str, str]]:
    """Return the rows of one pack's 200 digits."""
    heard, real = report["accuracy"]["all"], report["real accuracy"]["all"]
    return [
        (
            f"`digits-{pack}`: 200 digits, 16 steps of `unipc` with `cfg`, heard right",
            f"{heard['hits'] / heard['count']:.1%} "
            f"(real test set {real['hits'] / real['count']:.1%})",
            "97 %",
        ),
        *((f"`digits-{pack}`: {what}", value, "") for what, value in distances(report)),
    ]


def distances(report: Any) -> list[tuple[str, str]]:
    """Return the Frechet distances and the copy check of a report, with their yardsticks."""
    made, (mean, deviation) = report["generated"]["to_test"], report["yardstick"]["to_test"]
    copies = report["copies"]["log-mel (dB)"]
    return [
        (
            "Frechet distance to the test set (of as many training items)",
            f"{made:.1f} ({mean:.1f} +- {deviation:.1f})",
        ),
        (
            "log-mel distance to the nearest training item, median (of real test items)",
            f"{copies['generated'][-1]:.2f} dB ({copies['real'][-1]:.2f} dB)",
        ),
    ]


def main() -> None:
    """Measure and write the table into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and test/")
    table, where = rows(parser.parse_args().data)
    lines = ["| what | measured | asked for |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | {target} |" for what, figure, target in table]
    text = PAGE.read_text("utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    new = "\n".join([*lines, "", f"One run on: {where}."])
    PAGE.write_text(text[:start] + new + text[end:], "utf-8")


if __name__ == "__main__":
    main()
