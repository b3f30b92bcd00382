"""Measure a training on shards of many tiny sounds: the time to its first step, and its memory.

python benchmarks/shards.py /tmp/shards --items 1000000 --workers 2
"""

from __future__ import annotations

import argparse
import io
import resource
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import numpy
import soundfile

import kernel
from kernel_plugins.tasks.unconditional import Unconditional

RATE, SAMPLES, A_SHARD = 8000, 200, 50_000
OPTIONS = {
    "task": {"sample_rate": RATE, "seconds": SAMPLES / RATE},
    "codec": {"n_fft": 64, "window": 64, "bands": 8, "hop": 16},
    "backbone": {"width": 32, "depth": 1, "heads": 2},
}


def sounds() -> list[bytes]:
    """Return the files of a hundred sounds of noise."""
    draws = numpy.random.default_rng(0)
    files = []
    for _ in range(100):
        file = io.BytesIO()
        soundfile.write(file, draws.normal(0, 0.1, SAMPLES), RATE, format="WAV", subtype="PCM_16")
        files.append(file.getvalue())
    return files


def make(folder: Path, items: int) -> None:
    """Write tar files of so many sounds, and their index."""
    folder.mkdir(parents=True)
    files = sounds()
    for first in range(0, items, A_SHARD):
        with tarfile.open(folder / f"{first // A_SHARD:06d}.tar", "w") as tar:
            for number in range(first, min(items, first + A_SHARD)):
                entry = tarfile.TarInfo(f"{number % 10}_{number:07d}.wav")
                entry.size = len(files[number % 100])
                tar.addfile(entry, io.BytesIO(files[number % 100]))
                tar.members.clear()  # type: ignore[attr-defined]
    Unconditional(path=folder).shard(None, 0)


class Watch(kernel.Observer):
    """Prints the time and the memory at each report."""

    began: float

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Print a line."""
        own, workers = (
            resource.getrusage(who).ru_maxrss / 1024
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        cpu = time.process_time()
        print(
            f"step {index}: {time.monotonic() - self.began:.1f} s, {cpu:.1f} s of CPU, "
            f"{own:.0f} MB, workers {workers:.0f} MB, waiting {scalars['data_wait']:.1%}"
        )


def main() -> None:
    """Make the shards where they are not there, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    if not given.folder.exists():
        make(given.folder, given.items)
    out = Path(tempfile.mkdtemp()) / "training"
    options = {f"{kind}.{n}": value for kind, own in OPTIONS.items() for n, value in own.items()}
    options["task.path"] = str(given.folder)
    for steps in (1, given.steps):
        watch = Watch(began=time.monotonic())
        kernel.train(
            ["edm", "dit", "mel", "labelled"],
            options=options,
            steps=steps,
            workers=given.workers,
            device="cpu",
            out=out / str(steps),
            observers=[watch],
        )
    shutil.rmtree(out.parent)


if __name__ == "__main__":
    main()
