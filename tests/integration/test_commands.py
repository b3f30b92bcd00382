"""The commands as a user types them: every way in, and every way it can go wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kernel import Making, Request, Task
from kernel.cli import COMMANDS, main

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugins", "model", "nfe", "items"),
    [
        ("edm,unipc", "digits-edm", 3, 10),
        ("rf,heun", "digits-rf", 5, 16),
        ("edm,schedule.rf,dpmpp-2m", "digits-edm", 3, 10),
    ],
)
def test_the_shipped_models_speak_at_once(
    command: Command, tmp_path: Path, plugins: str, model: str, nfe: int, items: int
) -> None:
    done = command("run", "--plugins", plugins, "--steps", 3, "-n", 2, "--name", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("; open runs/r/index.html to listen\n")
    assert (tmp_path / "runs" / "r" / "index.html").is_file()
    # Both models recommend cfg, which evaluates two branches at some of the sigmas.
    spent = f"(3 steps, NFE {nfe}, {items} network items, "
    assert f"2 sounds in runs/r {spent}" in done.stdout and "Traceback" not in done.stderr
    record = json.loads((tmp_path / "runs" / "r" / "run.json").read_text())
    assert record["model"]["name"] == model
    assert record["sampling"]["nfe"] == nfe
    assert [item["label"] for item in record["items"]] == ["0", "1"]


@pytest.mark.slow
def test_a_run_can_be_read_by_a_program(command: Command, model: Path, tmp_path: Path) -> None:
    done = command("run", "--model", model, "--steps", 2, "-n", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (tmp_path / record["folder"] / record["items"][0]["file"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["run", "--plugins", "edm,unipk"], 2, "there is no plugin 'unipk'; did you mean 'unipc'"),
        (["run", "--plugins", "edm", "-o", "solver"], 2, "is not of the form KIND.OPTION=VALUE"),
        (
            ["run", "--without", "observer.pag"],
            2,
            "nothing recommends observer.pag; leave --without",
        ),
        (["run", "--steps", "0"], 2, "setting 'steps' cannot be 0: input should be greater than"),
        (
            ["run", "--plugins", "edm", "-o", "schedule.sigma_max=0.001"],
            2,
            "option of schedule.edm is refused: sigma_max 0.001 is not above sigma_min 0.002 (`ker",
        ),
        (
            ["train", "--plugins", "edm,dit,labelled,mel", "-o", "backbone.width=17"],
            2,
            "kernel: option of backbone.dit is refused: width 17 is not a multiple of 4 x heads =",
        ),
        (["run", "--name", "../x"], 2, "setting 'name' cannot be '../x'"),
        (["run", "-c", "absent.toml"], 4, "configuration absent.toml cannot be read: No such file"),
        (["run", "-c", "bad.toml"], 4, "configuration bad.toml is not valid TOML"),
        (["run", "-c", "odd.toml"], 2, "setting 'stepz' does not exist; did you mean 'steps'"),
        (["run", "--model", "absent/model"], 4, "absent/model/model.toml is missing"),
        (["run", "--model", "digits-emd"], 2, "did you mean 'digits-edm'"),
        (["run", "--device", "tpu"], 6, "device 'tpu' is unknown; use auto, cpu, cuda"),
        (["run", "--out", "file/runs"], 5, "a part of its path is not a directory"),
        (["run", "-i", "song.wav"], 2, "takes no input"),
        (["train", "--plugins", "edm,dit,mel"], 2, "no task was named and no model recommends one"),
        (["train", "--resume", "absent"], 4, "absent holds no train.json; name"),
        (["train", "--resume", "absent", "--steps", "9"], 4, "absent holds no train.json; name"),
        (["rnu"], 2, "there is no command 'rnu'; did you mean 'run'"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_code(
    command: Command, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    (tmp_path / "bad.toml").write_text("steps = = 3")
    (tmp_path / "odd.toml").write_text("stepz = 3")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    done = command(*arguments, cwd=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == code, done.stderr
    assert last.startswith("kernel: ") and sentence in last
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _nan(path: Path) -> None:
    soundfile.write(path, np.full(2000, np.nan, np.float32), 8000, subtype="FLOAT")


def _remove(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_cut, "low_1.wav"),
        (_nan, "low_1.wav"),
        (_remove, "does not exist"),
    ],
)
def test_bad_audio_is_named_and_nothing_is_trained(
    command: Command, tones: Path, tmp_path: Path, spoil: Any, sentence: str
) -> None:
    sounds = Path(shutil.copytree(tones, tmp_path / "sounds"))
    spoil(sounds / "low_1.wav")
    arguments = ["--plugins", "edm,dit,mel,labelled", "-o", f"task.path={sounds}"]
    done = command("train", *arguments, "--steps", 1, "--out", tmp_path / "t", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "t" / "model").exists()


def test_a_schedule_cannot_contradict_the_process_of_the_objective(
    command: Command, tones: Path, tmp_path: Path
) -> None:
    arguments = ["--plugins", "vp,dit,mel,labelled", "-o", f"task.path={tones}"]
    arguments += ["-o", "schedule.beta_max=10", "--steps", 1, "--out", tmp_path / "t"]
    done = command("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        "kernel: schedule.beta_max is 10, but objective.beta_max, a number of the same process "
        "'vp', is 20; leave schedule.beta_max out, or train with -o objective.beta_max=10"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_run_with_130_and_leaves_nothing(
    tmp_path: Path, model: Path, name: str
) -> None:
    kernel = Path(sys.executable).with_name("kernel")
    arguments = ["run", "--model", model, "--steps", "100000", "-n", "1", "--out", tmp_path / "o"]
    process = subprocess.Popen([kernel, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("o/.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "kernel: interrupted"
    assert "Traceback" not in errors
    assert not (tmp_path / "o").exists()


def test_help_shows_an_example_of_every_command(command: Command, tmp_path: Path) -> None:
    for name in COMMANDS:
        done = command(name, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert f"kernel {name}" in done.stdout.split("Example", 1)[1]


def test_what_a_task_notes_of_a_sound_is_told_and_recorded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(self: Task, request: Request) -> Making:
        (sound,) = yield from Task.make(self, request)
        return [attrs.evolve(sound, notes=("3 of 9 samples were clipped",))]

    monkeypatch.setattr("kernel_plugins.tasks.labelled.Labelled.make", make)
    monkeypatch.chdir(tmp_path)
    words = ("run", "--model", str(model), "--steps", "2", "-n", "1", "--name", "r")
    done = CliRunner().invoke(main, [*words, "--device", "cpu"], prog_name="kernel")
    assert done.exit_code == 0, done.output
    said = "00-high: 3 of 9 samples were clipped"
    assert done.stderr.splitlines()[-1] == f"note: {said}"
    assert json.loads(Path("runs/r/run.json").read_text())["warnings"][-1] == said
