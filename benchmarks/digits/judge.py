"""Judge generated digits: are they right, are they varied, are they copies of training items.

    python benchmarks/digits/judge.py runs/NAME --data ../shared/data/fsdd --json judged.json

Takes a folder written by `kernel run`, or WAV files named NN-LABEL.wav.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from classifier import WEIGHTS, WIDTH, Ear, clip, labelled, listen, load, read
from measures import QUANTILES, copies, frechet, inception, nearest, spread, wilson
from rich.console import Console
from rich.table import Table
from torch import Tensor

DRAWS = 20
SHIFTS = 4


def items(sources: Sequence[Path]) -> list[tuple[Path, int]]:
    """Return the (file, digit) pairs of run folders or of files (folders of files) NN-LABEL.wav."""
    found: list[tuple[Path, int]] = []
    for source in sources:
        manifest = source / "run.json"
        if manifest.is_file():
            rows = json.loads(manifest.read_text(encoding="utf-8"))["items"]
            found += [(source / row["file"], _digit(row["label"], source)) for row in rows]
        else:
            for path in sorted(source.glob("*.wav")) if source.is_dir() else [source]:
                name = re.fullmatch(r"\d+-(.+)", path.stem)
                found.append((path, _digit(name and name[1], path)))
    if not found:
        raise SystemExit("There is nothing to judge; name a run folder or files NN-LABEL.wav.")
    return found


def _digit(label: str | None, where: Path) -> int:
    if label is None or not re.fullmatch(r"\d", str(label)):
        raise SystemExit(f"{where} has the label {label!r}, not a digit 0 to 9; judge digits only.")
    return int(label)


def machine() -> str:
    """Return what this runs on, in one line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = re.findall(r"model name\s*: (.+)", information.read_text(encoding="utf-8"))
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} logical cores, {platform.system()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__} "
        f"on {torch.get_num_threads()} CPU threads"
    )


def accuracy(chances: Tensor, digits: Tensor) -> dict[str, Any]:
    """Return hits, count and 95 % interval, per digit and over all, of chances [N, 10]."""
    right = chances.argmax(1) == digits
    rows = {}
    for name in [*range(10), "all"]:
        chosen = right if name == "all" else right[digits == name]
        hits, count = int(chosen.sum()), len(chosen)
        rows[str(name)] = {"hits": hits, "count": count, "interval": wilson(hits, count)}
    return rows


def judge(ear: Ear, clips: Tensor, digits: Tensor, data: Path) -> dict[str, Any]:
    """Return the whole verdict on `clips` [N, RATE] that should be `digits` [N], as plain data.

    The yardstick is what a perfect model of the training set would get: DRAWS random sets of real
    training items with as many of each digit as were generated.
    """
    train_clips, train_digits, train_names = labelled(data / "train")
    test_clips, test_digits, _ = labelled(data / "test")
    spectra, features, chances = listen(ear, clips)
    train_spectra, train_features, train_chances = listen(ear, train_clips)
    test_spectra, test_features, test_chances = listen(ear, test_clips)

    generator = torch.Generator().manual_seed(0)
    yardstick = []
    for _ in range(DRAWS):
        order = torch.randperm(len(train_digits), generator=generator)
        rows = torch.cat(
            [
                order[train_digits[order] == digit][: int((digits == digit).sum())]
                for digit in range(10)
            ]
        )
        rest = torch.ones(len(train_digits), dtype=torch.bool).index_fill(0, rows, value=False)
        drawn, drawn_digits = train_features[rows], train_digits[rows]
        yardstick.append(
            {
                "to_test": frechet(drawn, test_features),
                "to_train": frechet(drawn, train_features[rest]) if rest.sum() > 1 else 0.0,
                "inception": inception(train_chances[rows]),
                "spread": spread(drawn, drawn_digits),
            }
        )
    copied = {}
    for space, made, real, known, shifts in (
        ("log-mel (dB)", spectra, test_spectra, train_spectra, SHIFTS),
        ("features", features, test_features, train_features, 0),
    ):
        distance, which = nearest(made, known, shifts)
        copied[space] = copies(distance, nearest(real, known, shifts)[0])
        copied[space]["nearest"] = [train_names[place] for place in which.tolist()]
    return {
        "accuracy": accuracy(chances, digits),
        "real accuracy": accuracy(test_chances, test_digits),
        "count": len(digits),
        "test count": len(test_digits),
        "drawn": len(rows),
        "generated": {
            "to_test": frechet(features, test_features),
            "to_train": frechet(features, train_features),
            "inception": inception(chances),
            "spread": spread(features, digits),
        },
        "yardstick": {
            name: [
                float(torch.tensor([draw[name] for draw in yardstick]).mean()),
                float(torch.tensor([draw[name] for draw in yardstick]).std()),
            ]
            for name in yardstick[0]
        },
        "test": {
            "inception": inception(test_chances),
            "spread": spread(test_features, test_digits),
        },
        "copies": copied,
        "machine": machine(),
    }


def verdict(report: dict[str, Any]) -> str:
    """Return what the report comes to, in a few sentences."""
    total = report["accuracy"]["all"]
    times = [
        report["generated"][name] / max(report["yardstick"][name][0], 1e-9)
        for name in ("to_test", "to_train")
    ]
    lines = [
        f"{total['hits']} of {total['count']} generated digits are heard as what was asked for.",
        f"Their Frechet distance to the test set is {times[0]:.1f} times, to the training set "
        f"{times[1]:.1f} times, that of as many real training items.",
    ]
    guilty = [space for space, check in report["copies"].items() if check["suspect"]]
    if guilty:
        lines.append(
            f"Copying of training items is SUSPECTED in {' and '.join(guilty)}: "
            "listen to the nearest ones that --json names."
        )
    else:
        lines.append("No sign of copying: generated items are as far from training as real ones.")
    return " ".join(lines)


def show(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables."""
    table = Table(title="Heard as what was asked for", title_justify="left")
    for title in ("digit", "generated", "95 % interval", "real test", "95 % interval"):
        table.add_column(title, justify="right")
    for name, row in report["accuracy"].items():
        cells = [name]
        for entry in (row, report["real accuracy"][name]):
            share = f"{entry['hits'] / entry['count']:.1%}" if entry["count"] else "none"
            low, high = entry["interval"]
            cells += [f"{entry['hits']}/{entry['count']} {share}", f"{low:.1%} to {high:.1%}"]
        table.add_row(*cells, end_section=name == "9")
    console.print(table)

    title = f"As varied as real digits? ({WIDTH} features of the classifier)"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column(f"generated, {report['count']}", justify="right")
    table.add_column(f"yardstick: train, {report['drawn']} drawn {DRAWS} times", justify="right")
    table.add_column(f"real test, {report['test count']}", justify="right")
    for name, text in (
        ("to_test", "Frechet distance to the test set"),
        ("to_train", "Frechet distance to the (rest of the) training set"),
        ("inception", "inception score (1 to 10)"),
        ("spread", "distance of two items of one digit"),
    ):
        mean, deviation = report["yardstick"][name]
        real = f"{report['test'][name]:.2f}" if name in report["test"] else ""
        made = f"{report['generated'][name]:.2f}"
        table.add_row(text, made, f"{mean:.2f} ± {deviation:.2f}", real)
    console.print(table)

    table = Table(title="Copies? Distance to the nearest training item", title_justify="left")
    for column in ("space", "items", *(f"{point:.0%}" for point in QUANTILES), "below real 1 %"):
        table.add_column(column, justify="left" if column in ("space", "items") else "right")
    for space, check in report["copies"].items():
        table.add_row(space, "generated", *_row(check["generated"]), f"{check['closer']:.1%}")
        table.add_row("", "real test", *_row(check["real"]), "", end_section=True)
    console.print(table)
    console.print(verdict(report))
    console.print(f"Machine: {report['machine']}.", highlight=False)


def _row(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, help="run folders or NN-LABEL.wav files")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the classifier")
    parser.add_argument("--json", type=Path, help="write the report here too")
    options = parser.parse_args()
    wanted = items(options.sources)
    clips = torch.stack([clip(read(path)) for path, _ in wanted])
    digits = torch.tensor([digit for _, digit in wanted])
    report = judge(load(options.weights), clips, digits, options.data)
    report["files"] = [str(path) for path, _ in wanted]
    show(report, Console())
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
