r"""Draw spectrograms of real and generated digits under each other, one column for each digit.

    python benchmarks/digits/compare.py --data ../shared/data/fsdd --out digits.png \
        "edm=runs/EDM" "rf=runs/RF"

Prints the picture's caption. Every row has the first item of each digit: nothing is picked.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import torch
from classifier import RATE, clip, listen, load, read
from judge import items
from matplotlib.figure import Figure
from torch import Tensor

WINDOW, HOP = 200, 20
RANGE = 60.0
INK, PAPER, RIGHT, WRONG = "#222222", "white", "#1a7f4b", "#c0392b"


def levels(clips: Tensor) -> Tensor:
    """Return levels in dB below each clip's loudest point: [N, L] -> [N, F, T]."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(clips, 512, HOP, WINDOW, window, return_complex=True).abs()
    return 20 * (spectrum / spectrum.amax((1, 2), keepdim=True) + 1e-6).log10()


def first(found: list[tuple[Path, int]]) -> list[tuple[int, Path]]:
    """Return the first file of each digit, sorted by digit."""
    chosen: dict[int, Path] = {}
    for path, digit in found:
        chosen.setdefault(digit, path)
    return sorted(chosen.items())


def picture(rows: list[tuple[str, list[tuple[int, Path]]]], out: Path) -> None:
    """Write the sheet; above each generated panel stands what the classifier hears in it."""
    ear = load()
    figure = Figure(figsize=(13, 0.5 + 1.5 * len(rows)), dpi=120, facecolor=PAPER)
    grid = figure.subplots(len(rows), 10, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
    for line, (title, chosen) in zip(grid, rows, strict=True):
        clips = torch.stack([clip(read(path)) for _, path in chosen])
        heard = listen(ear, clips)[2].argmax(1).tolist()
        for (digit, _), image, name in zip(chosen, levels(clips), heard, strict=True):
            line[digit].imshow(
                image.numpy(),
                origin="lower",
                aspect="auto",
                extent=(0, 1, 0, RATE / 2000),
                cmap="magma",
                vmin=-RANGE,
                vmax=0,
            )
            line[digit].set_xlim(0.1, 0.9)
            colour = RIGHT if name == digit else WRONG
            line[digit].set_title(f"heard: {name}", fontsize=7, color=colour, pad=2)
        line[0].set_ylabel(textwrap.fill(title, 14), fontsize=9, color=INK)
    for digit, axes in enumerate(grid[-1]):
        axes.set_xlabel(str(digit), fontsize=11, color=INK)
    figure.subplots_adjust(
        left=0.04, right=0.995, top=1 - 0.25 / figure.get_figheight(), bottom=0.08, wspace=0.04
    )
    figure.savefig(out, facecolor=PAPER)


def caption(titles: list[str]) -> str:
    """Return what to write under the picture."""
    return (
        "Spectrograms of spoken digits, 0 to 9 from left to right, 0 to 4 kHz upwards, 0.8 s wide "
        f"and {RANGE:.0f} dB deep. Rows: {', '.join(titles)}. Each panel shows the first item of "
        "its digit, not a picked one; above it, what an independently trained classifier hears."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", help="TITLE=FOLDER of each run, in order")
    parser.add_argument("--data", type=Path, required=True, help="folder with test/")
    parser.add_argument("--out", type=Path, default=Path("digits.png"))
    options = parser.parse_args()
    real = sorted((options.data / "test").glob("[0-9]_*.wav"))
    rows = [("real (test set)", first([(path, int(path.name[0])) for path in real]))]
    for run in options.runs:
        title, equals, folder = run.partition("=")
        if not equals:
            raise SystemExit(f"{run!r} is not TITLE=FOLDER; write for example edm=runs/EDM.")
        rows.append((title, first(items([Path(folder)]))))
    picture(rows, options.out)
    print(caption([title for title, _ in rows]))


if __name__ == "__main__":
    main()
