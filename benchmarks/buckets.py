"""Measure a training on sounds of 0.2 to 1 second, with and without buckets.

A second is one of the time that the process computes on its one thread, which other processes do
not change. On a CUDA device it is one of the clock.

OMP_NUM_THREADS=1 python benchmarks/buckets.py --buckets 4 --steps 60
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import soundfile
from pydantic import Field

import kernel

RATE = 16000


def make(folder: Path, count: int) -> float:
    """Write so many sounds of noise; return the share of their samples in a second each."""
    draws = numpy.random.default_rng(0)
    lengths = draws.uniform(0.2, 1.0, count)
    for number, seconds in enumerate(lengths):
        sound = draws.normal(0, 0.1, int(seconds * RATE))
        soundfile.write(folder / f"{number:04d}.wav", sound, RATE)
    return float(lengths.mean())


class Watch(kernel.Observer):
    """Keeps the time of each report."""

    clock: Callable[[], float]
    times: dict[int, float] = Field(default_factory=dict)

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Keep the time."""
        self.times[index] = self.clock()


def main() -> None:
    """Train by turns without and with buckets, and print the steps per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buckets", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="dit")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    clock = time.process_time if given.device == "cpu" else time.perf_counter
    rates: dict[int | None, list[float]] = {None: [], given.buckets: []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sounds"
        folder.mkdir()
        print(f"mean length: {make(folder, 1000):.3f} s")
        for turn in range(given.rounds):
            for buckets, found in rates.items():
                watch = Watch(clock=clock)
                kernel.train(
                    ["edm", given.backbone, "mel", "unconditional"],
                    options={"task.path": str(folder), "task.mask_padding": True},
                    buckets=buckets,
                    steps=given.steps,
                    batch=given.batch,
                    workers=0 if given.device == "cpu" else None,
                    device=given.device,
                    compile=given.compile,
                    checkpoint_every=10**6,
                    out=Path(place) / f"{buckets}-{turn}",
                    observers=[watch],
                )
                # The first steps compile and fill the caches.
                first = sorted(watch.times)[1]
                seconds = watch.times[given.steps] - watch.times[first]
                found.append((given.steps - first) / seconds)
                print(f"buckets {buckets}: {found[-1]:.2f} steps/s")
    before, after = (statistics.median(found) for found in rates.values())
    print(f"medians: {before:.2f} and {after:.2f} steps/s, {after / before:.2f} times as many")


if __name__ == "__main__":
    main()
