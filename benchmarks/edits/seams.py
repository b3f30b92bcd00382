"""Count the seams of edits that stand out, and compare what should have stayed with what was read.

    python benchmarks/edits/seams.py FOLDER [--model NAME] [--items 50] [--gap 0.05]

Of recordings in FOLDER, spread evenly over their names, one gap each is filled, or a continuation
made, and written in the file's own format. Known samples are compared after reading back. At each
seam the largest spectral flux within 10 ms is held against the 99th percentile of the recording's
own: a seam above it can be heard as an event. The recording's own flux at the same places tells how
often that happens without an edit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import kernel
from kernel import read_audio

Array = NDArray[np.float64]
FRAME = 0.02


def flux(sound: Array, rate: int) -> Array:
    """Return the positive change of the magnitudes from frame to frame, [T], hop a quarter."""
    size = round(FRAME * rate)
    hop = size // 4
    padded = np.pad(sound, (size // 2, size))
    starts = range(0, len(sound), hop)
    frames = np.stack([padded[at : at + size] for at in starts]) * np.hanning(size)
    magnitudes = np.abs(np.fft.rfft(frames))
    rises = np.diff(magnitudes, axis=0, prepend=magnitudes[:1]).clip(min=0)
    return np.linalg.norm(rises, axis=1)


def near(values: Array, second: float) -> float:
    """Return the largest of the values within half a frame of a moment."""
    at = round(second / (FRAME / 4))
    return float(values[max(0, at - 2) : at + 3].max(initial=0))


def main() -> None:
    """Print the largest error of a known sample and the share of seams that stand out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="speech")
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--gap", type=float, default=0.05)
    parser.add_argument("--task", choices=("infill", "continuation"), default="infill")
    given = parser.parse_args()
    files = sorted(each for each in given.folder.iterdir() if each.suffix in (".wav", ".flac"))
    chosen = [files[index * len(files) // given.items] for index in range(given.items)]
    player = kernel.load(given.model, [given.task])
    worst, above, before, seams = 0.0, 0, 0, 0
    for number, path in enumerate(track(chosen, description=given.task)):
        audio, rate = read_audio(path)
        seconds = audio.shape[-1] / rate
        start = seconds * (0.3 + 0.4 * (number % 7) / 7)
        task = {"span": f"{start:.4f}:{start + given.gap:.4f}"}
        if given.task == "continuation":
            task = {"more": given.gap}
        (sound,) = player.sample(count=1, seed=number, inputs=[path], **task)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "sound.wav"
            gain = sound.save(target)
            written, _ = read_audio(target)
        assert gain == 1.0
        known = np.ones(audio.shape[-1], dtype=bool)
        places = [seconds]
        if given.task == "infill":
            first, last = round(start * rate), round((start + given.gap) * rate)
            known[max(0, first - 1) : last + 1] = False
            places = [first / rate, last / rate]
        same = written[:, : audio.shape[-1]][:, known] - audio[:, known]
        worst = max(worst, float(same.abs().max()))
        made, own = (flux(each.mean(0).double().numpy(), rate) for each in (written, audio))
        limit = float(np.quantile(own, 0.99))
        seams += len(places)
        above += sum(near(made, second) > limit for second in places)
        before += sum(near(own, second) > limit for second in places)
    print(
        f"{given.task}, {given.model}, {given.items} items: largest error of a known sample "
        f"{worst:g}; {above} of {seams} seams above the 99th percentile of the recording's own "
        f"flux (in the recordings themselves {before} at the same places)"
    )


if __name__ == "__main__":
    main()
