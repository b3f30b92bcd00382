"""Kill trainings at random moments, go on with them, and compare all bytes with an undisturbed one.

    python benchmarks/training/kills.py --kills 20 --workers 0 1 2 --torchrun 5

Half of the kills are aimed at a checkpoint that is being written. Half of them end the training's
first process alone, whose workers have to notice; the others end all processes at once. Weights,
averages, optimizer state, history, samples and the model have to be equal to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import soundfile
import torch

import kernel

PLUGINS = ("edm", "dit", "mel", "labelled", "euler")
SETTINGS: dict[str, Any] = {
    "batch": 4,
    "checkpoint_every": 4,
    "sample_every": 20,
    "sample_count": 1,
    "sampling_steps": 2,
    "validate_every": 20,
    "averages": ["half-life-10", "power-0.1"],
    "snapshot_every": 20,
    "device": "cpu",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "task": {"sample_rate": 8000, "seconds": 0.25, "valid_fraction": 0.25, "augment_gain": 3.0},
    "codec": {"bands": 12, "n_fft": 256, "window": 256, "griffin_lim_iters": 2},
    "backbone": {"width": 32, "depth": 1, "heads": 2, "dropout": 0.1},
}
PASSING = ("seconds", "items_per_second", "memory_gb", "data_wait")
"""What two trainings may tell differently."""

WRITING = 0.02
"""Seconds that the writing of a checkpoint takes, about."""


def tones(folder: Path) -> Path:
    """Write sixteen short tones of four labels."""
    folder.mkdir()
    time = numpy.arange(3000) / 8000
    for number in range(16):
        wave = 0.1 * numpy.sin(2 * numpy.pi * 220 * (1 + number % 4) * time + number)
        soundfile.write(folder / f"{number % 4}_{number}.wav", wave, 8000)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file of a training, of its history without what passes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == "train.json":
            continue
        data = path.read_bytes()
        if name == "history.jsonl":
            lines = map(json.loads, data.decode().splitlines())
            kept = [{k: v for k, v in each.items() if k not in PASSING} for each in lines]
            data = json.dumps(kept).encode()
        if name == "model/model.toml":
            # The record of where the model was made.
            data = b""
        found[name] = hashlib.sha256(data).hexdigest()
    return found


class Forked:
    """Trainings by this process's children, for which torch is imported once."""

    def __init__(self, data: Path, steps: int, workers: int) -> None:
        self._data, self._settings = data, {**SETTINGS, "steps": steps, "workers": workers}

    def start(self, out: Path) -> int:
        """Begin or resume a training in a session of its own, and return its process."""
        if pid := os.fork():
            return pid
        os.setsid()
        code = 1
        try:
            log = os.open(out.with_suffix(".log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if (out / "train.json").exists():
                kernel.train(resume=out)
            else:
                given = {f"{k}.{n}": v for k, own in OPTIONS.items() for n, v in own.items()}
                given["task.path"] = str(self._data)
                kernel.train(PLUGINS, options=given, out=out, **self._settings)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


class Torchrun:
    """Trainings by two processes that torchrun starts."""

    def __init__(self, data: Path, steps: int, place: Path) -> None:
        options = {**OPTIONS, "task": {**OPTIONS["task"], "path": str(data)}}
        lines = [f"plugins = {json.dumps(PLUGINS)}"]
        settings = {**SETTINGS, "steps": steps}
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        for kind, own in options.items():
            lines += [f"[options.{kind}]", *(f"{n} = {json.dumps(v)}" for n, v in own.items())]
        self._file = place / "settings.toml"
        self._file.write_text("\n".join(lines))

    def start(self, out: Path) -> int:
        """Begin or resume a training in a session of its own, and return torchrun's process."""
        words = (
            ["--resume", out] if (out / "train.json").exists() else ["-c", self._file, "--out", out]
        )
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", "2", "-m", "kernel", "train", *map(str, words)]
        with out.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True).pid


def family(pid: int) -> list[int]:
    """Return a process and all processes below it, the first one first."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += sorted(child for child, parent in parents.items() if parent == each)
    return found


def ended(pid: int) -> int | None:
    """Return the exit code of a child, None while it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def half_written(out: Path) -> list[Path]:
    """Return what of a checkpoint is on the disk before it has its name."""
    return list(out.glob("checkpoints/.*.partial-*"))


class Killer:
    """Starts trainings and kills them, until enough have been killed."""

    def __init__(self, start: Callable[[Path], int], draws: random.Random, several: bool) -> None:
        self._start, self._draws, self._several = start, draws, several
        self.counts: Counter[str] = Counter()

    def undisturbed(self, out: Path) -> float:
        """Train without a kill; return how long it takes after its record was written."""
        pid = self._start(out)
        while not (out / "train.json").exists() and (code := ended(pid)) is None:
            time.sleep(0.002)
        began = time.monotonic()
        while (code := ended(pid)) is None:
            time.sleep(0.002)
        if code:
            raise SystemExit(f"the undisturbed training ended with {code}: see {out}.log")
        return time.monotonic() - began

    def disturbed(self, out: Path, kills: int, lasting: float) -> int:
        """Train with up to so many kills, until the end; return how many there were."""
        for done in range(kills + 1):
            pid = self._start(out)
            code = self._killed(out, pid, lasting) if done < kills else None
            while code is None and (code := ended(pid)) is None:
                time.sleep(0.002)
            if code == 0:
                return done
            if code > 0 and not self._several:
                raise SystemExit(f"a resumed training ended with {code}: see {out}.log")
            if done == kills:
                raise SystemExit(f"the last training ended with {code}: see {out}.log")
        return kills

    def _killed(self, out: Path, pid: int, lasting: float) -> int | None:
        """Kill a training at a random moment; return its code where it ended before."""
        draws, record = self._draws, out / "train.json"
        aimed, first = draws.random() < 0.5, draws.random() < 0.5
        moment, skipped = draws.uniform(0, lasting), draws.randrange(8)
        before = record.stat().st_mtime_ns if record.exists() else 0
        # Most moments are of the training itself, which begins when its record is written.
        began = time.monotonic() if not self._several and draws.random() < 0.2 else None
        seen: set[Path] = set()
        while not aimed or len(seen) <= skipped:
            if (code := ended(pid)) is not None:
                return code
            seen |= set(half_written(out))
            if not aimed and began and time.monotonic() - began > moment:
                break
            if began is None and record.exists() and record.stat().st_mtime_ns != before:
                began = time.monotonic()
            time.sleep(0.0005)
        time.sleep(draws.uniform(0, WRITING) * aimed)
        every = family(pid)
        if first:
            # Torchrun, the first of several, goes on and has to end what is left.
            every = [draws.choice(every[1:] or every)] if self._several else every[:1]
        for each in every:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self.counts["kills"] += 1
        self.counts["while a checkpoint was half written"] += bool(half_written(out))
        self.counts["before the first checkpoint"] += not list(out.glob("checkpoints/[0-9]*"))
        self.counts["of one process alone"] += len(every) == 1
        while (code := ended(pid)) is None:
            time.sleep(0.002)
        return code or -signal.SIGKILL


def cases(given: argparse.Namespace, data: Path, place: Path) -> Iterator[tuple[str, Any, int]]:
    """Yield the name of each case, what starts its trainings, and its kills."""
    for workers in given.workers:
        yield f"{workers} workers", Forked(data, given.steps, workers), given.kills
    if given.torchrun:
        yield "torchrun, 2 processes", Torchrun(data, given.steps, place), given.torchrun


def main() -> None:
    """Kill, compare, and print what was found; the exit code is 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="for each number of workers")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--torchrun", type=int, default=0, help="kills of two processes")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    for each in (*PLUGINS[1:], "objective.edm", "schedule.edm", "recipe.denoise"):
        kernel.component(each)
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    data, wrong = tones(place / "data"), 0
    known: dict[str, dict[str, str]] = {}
    for name, trainings, kills in cases(given, data, place):
        several = isinstance(trainings, Torchrun)
        killer = Killer(trainings.start, random.Random(f"{given.seed}/{name}"), several)
        folder = place / name.replace(", ", "-").replace(" ", "-")
        lasting = killer.undisturbed(folder)
        whole = known.setdefault("processes" if several else "workers", digests(folder))
        left, unequal = kills, []
        for number in range(10 * kills):
            if not left:
                break
            out = folder.with_name(f"{folder.name}-{number}")
            left -= killer.disturbed(out, left, lasting)
            found = digests(out)
            unequal += sorted(n for n in whole.keys() | found if whole.get(n) != found.get(n))
        wrong += len(unequal)
        counted = ", ".join(f"{count} {what}" for what, count in killer.counts.items())
        equal = f"unequal: {', '.join(unequal)}" if unequal else f"{len(whole)} files equal"
        print(f"{name}: {counted}; {equal} in {number} trainings of {lasting:.1f} s", flush=True)
    if wrong:
        raise SystemExit(f"the trainings are in {place}")
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
