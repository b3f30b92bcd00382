"""The observer by itself."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_audio_wandb.wandb import WandB

from kernel import OutputError, Sound

Read = Callable[[Path], Any]

RECORD: dict[str, Any] = {
    "config": {"seed": 3, "steps": 4, "name": "night", "out": "runs", "plugins": ["a"], "x": None},
    "plugins": [
        {"kind": "solver", "name": "heun", "options": {}},
        {"kind": "guidance", "name": "one", "options": {"scale": 2.5, "low": None}},
        {"kind": "guidance", "name": "two", "options": {"hard": True, "words": ["a"]}},
        {"kind": "observer", "name": "wandb", "options": {"every": 1}},
    ],
    "model": {"name": "digits"},
}
SETTINGS = {
    "seed": 3,
    "steps": 4,
    "model": "digits",
    "solver": "heun",
    "guidance": "one,two",
    "guidance.one.scale": 2.5,
    "guidance.two.hard": True,
}


def train(observer: WandB, folder: Path, *points: tuple[int, float], total: int = 40) -> None:
    """Begin or go on with a training, up to a step; every tenth step has a checkpoint."""
    folder.mkdir(exist_ok=True)
    observer.started(folder, RECORD)
    for step, loss in points:
        observer.step(step, total, {"loss": loss})
        if step % 10 == 0:
            observer.checkpoint(folder / f"{step:08d}")


def lose(folder: Path, *points: tuple[int, float], **options: Any) -> None:
    """Begin a training, which is never told that it has finished."""
    train(WandB(**options), folder, *points)
    gc.collect()
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if not thread.daemon:
            thread.join(60)


def hear(observer: WandB, folder: Path, name: str, **entry: Any) -> None:
    """Write the file of a sound, and let the observer hear of it."""
    file = f"{name}{entry.get('step', '')}.wav"
    (folder / file).write_bytes(file.encode())
    sound = Sound(name, torch.zeros(1, 4), 8000)
    observer.sound(sound, {"name": name, "file": file} | entry)


def test_a_run_is_written_when_it_has_finished(tmp_path: Path, seen: Read) -> None:
    stage, folder = tmp_path / ".night.partial", tmp_path / "night"
    stage.mkdir()
    observer = WandB(sounds=2, tags=("a", "b"), project="audio")
    observer.started(stage, RECORD | {"name": "night"})
    for step in (1, 2):
        observer.step(step, 2, {"sigma": 1.0 / step})
    for name in "abc":
        hear(observer, stage, name)
    rows = [{"name": "pesq", "value": 2.5}, {"name": "estoi", "value": None}]
    (stage / "run.json").write_text(json.dumps({"scores": rows}), "utf-8")
    assert not (stage / "wandb").exists()
    stage.rename(folder)
    said = observer.finished(folder)
    assert said == f"wandb sync {folder / 'wandb'} to upload"
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    (found,) = seen(folder)
    assert found.curve("sigma") == {1: 1.0, 2: 0.5}
    assert found.curve("scores/pesq") == {2: 2.5}
    assert found.curve("scores/estoi") == {}
    assert (found.sound("a", 2), found.sound("b", 2)) == (b"a.wav", b"b.wav")
    assert found.curve("sounds/c", "path") == {}
    assert found.config == SETTINGS
    assert (found.run.display_name, found.run.project) == ("night", "audio")
    assert list(found.run.tags) == ["a", "b"]
    assert found.exit_code == 0


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    observer = WandB()
    observer.started(tmp_path, RECORD | {"name": "night"})
    observer.step(1, 2, {"sigma": 1.0})
    hear(observer, tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_training_that_fails_shows_what_its_checkpoint_holds(tmp_path: Path, seen: Read) -> None:
    lose(tmp_path, (5, 8.0), (10, 4.0), (15, 2.0), name="mine")
    (found,) = seen(tmp_path)
    assert found.curve("loss") == {5: 8.0, 10: 4.0}
    assert found.run.display_name == "mine"
    assert found.exit_code == 1


def test_a_resumed_training_goes_on_with_the_same_run(tmp_path: Path, seen: Read) -> None:
    lose(tmp_path, (10, 4.0), (20, 3.0), (25, 2.0))
    again = WandB()
    train(again, tmp_path, (25, 2.5), (30, 1.5), (40, 1.0))
    again.finished(tmp_path)
    one, two = seen(tmp_path)
    assert one.run.run_id == two.run.run_id
    assert one.curve("loss") == {10: 4.0, 20: 3.0}
    assert two.curve("loss") == {25: 2.5, 30: 1.5, 40: 1.0}


def test_a_training_that_goes_back_further_writes_no_point_twice(
    tmp_path: Path, seen: Read
) -> None:
    first = WandB()
    train(first, tmp_path, (10, 4.0), (20, 3.0))
    first.finished(tmp_path)
    again = WandB()
    train(again, tmp_path, (15, 3.5), (20, 3.0), (30, 2.0))
    again.finished(tmp_path)
    one, two = seen(tmp_path)
    assert one.curve("loss") | two.curve("loss") == {10: 4.0, 20: 3.0, 30: 2.0}
    assert not set(one.curve("loss")) & set(two.curve("loss"))


def test_the_time_of_a_point_is_that_of_its_step(
    tmp_path: Path, seen: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel_audio_tracking.time.time", lambda: 1234.5)
    observer = WandB()
    train(observer, tmp_path, (10, 4.0))
    observer.finished(tmp_path)
    assert seen(tmp_path)[0].curve("_timestamp") == {10: 1234.5}


def test_every_so_often_and_always_the_last(tmp_path: Path, seen: Read) -> None:
    observer = WandB(every=15)
    train(observer, tmp_path, *((step, 1.0) for step in (10, 20, 30, 35, 39)), total=39)
    observer.finished(tmp_path)
    assert set(seen(tmp_path)[0].curve("loss")) == {10, 30, 39}


def test_the_samples_of_a_training_are_of_their_steps(tmp_path: Path, seen: Read) -> None:
    observer = WandB(sounds=1)
    train(observer, tmp_path, (10, 0.5))
    for step in (10, 20):
        for name in "ab":
            hear(observer, tmp_path, name, step=step)
        observer.step(step + 10, 40, {"loss": 0.25})
        observer.checkpoint(tmp_path)
    observer.finished(tmp_path)
    (found,) = seen(tmp_path)
    assert (found.sound("a", 10), found.sound("a", 20)) == (b"a10.wav", b"a20.wav")
    assert found.curve("sounds/b", "path") == {}
    assert set(found.curve("loss")) == {10, 20, 30}


def test_the_environment_does_not_put_a_run_online(
    tmp_path: Path, seen: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MODE", "online"), ("PROJECT", "other"), ("DIR", str(tmp_path / "else"))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    observer = WandB()
    train(observer, tmp_path / "run", (10, 1.0))
    observer.finished(tmp_path / "run")
    (found,) = seen(tmp_path / "run")
    assert found.run.project == "kernel-audio"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_of_the_users_own_goes_on(tmp_path: Path) -> None:
    import wandb

    settings = wandb.Settings(console="off", silent=True, project="own", x_disable_meta=True)
    wandb.setup(settings)
    own = wandb.init(mode="offline", dir=tmp_path)
    observer = WandB()
    train(observer, tmp_path / "run", (10, 1.0))
    observer.finished(tmp_path / "run")
    assert wandb.run is own
    assert wandb.setup().settings.mode == "online"
    own.log({"still": 1.0})
    own.finish()
    wandb.teardown()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wandb").touch()
    with pytest.raises(OutputError, match=r"^observer\.wandb cannot write .*wandb: .*leave out"):
        WandB().started(tmp_path, RECORD)


def test_a_damaged_note_of_the_run_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "resume.json").write_text("{", "utf-8")
    with pytest.raises(OutputError, match=r"resume\.json is damaged; remove it to begin another"):
        WandB().started(tmp_path, RECORD)
