"""Measure what `kernel.train` costs beside a plain PyTorch loop, and how long it waits for data.

    python benchmarks/training/overhead.py --data ../shared/data/fsdd/train

The loop was written for this comparison: the same network, codec, loss, optimizer, clipping,
average and batch. Without worker processes the two take turns every ten steps of one process: the
loop runs inside an observer of the training, so that a busy machine hits both alike. Then whole
trainings with each number of workers take turns. Checkpoints, validation and samples are left out.
Without --data, the sounds are tones of ten pitches.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import soundfile
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import kernel

RATE, BATCH, PEAK, WARMUP, SIGMA_DATA = 8000, 32, 8e-4, 100, 0.5
BLOCK, SKIPPED = 10, 3  # steps between two reports; blocks that are not counted
PLUGINS = ("edm", "dit", "mel", "labelled")
OPTIONS = {"task.sample_rate": RATE, "task.seconds": 1.0, "backbone.patch": 2}


def tones(folder: Path, count: int = 400) -> Path:
    """Write sounds of 0.3 to 1.2 s, each a tone of its label."""
    draws = torch.Generator().manual_seed(0)
    for number in range(count):
        length = RATE * 3 // 10 + int(torch.randint(RATE * 9 // 10, (), generator=draws))
        time = torch.arange(length) / RATE
        wave = 0.1 * torch.sin(2 * math.pi * 200 * 1.2 ** (number % 10) * time)
        soundfile.write(folder / f"{number % 10}_{number:04d}.wav", wave.numpy(), RATE)
    return folder


class Waves(Dataset[tuple[Tensor, int]]):
    """All sounds in memory, each at -23 dB and cut to a second at a random place."""

    def __init__(self, folder: Path) -> None:
        self.labels, self.waves = [], []
        paths = sorted(folder.glob("*.wav"))
        names = sorted({path.name.partition("_")[0] for path in paths})
        for path in paths:
            wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
            self.waves.append(wave * (10 ** (-23 / 20) / float(wave.square().mean().sqrt())))
            self.labels.append(names.index(path.name.partition("_")[0]))
        self.classes = len(names)

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        wave, sound = self.waves[index], torch.zeros(1, RATE)
        start = int(torch.randint(max(len(wave) - RATE, 0) + 1, ()))
        wave = wave[start : start + RATE]
        sound[0, : len(wave)] = wave
        return sound, self.labels[index]


class Loop:
    """The plain training: `run(steps)` takes some steps and returns their mean loss."""

    def __init__(self, waves: Waves, workers: int) -> None:
        audio = kernel.AudioSpec(RATE)
        codec = kernel.component("codec.mel").fit(audio, (wave[None] for wave in waves.waves))
        backbone = kernel.component("backbone.dit", patch=OPTIONS["backbone.patch"])
        self.codec = codec.build(audio)
        condition = kernel.ConditionSpec(vector=waves.classes)
        self.network: nn.Module = backbone.build(codec.latent(audio, RATE), condition)
        self.average = deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), PEAK, weight_decay=0.01)
        self.warm = torch.optim.lr_scheduler.LinearLR(
            self.optimizer, 1 / WARMUP, total_iters=WARMUP
        )
        self.loader = DataLoader(waves, BATCH, shuffle=True, drop_last=True, num_workers=workers)
        self.eye, self.step = torch.eye(waves.classes), 0
        self.batches = self._endless()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader

    def run(self, steps: int) -> float:
        """Take so many steps."""
        losses = []
        for _ in range(steps):
            audio, labels = next(self.batches)
            with torch.no_grad():
                x0 = self.codec.encode(audio) * SIGMA_DATA
            vector = self.eye[labels] * (torch.rand(BATCH, 1) >= 0.1)
            sigma = (1.2 * torch.randn(BATCH, 1, 1) - 1.2).exp().clamp(0.002, 80)
            x = x0 + sigma * torch.randn_like(x0)
            total = sigma**2 + SIGMA_DATA**2
            condition = self.network.prepare(kernel.Condition(vector=vector))  # type: ignore[operator]
            found = self.network(x / total.sqrt(), sigma.log().flatten() / 4, condition)
            estimate = SIGMA_DATA**2 / total * x + sigma * SIGMA_DATA / total.sqrt() * found
            loss = (total / (sigma * SIGMA_DATA) ** 2 * (estimate - x0) ** 2).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.warm.step()
            self.step += 1
            decay = min(0.999, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
                for average, parameter in pairs:
                    average.lerp_(parameter, 1 - decay)
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())


class Blocks(NamedTuple):
    """The seconds and the CPU seconds of each block of a training, and what it reported."""

    seconds: list[float]
    cpu: list[float]
    scalars: list[dict[str, float]]


class Clock(kernel.Observer):
    """Notes the seconds of each ten steps, and lets `turn` run between them."""

    seconds: list[float]
    cpu: list[float]
    scalars: list[dict[str, float]]
    turn: Any = None

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Note the block that ends."""
        now, cpu = time.perf_counter(), time.process_time()
        if self.scalars:
            self.seconds.append(now - self.seconds.pop())
            self.cpu.append(cpu - self.cpu.pop())
        self.scalars.append(scalars)
        if self.turn is not None:
            self.turn()
        self.seconds.append(time.perf_counter())
        self.cpu.append(time.process_time())


def trained(folder: Path, blocks: int, workers: int | None, turn: Any = None) -> Blocks:
    """Train so many counted blocks."""
    steps = BLOCK * (blocks + SKIPPED)
    clock = Clock(seconds=[], cpu=[], scalars=[], turn=turn)
    with tempfile.TemporaryDirectory() as out:
        kernel.train(
            PLUGINS,
            options={**OPTIONS, "task.path": str(folder)},
            out=Path(out) / "training",
            observers=[clock],
            steps=steps,
            batch=BATCH,
            learning_rate=PEAK,
            warmup=WARMUP,
            decay="constant",
            workers=workers,
            device="cpu",
            validate_every=0,
            checkpoint_every=steps,
        )
    counted = slice(SKIPPED - 1, -1)
    return Blocks(clock.seconds[counted], clock.cpu[counted], clock.scalars[SKIPPED:])


def alternating(folder: Path, waves: Waves, blocks: int) -> dict[str, float]:
    """Return the figures of a training and a loop that take turns, without workers."""
    loop = Loop(waves, 0)
    seconds: list[float] = []
    cpu: list[float] = []
    losses: list[float] = []

    def turn() -> None:
        began, used = time.perf_counter(), time.process_time()
        losses.append(loop.run(BLOCK))
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)

    ours = trained(folder, blocks, 0, turn)
    # The block of the loop that follows a block of the training is its pair.
    pairs = list(zip(ours.seconds, seconds[SKIPPED:], strict=True))
    used = list(zip(ours.cpu, cpu[SKIPPED:], strict=True))
    return {
        "kernel_ms": 100 * median(mine for mine, _ in pairs),
        "plain_ms": 100 * median(plain for _, plain in pairs),
        "ratio": median(mine for mine, _ in pairs) / median(plain for _, plain in pairs),
        "cpu_ratio": median(mine for mine, _ in used) / median(plain for _, plain in used),
        "least_cpu_ratio": min(mine for mine, _ in used) / min(plain for _, plain in used),
        "loss": ours.scalars[-1]["loss"],
        "plain_loss": losses[-1],
    }


def plain(waves: Waves, blocks: int, workers: int) -> list[float]:
    """Return the seconds of each block of the loop."""
    loop, seconds = Loop(waves, workers), []
    for _ in range(blocks + SKIPPED):
        began = time.perf_counter()
        loop.run(BLOCK)
        seconds.append(time.perf_counter() - began)
    return seconds[SKIPPED:]


def whole(
    folder: Path, waves: Waves, blocks: int, rounds: int, workers: Sequence[int | None]
) -> list[dict[str, Any]]:
    """Return the figures of whole trainings and loops with each number of workers."""
    ours: dict[int | None, list[float]] = {each: [] for each in workers}
    theirs: dict[int | None, list[float]] = {each: [] for each in workers}
    waits: dict[int | None, list[float]] = {each: [] for each in workers}
    for _ in range(rounds):
        for each in workers:
            found = trained(folder, blocks, each)
            ours[each] += found.seconds
            waits[each] += [scalars["data_wait"] for scalars in found.scalars]
            if each is not None:
                theirs[each] += plain(waves, blocks, each)
    return [
        {
            "workers": each,
            "kernel_ms": 100 * median(ours[each]),
            "plain_ms": 100 * median(theirs[each]) if theirs[each] else None,
            "data_wait": median(waits[each]),
            "largest_wait": max(waits[each]),
        }
        for each in workers
    ]


def machine() -> str:
    """Return the machine in words."""
    threads = torch.get_num_threads()
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {threads} threads, Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}"
    )


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of WAV files named LABEL_*.wav")
    parser.add_argument("--blocks", type=int, default=30, help="blocks of ten steps")
    parser.add_argument("--rounds", type=int, default=3, help="trainings with each workers")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    given = parser.parse_args()
    console = Console()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        folder = given.data or tones(Path(made))
        waves = Waves(folder)
        turns = alternating(folder, waves, given.blocks)
        rows = whole(folder, waves, given.blocks // 3, given.rounds, [None, *given.workers])
    console.print(
        f"Turns of {BLOCK} steps without workers: kernel.train {turns['kernel_ms']:.1f} ms a step, "
        f"loop {turns['plain_ms']:.1f} ms; ratio of medians {turns['ratio']:.3f}, of those of "
        f"CPU time {turns['cpu_ratio']:.3f}, of the least CPU times {turns['least_cpu_ratio']:.3f} "
        f"(aim: 1.03); losses {turns['loss']:.3f} and {turns['plain_loss']:.3f}"
    )
    table = Table(title="Whole trainings in turn, medians")
    for title in ("workers", "ms a step", "loop, ms a step", "ratio", "waiting", "largest"):
        table.add_column(title, justify="right")
    for row in rows:
        has = row["plain_ms"] is not None
        table.add_row(
            "default" if row["workers"] is None else str(row["workers"]),
            f"{row['kernel_ms']:.1f}",
            f"{row['plain_ms']:.1f}" if has else "",
            f"{row['kernel_ms'] / row['plain_ms']:.3f}" if has else "",
            f"{row['data_wait']:.2%}",
            f"{row['largest_wait']:.2%}",
        )
    console.print(table)
    console.print(f"Machine: {machine()}.", highlight=False)
    if given.json:
        result = {"machine": machine(), "turns": turns, "workers": rows}
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
