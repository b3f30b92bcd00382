"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kernel_audio_training.checkpoints import checkpoints

pytestmark = pytest.mark.slow

Job = dict[str, Any]


def together(*jobs: Job) -> list[tuple[list[int], str]]:
    """Return the exit codes of the processes of each job, and all that they said."""
    helper = Path(__file__).with_name("together.py")
    done = subprocess.run(
        [sys.executable, helper, json.dumps(jobs)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    return list(zip(codes, done.stderr.split("-----\n")[:-1], strict=True))


@pytest.fixture(scope="module")
def settings(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "t.toml"
    file.write_text(
        f"""
        plugins = ["edm", "dit", "mel", "labelled", "euler"]
        steps = 20
        batch = 5
        warmup = 1
        learning_rate = 1e-3
        checkpoint_every = 2
        device = "cpu"
        precision = "float64"
        averages = ["power-0.1"]
        snapshot_every = 10
        validate_every = 10
        [options.task]
        valid_fraction = 0.25
        path = {str(tones)!r}
        sample_rate = 8000
        seconds = 0.25
        [options.codec]
        bands = 12
        n_fft = 256
        window = 256
        griffin_lim_iters = 2
        [options.backbone]
        width = 32
        depth = 1
        heads = 2
        """
    )
    return file


def job(count: int, *words: object, **more: object) -> Job:
    return {"words": [list(map(str, words))] * count, **more}


def losses(folder: Path) -> list[float]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry[name] for entry in entries for name in ("loss", "valid.loss") if name in entry]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def trained(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of one training by one, two, four and three processes.

    And by two that hold a part of every weight each.
    """
    place = tmp_path_factory.mktemp("trained")
    cut = place / "cut.toml"
    cut.write_text(f"micro_batch = 1\n{settings.read_text()}")
    parts = place / "parts.toml"
    parts.write_text(f'shard = "blocks"\n{settings.read_text()}')
    files = {"one": (1, settings), "two": (2, settings), "four": (4, settings), "three": (3, cut)}
    files["parts"] = (2, parts)
    folders = {name: place / name for name in files}
    jobs = [job(n, "train", "-c", f, "--out", folders[name]) for name, (n, f) in files.items()]
    for (codes, said), each in zip(together(*jobs), jobs, strict=True):
        assert codes == [0] * len(each["words"]), said
        # The first process alone prints.
        assert said.count("dit") == said.count("labelled") == 1
    return folders


@pytest.mark.parametrize("name", ["two", "four", "three", "parts"])
def test_any_number_of_processes_has_the_same_losses(trained: dict[str, Path], name: str) -> None:
    alone, shared = trained["one"], trained[name]
    assert len(losses(alone)) == 12
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-9, abs=0)
    assert names(shared) == names(alone)
    for file in ("weights", "ema", "optimizer"):
        one, other = (
            load_file(checkpoints(each)[-1] / f"{file}.safetensors") for each in (alone, shared)
        )
        assert one.keys() == other.keys()
        for key in one:
            assert (one[key] - other[key]).abs().max() <= 1e-9, key


def test_a_checkpoint_of_four_is_read_by_one_and_by_two(
    trained: dict[str, Path], settings: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    stopped = job(
        4,
        *("train", "-c", settings, "--out", first),
        watch=str(first / "checkpoints" / "00000004"),
        sent=2,
        signal=int(signal.SIGTERM),
    )
    ((codes, said),) = together(stopped)
    assert codes == [130] * 4, said
    # All stopped at one step, one process said so, and the checkpoint is of that step.
    (last,) = (line for line in said.splitlines() if "interrupted" in line)
    step = int(checkpoints(first)[-1].name)
    assert 4 <= step < 20
    assert f"at step {step} of 20; kernel train --resume {first} goes on from step {step}" in last
    third = tmp_path / "third"
    for folder in (second, third):
        shutil.copytree(first, folder)
    record = json.loads((third / "train.json").read_text())
    record["config"]["shard"] = "whole"
    (third / "train.json").write_text(json.dumps(record))
    words = "train", "--device", "cpu", "--resume"
    jobs = job(1, *words, first), job(2, *words, second), job(2, *words, third)
    for codes, said in together(*jobs):
        assert set(codes) == {0}, said
    for folder in (first, second, third):
        assert losses(folder)[-2:] == pytest.approx(losses(trained["one"])[-2:], rel=1e-9, abs=0)


def test_a_run_by_two_or_three_has_the_sounds_of_a_run_by_one(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    words = ["run", "--model", trained["one"] / "model", "--steps", 2, "--count", 7, "--batch", 2]
    words += ["--device", "cpu", "--out", tmp_path, "--name"]
    found = together(*(job(n, *words, n) for n in (1, 2, 3)), job(3, *words, "few", "--count", 2))
    for codes, said in found:
        assert set(codes) == {0}, said
        assert said.count("codec") == 1
    one, *others = (tmp_path / name for name in ("1", "2", "3"))
    before = json.loads((one / "run.json").read_text())
    for other in others:
        assert names(other) == names(one)
        for file in one.glob("*.wav"):
            assert (other / file.name).read_bytes() == file.read_bytes()
        record = json.loads((other / "run.json").read_text())
        assert record["items"] == before["items"]
        for key in ("nfe", "network_items", "count", "batch"):
            assert record["sampling"][key] == before["sampling"][key], key
    record = json.loads((tmp_path / "few" / "run.json").read_text())
    assert (record["sampling"]["count"], record["sampling"]["batch"]) == (2, 1)


def test_what_ends_processes_is_said_once(settings: Path, tones: Path, tmp_path: Path) -> None:
    other, out, killed = (tmp_path / name for name in ("other", "out", "killed"))
    shutil.copytree(tones, other)
    (other / "low_0.wav").write_bytes((other / "high_0.wav").read_bytes())
    words = ["train", "-c", str(settings), "--out", str(out)]
    endless = job(
        3,
        *("train", "-c", settings, "--out", killed, "--steps", 20000),
        watch=str(killed / "checkpoints" / "00000002"),
        sent=1,
        signal=int(signal.SIGKILL),
    )
    differing: Job = {"words": [words, [*words, "-o", f"task.path={other}"]]}
    found = together(differing, job(3, *words, "--batch", 2), endless)
    assert [codes for codes, _ in found] == [[6, 4], [2, 2, 2], [6, -9, 6]]
    lines = []
    for _, said in found:
        assert "Traceback" not in said
        (line,) = (line for line in said.splitlines() if line.startswith("kernel:"))
        lines.append(line)
    data, batch, gone = lines
    assert "process 1 differs from process 0 in content of task.labelled.path: sha256:" in data
    assert data.endswith("there; give all processes the same data, plugins and libraries")
    assert batch == (
        "kernel: a batch of 2 cannot be shared by 3 processes; set --batch to 3 or more, or start "
        "fewer processes"
    )
    assert "another of the 3 processes ended or cannot be reached" in gone
    assert not out.exists()


def test_torchrun_starts_them(settings: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    torchrun = Path(sys.executable).with_name("torchrun")
    words = [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "kernel", "train"]
    done = subprocess.run(
        [*words, "-c", settings, "--out", tmp_path / "t"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("20 steps; try: kernel run") == 1
    assert losses(tmp_path / "t") == pytest.approx(losses(trained["one"]), rel=1e-9, abs=0)
