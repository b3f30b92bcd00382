"""Measure a training on shards of many tiny sounds: the time to its first step, and its memory.

    python benchmarks/training/shards.py /tmp/shards --items 1000000 --workers 0 2

The first training takes one step. The others have to end with the same weights, whatever the number
of workers. The CPU time includes the import of the libraries.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import resource
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import soundfile

import kernel
from kernel_plugins.tasks.unconditional import Unconditional

RATE, SAMPLES, A_SHARD = 8000, 200, 50_000
OPTIONS: dict[str, dict[str, Any]] = {
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


def private(pid: int | None) -> float:
    """Return the MB of a process that it shares with no other, on Linux."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


class Watch(kernel.Observer):
    """Prints the time and the memory at the reports of some steps."""

    began: float
    every: int

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Print a line."""
        if index % self.every:
            return
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        workers = sum(private(each.pid) for each in multiprocessing.active_children())
        seconds, cpu = time.monotonic() - self.began, time.process_time()
        print(
            f"  step {index}: {seconds:.1f} s, {cpu:.1f} s of CPU, "
            f"{own:.0f} MB, and {workers:.0f} MB of the workers alone, "
            f"waiting {scalars['data_wait']:.1%}"
        )


def trained(folder: Path, out: Path, steps: int, workers: int) -> str:
    """Train, and return a digest of the weights."""
    options: dict[str, Any] = {
        f"{kind}.{n}": value for kind, own in OPTIONS.items() for n, value in own.items()
    }
    options["task.path"] = str(folder)
    print(f"{steps} steps, {workers} workers")
    made = kernel.train(
        ["edm", "dit", "mel", "labelled"],
        options=options,
        steps=steps,
        workers=workers,
        device="cpu",
        out=out / f"{steps}-{workers}",
        observers=[Watch(began=time.monotonic(), every=max(1, steps // 4))],
    )
    return hashlib.sha256((made.model / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Make the shards where they are not there, and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    if not given.folder.exists():
        make(given.folder, given.items)
    with tempfile.TemporaryDirectory() as out:
        trained(given.folder, Path(out), 1, given.workers[0])
        found = {
            trained(given.folder, Path(out), given.steps, workers) for workers in given.workers
        }
    print("equal weights" if len(found) == 1 else "the weights differ")


if __name__ == "__main__":
    main()
