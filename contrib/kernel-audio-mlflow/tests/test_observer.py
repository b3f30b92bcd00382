"""The observer by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_audio_mlflow.mlflow import MLflow

from kernel import OutputError, Sound

Read = Callable[..., Any]

RECORD: dict[str, Any] = {
    "config": {"seed": 3, "steps": 4, "name": "night", "out": "runs", "plugins": ["a"], "x": None},
    "plugins": [
        {"kind": "solver", "name": "heun", "options": {}},
        {"kind": "guidance", "name": "one", "options": {"scale": 2.5, "low": None}},
        {"kind": "guidance", "name": "two", "options": {"hard": True, "words": ["a"]}},
        {"kind": "observer", "name": "mlflow", "options": {"every": 1}},
    ],
    "model": {"name": "digits"},
}


def train(observer: MLflow, folder: Path, *points: tuple[int, float], total: int = 40) -> None:
    """Begin or go on with a training, up to a step; every tenth step has a checkpoint."""
    folder.mkdir(exist_ok=True)
    observer.started(folder, RECORD)
    for step, loss in points:
        observer.step(step, total, {"loss": loss})
        if step % 10 == 0:
            observer.checkpoint(folder / f"{step:08d}")


def hear(observer: MLflow, folder: Path, file: str, **entry: Any) -> None:
    """Write the file of a sound, and let the observer hear of it."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(file.encode())
    sound = Sound(Path(file).stem, torch.zeros(1, 4), 8000)
    observer.sound(sound, {"name": sound.name, "file": file} | entry)


def test_a_run_is_written_when_it_has_finished(tmp_path: Path, seen: Read) -> None:
    stage, folder = tmp_path / ".night.partial", tmp_path / "night it is"
    stage.mkdir()
    observer = MLflow(sounds=2, tags={"team": "audio"}, experiment="drums")
    record = RECORD | {"name": "night it is"}
    observer.started(stage, record)
    for step in (1, 2):
        observer.step(step, 2, {"sigma": 1.0 / step})
    for name in "abc":
        hear(observer, stage, f"{name}.wav")
    rows = [{"name": "pesq", "value": 2.5}, {"name": "estoi", "value": None}]
    (stage / "run.json").write_text(json.dumps({"scores": rows}), "utf-8")
    assert not (stage / "mlflow").exists()
    stage.rename(folder)
    said = observer.finished(folder)
    assert said == f"mlflow ui --backend-store-uri 'sqlite:///{folder}/mlflow/mlflow.db'"
    assert [path.name for path in tmp_path.iterdir()] == ["night it is"]
    found = seen(folder)
    assert found.curve("sigma") == {1: 1.0, 2: 0.5}
    assert found.curve("scores/pesq") == {2: 2.5}
    assert found.curve("scores/estoi") == {}
    files = found.files()
    assert json.loads(files.pop("record.json")) == record
    assert files == {"sounds/a.wav": b"a.wav", "sounds/b.wav": b"b.wav"}
    assert found.run.data.params == {
        "seed": "3",
        "steps": "4",
        "model": "digits",
        "solver": "heun",
        "guidance": "one,two",
        "guidance.one.scale": "2.5",
        "guidance.two.hard": "True",
    }
    assert (found.run.info.run_name, found.experiment) == ("night it is", "drums")
    assert found.run.data.tags["team"] == "audio"
    assert found.run.info.status == "FINISHED"


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    observer = MLflow()
    observer.started(tmp_path, RECORD | {"name": "night"})
    observer.step(1, 2, {"sigma": 1.0})
    hear(observer, tmp_path, "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_training_that_fails_shows_what_its_checkpoint_holds(tmp_path: Path, seen: Read) -> None:
    train(MLflow(name="mine"), tmp_path, (5, 8.0), (10, 4.0), (15, 2.0))
    found = seen(tmp_path)
    assert found.curve("loss") == {5: 8.0, 10: 4.0}
    assert (found.run.info.run_name, found.run.info.status) == ("mine", "RUNNING")


def test_a_resumed_training_goes_on_with_the_same_run(tmp_path: Path, seen: Read) -> None:
    train(MLflow(), tmp_path, (10, 4.0), (20, 3.0), (25, 2.0))
    again = MLflow()
    train(again, tmp_path, (25, 2.5), (30, 1.5), (40, 1.0))
    again.finished(tmp_path)
    found = seen(tmp_path)
    assert found.curve("loss") == {10: 4.0, 20: 3.0, 25: 2.5, 30: 1.5, 40: 1.0}
    assert found.run.info.status == "FINISHED"


def test_a_training_that_goes_back_further_writes_no_point_twice(
    tmp_path: Path, seen: Read
) -> None:
    first = MLflow()
    train(first, tmp_path, (10, 4.0), (20, 3.0))
    first.finished(tmp_path)
    again = MLflow()
    train(again, tmp_path, (15, 3.5), (20, 3.0), (30, 2.0))
    assert seen(tmp_path).run.info.status == "RUNNING"
    again.finished(tmp_path)
    assert seen(tmp_path).curve("loss") == {10: 4.0, 20: 3.0, 30: 2.0}


def test_settings_that_a_resumed_training_changed_stand_in_its_record(
    tmp_path: Path, seen: Read
) -> None:
    observer = MLflow()
    train(observer, tmp_path, (10, 4.0))
    observer.finished(tmp_path)
    observer.started(tmp_path, RECORD | {"config": {"steps": 80, "new": 1}})
    observer.finished(tmp_path)
    found = seen(tmp_path)
    assert (found.run.data.params["steps"], found.run.data.params["new"]) == ("4", "1")
    assert json.loads(found.files()["record.json"])["config"]["steps"] == 80


def test_the_time_of_a_point_is_that_of_its_step(
    tmp_path: Path, seen: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = MLflow()
    with monkeypatch.context() as patch:
        patch.setattr("kernel_audio_tracking.time.time", lambda: 1234.5)
        observer.started(tmp_path, RECORD)
        observer.step(10, 40, {"loss": 1.0})
    observer.finished(tmp_path)
    assert seen(tmp_path).times("loss") == [1_234_500]


def test_every_so_often_and_always_the_last(tmp_path: Path, seen: Read) -> None:
    observer = MLflow(every=15)
    train(observer, tmp_path, *((step, 1.0) for step in (10, 20, 30, 35, 39)), total=39)
    observer.finished(tmp_path)
    assert set(seen(tmp_path).curve("loss")) == {10, 30, 39}


def test_the_samples_of_a_training_are_of_their_steps(tmp_path: Path, seen: Read) -> None:
    observer = MLflow(sounds=1)
    train(observer, tmp_path, (10, 0.5))
    for step in (10, 20):
        for name in "ab":
            hear(observer, tmp_path, f"samples/{step:08d}/{name}.wav", step=step)
        observer.checkpoint(tmp_path)
    observer.finished(tmp_path)
    assert set(seen(tmp_path).files("sounds")) == {
        "sounds/00000010/a.wav",
        "sounds/00000020/a.wav",
    }


def test_more_points_and_settings_than_a_request_may_hold(tmp_path: Path, seen: Read) -> None:
    observer = MLflow()
    options = {f"option{index}": index for index in range(250)}
    options["long"] = "a" * 10_000
    part = {"kind": "solver", "name": "heun", "options": options}
    observer.started(tmp_path, {"config": {}, "plugins": [part], "name": "long"})
    for step in range(1, 1501):
        observer.step(step, 1500, {"a": 1.0, "b": 2.0, "c": float("nan")})
    observer.finished(tmp_path)
    found = seen(tmp_path)
    assert set(found.curve("a")) == set(found.curve("c")) == set(range(1, 1501))
    assert len(found.run.data.params) == 252


def test_a_store_of_ones_own_keeps_runs_together_and_files_beside_it(
    tmp_path: Path, seen: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    observer = MLflow(uri="sqlite:///board/all.db")
    (tmp_path / "board").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        observer.started(tmp_path / name, RECORD | {"name": name})
        observer.finished(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "one", "two"]
    assert sorted(path.name for path in (tmp_path / "board").iterdir()) == ["all.db", "artifacts"]
    from mlflow import MlflowClient

    client: Any = MlflowClient("sqlite:///board/all.db")
    (place,) = client.search_experiments(filter_string="name = 'kernel-audio'")
    names = {run.info.run_name for run in client.search_runs([place.experiment_id])}
    assert names == {"one", "two"}


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow").touch()
    with pytest.raises(OutputError, match=r"^observer\.mlflow cannot write sqlite.*; choose ano"):
        MLflow().started(tmp_path, RECORD)


def test_a_store_that_mlflow_does_not_take_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write gopher://a: [^\n]*; choose another"):
        MLflow(uri="gopher://a").started(tmp_path, RECORD)


def test_a_damaged_note_of_the_run_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "resume.json").write_text("{", "utf-8")
    with pytest.raises(OutputError, match=r"resume\.json is damaged; remove it to begin another"):
        MLflow().started(tmp_path, RECORD)


def test_a_run_that_the_store_has_no_more_is_one_sentence(tmp_path: Path) -> None:
    train(MLflow(), tmp_path, (10, 1.0))
    note = tmp_path / "mlflow" / "resume.json"
    note.write_text(json.dumps({"run": "0" * 32, "step": 10}), "utf-8")
    with pytest.raises(OutputError, match=r"Run with id=0+ not found; remove .*resume\.json to be"):
        MLflow().started(tmp_path, RECORD)


def test_a_store_that_was_removed_under_this_process_is_one_sentence(tmp_path: Path) -> None:
    observer = MLflow()
    train(observer, tmp_path / "run", (10, 1.0))
    observer.finished(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(OutputError, match=r"was removed since this process opened it; choose ano"):
        train(MLflow(), tmp_path / "run", (10, 1.0))


def test_a_checkpoint_that_cannot_be_written_waits_for_the_next_one(
    tmp_path: Path, seen: Read
) -> None:
    observer = MLflow()
    train(observer, tmp_path, (10, 1.0))
    file = tmp_path / "mlflow" / "mlflow.db"
    hidden = file.rename(file.with_suffix(".hidden"))
    file.write_bytes(b"no database at all" * 100)
    observer.step(20, 40, {"loss": 0.5})
    with pytest.warns(UserWarning, match=r"cannot write .*; the next checkpoint tries again"):
        observer.checkpoint(tmp_path)
    hidden.replace(file)
    observer.step(30, 40, {"loss": 0.25})
    observer.checkpoint(tmp_path)
    assert seen(tmp_path).curve("loss") == {10: 1.0, 20: 0.5, 30: 0.25}


def test_an_interruption_waits_until_a_checkpoint_is_written(
    tmp_path: Path, seen: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernel_audio_mlflow._session import Session

    def interrupted(self: Session, rows: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        log(self, rows)

    log = Session._log
    observer = MLflow()
    observer.started(tmp_path, RECORD)
    observer.step(10, 40, {"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_log", interrupted)
        with pytest.raises(KeyboardInterrupt):
            observer.checkpoint(tmp_path)
    # The trainer makes another checkpoint of the same step.
    observer.checkpoint(tmp_path)
    assert seen(tmp_path).curve("loss") == {10: 1.0}
    assert json.loads((tmp_path / "mlflow" / "resume.json").read_text("utf-8"))["step"] == 10
