"""How many real digits survive a codec: a generator behind it can hardly do better.

    python benchmarks/digits/ceiling.py --data ../shared/data/fsdd

Sends the real test digits through the codec `mel` and back, at several of its settings, and has
the classifier name them. "distance" is the Frechet distance to the untouched test digits. The
classifier hardly hears phase, so "error" is there too: the mean difference of short-time levels in
dB, floored 60 dB below a sound's loudest point, over windows of 8, 16 and 32 ms.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from classifier import RATE, clip, labelled, listen, load, read
from judge import machine
from measures import frechet, wilson
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import pad

from kernel import AudioSpec
from kernel_plugins.codecs.mel import Mel

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"griffin_lim_iters": 0},
    {"griffin_lim_iters": 8},
    {"griffin_lim_iters": 100},
    {"momentum": 0.0},
    {"inversion_iters": 0},
    {"inversion_iters": 100},
    {"bands": 32},
    {"bands": 64},
    {"bands": 80},
    {"window": 256},
    {"window": 512},
    {"n_fft": 256, "window": 256, "bands": 32},
    {"n_fft": 256, "window": 256, "bands": 32, "hop": 64},
    {"hop": 64},
    {"hop": 64, "bands": 64},
)


@torch.inference_mode()
def round_trip(options: dict[str, Any], waves: Tensor) -> Tensor:
    """Return `waves` [N, L] after encoding and decoding."""
    codec: Any = Mel(**options).build(AudioSpec(sample_rate=RATE))
    decoded: Tensor = codec.decode(codec.encode(waves[:, None]), waves.shape[1])[:, 0]
    return decoded


def error(waves: Tensor, decoded: Tensor) -> float:
    """Return the mean difference in dB of the short-time levels of [N, L] and [N, L]."""
    differences = []
    for size in (64, 128, 256):
        window = torch.hann_window(size)
        one, two = (
            torch.stft(sound, size, size // 4, window=window, return_complex=True).abs()
            for sound in (waves, decoded)
        )
        floor = 1e-3 * one.amax((1, 2), keepdim=True)
        ratio = (one + floor).log10() - (two + floor).log10()
        differences.append(20 * ratio.abs().mean())
    return float(torch.stack(differences).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with test/")
    options = parser.parse_args()
    ear = load()
    clips, digits, names = labelled(options.data / "test")
    waves = [read(options.data / "test" / f"{name}.wav") for name in names]
    padded = torch.stack([pad(wave[:RATE], (0, max(RATE - len(wave), 0))) for wave in waves])
    padded *= 0.05 / padded.square().mean(1, keepdim=True).sqrt()
    untouched = listen(ear, clips)[1]

    table = Table(title="Real test digits after the codec mel", title_justify="left")
    for title in ("options", "accuracy", "95 % interval", "distance", "error"):
        table.add_column(title, justify="left" if title == "options" else "right")

    def add(title: str, decoded: Tensor) -> None:
        clips = torch.stack([clip(wave) for wave in decoded])
        _, features, chances = listen(ear, clips)
        hits = int((chances.argmax(1) == digits).sum())
        low, high = wilson(hits, len(digits))
        table.add_row(
            title,
            f"{hits}/{len(digits)} {hits / len(digits):.1%}",
            f"{low:.1%} to {high:.1%}",
            f"{frechet(features, untouched):.2f}",
            f"{error(padded, decoded):.2f} dB",
        )

    add("untouched", padded)
    for setting in SETTINGS:
        title = " ".join(f"{name}={value}" for name, value in setting.items()) or "as it comes"
        add(title, round_trip(setting, padded))
    console = Console()
    console.print(table)
    console.print(f"Machine: {machine()}.", highlight=False)


if __name__ == "__main__":
    main()
