"""Trainings that go on: with other settings, recorded as segments, in a folder that one holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kernel
from kernel.errors import LockError, OutputError, UsageError
from kernel.files import claimed
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.execution import HALF, check_folder

Training = Callable[..., TrainConfig]


@pytest.fixture
def begun(training: Training, tmp_path: Path) -> Path:
    """Return the folder of a training of four steps."""
    settings = training(tmp_path / "t", steps=4).model_dump(exclude_unset=True)
    plugins = settings.pop("plugins")
    options = {
        f"{kind}.{name}": value
        for kind, given in settings.pop("options").items()
        for name, value in given.items()
    }
    return kernel.train(plugins, options=options, **settings).folder


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return found


def test_what_may_change_changes_and_is_a_segment_of_its_own(begun: Path) -> None:
    first = record(begun)
    assert (first["segments"], first["from_step"]) == ([], 0)
    kernel.train(resume=begun, steps=6, learning_rate=1e-5, checkpoint_every=1, keep=3)
    second = record(begun)
    assert second["config"]["learning_rate"] == 1e-5
    assert second["from_step"] == 4
    (before,) = second["segments"]
    assert before == {k: v for k, v in first.items() if k != "segments"}
    assert (begun / "checkpoints" / "00000006").is_dir()
    kernel.train(resume=begun)
    assert record(begun) == second
    kernel.train(resume=begun, steps=7)
    assert [each["from_step"] for each in record(begun)["segments"]] == [0, 4]
    kernel.train(resume=begun, locked=True)


def test_a_resumed_training_is_still_held_to_its_first_part(begun: Path) -> None:
    path = begun / "train.json"
    first = record(begun)
    first["versions"]["torch"] = "0.1"
    path.write_text(json.dumps(first))
    with pytest.raises(LockError, match="version of torch"):
        kernel.train(resume=begun, locked=True)
    kernel.train(resume=begun, steps=5)
    assert record(begun)["versions"]["torch"] != "0.1"
    with pytest.raises(LockError, match="version of torch"):
        kernel.train(resume=begun, locked=True)


def test_a_training_of_two_rates_is_not_repeated_by_one(begun: Path, tmp_path: Path) -> None:
    kernel.train(resume=begun, steps=5, learning_rate=1e-5)
    kernel.train(resume=begun, locked=True)
    with pytest.raises(LockError, match="learning_rate"):
        kernel.train(source=begun, locked=True, out=tmp_path / "again")


def test_what_may_not_change_is_named(begun: Path) -> None:
    with pytest.raises(UsageError, match=r"but average, .*, workers; leave batch, seed out$"):
        kernel.train(resume=begun, batch=2, seed=4)


def test_a_folder_that_another_process_holds_is_refused(begun: Path) -> None:
    hold = (
        "import os, sys, pathlib; from kernel.files import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1]), 'being trained'):\n"
        "    if os.fork(): print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(begun)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    half = begun / "checkpoints" / ".00000009.partial-1"
    half.mkdir()
    with pytest.raises(OutputError, match=rf"is being trained by process {other.pid} on .*; wait"):
        kernel.train(resume=begun)
    assert half.exists()
    # The lock of a process that is killed is free, even while its workers live.
    other.kill()
    other.wait()
    assert (begun / ".lock").exists()
    kernel.train(resume=begun)
    assert not (begun / ".lock").exists()
    assert not half.exists()
    other.communicate()


def test_what_a_killed_process_left_half_written_goes(begun: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    halves = [
        begun / f".model{HALF}1a2b3c4d" / "model.toml",
        begun / f".history.jsonl{HALF}1a2b3c4d",
        begun / "samples" / f".00000002{HALF}1a2b3c4d" / "00.wav",
        other / f".train.json{HALF}1a2b3c4d",
    ]
    for each in halves:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("ha")
    kernel.train(resume=begun)
    assert not list(begun.rglob(f"*{HALF}*"))
    check_folder(other, resume=False)


def test_a_folder_that_was_made_to_be_held_goes_again(tmp_path: Path) -> None:
    with claimed(tmp_path / "a" / "b", "being trained"):
        assert (tmp_path / "a" / "b" / ".lock").is_file()
    assert not list(tmp_path.iterdir())
