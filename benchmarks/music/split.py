"""Cut recordings for the pack `music`: pieces of at most ten seconds to train on, others held out.

    python benchmarks/music/split.py MUSIC OUT

Held out are two whole recordings, and the end of each recording of more than half a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile

SECONDS = 10
LONG = 30
WHOLE = ("loop_perc1", "solo_trumpet")


def main(source: Path, out: Path) -> None:
    """Write OUT/train and OUT/heldout."""
    for path in sorted([*source.rglob("*.flac"), *source.rglob("*.ogg")]):
        audio, rate = soundfile.read(path, always_2d=True)
        pieces = [audio[at : at + SECONDS * rate] for at in range(0, len(audio), SECONDS * rate)]
        if len(pieces) > 1 and len(pieces[-1]) < SECONDS * rate // 2:
            pieces.pop()
        for number, piece in enumerate(pieces):
            last = len(audio) > LONG * rate and number == len(pieces) - 1
            split = "heldout" if last or path.stem in WHOLE else "train"
            target = out / split / f"{path.stem}-{number:02d}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, piece, rate, subtype="PCM_16")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
