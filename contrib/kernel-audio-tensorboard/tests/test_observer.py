"""The observer by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_audio_tensorboard.tensorboard import TensorBoard

from kernel import OutputError, Sound

Read = Callable[[Path], Any]

RECORD: dict[str, Any] = {
    "name": "night",
    "config": {"seed": 3, "steps": 4, "name": "night", "out": "runs", "plugins": ["a"], "x": None},
    "plugins": [
        {"kind": "solver", "name": "heun", "options": {}},
        {"kind": "guidance", "name": "one", "options": {"scale": 2.5, "low": None}},
        {"kind": "guidance", "name": "two", "options": {"hard": True, "words": ["a"]}},
        {"kind": "observer", "name": "tensorboard", "options": {"every": 1}},
    ],
    "model": {"name": "digits"},
}


def watch(observer: TensorBoard, folder: Path, *points: tuple[int, float], total: int = 40) -> None:
    folder.mkdir(exist_ok=True)
    observer.started(folder, RECORD)
    for step, loss in points:
        observer.step(step, total, {"loss": loss})


def test_a_folder_that_is_renamed_takes_everything_along(tmp_path: Path, seen: Read) -> None:
    observer, stage, folder = TensorBoard(), tmp_path / ".night.partial", tmp_path / "night"
    watch(observer, stage, (1, 0.5), (2, 0.25))
    stage.rename(folder)
    observer.finished(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    assert len(list((folder / "tensorboard").iterdir())) == 1
    found = seen(folder / "tensorboard")
    assert found.curve("loss") == {1: 0.5, 2: 0.25}
    assert found.ended


def test_a_file_is_whole_after_every_event(tmp_path: Path, seen: Read) -> None:
    observer = TensorBoard()
    watch(observer, tmp_path, (1, 0.5))
    assert seen(tmp_path / "tensorboard").curve("loss") == {1: 0.5}
    observer.step(2, 40, {"loss": 0.25})
    found = seen(tmp_path / "tensorboard")
    assert found.curve("loss") == {1: 0.5, 2: 0.25}
    assert not found.ended


def test_a_resumed_training_takes_back_what_it_does_again(tmp_path: Path, seen: Read) -> None:
    watch(TensorBoard(), tmp_path, (10, 4.0), (20, 3.0), (30, 2.0))
    again = TensorBoard()
    watch(again, tmp_path, (20, 2.5))
    assert seen(tmp_path / "tensorboard").curve("loss") == {10: 4.0, 20: 2.5}
    again.step(30, 40, {"loss": 1.5})
    assert seen(tmp_path / "tensorboard").curve("loss") == {10: 4.0, 20: 2.5, 30: 1.5}


def test_every_so_often_and_always_the_last(tmp_path: Path, seen: Read) -> None:
    observer = TensorBoard(every=15)
    watch(observer, tmp_path, *((step, 1.0) for step in (10, 20, 30, 35, 39)), total=39)
    assert set(seen(tmp_path / "tensorboard").curve("loss")) == {10, 30, 39}


def test_settings_and_options_are_compared(tmp_path: Path, seen: Read) -> None:
    watch(TensorBoard(), tmp_path)
    found = seen(tmp_path / "tensorboard")
    assert found.hparams == {
        "seed": 3,
        "steps": 4,
        "model": "digits",
        "solver": "heun",
        "guidance": "one,two",
        "guidance.one.scale": 2.5,
        "guidance.two.hard": True,
    }
    said = found.text("record")
    assert json.loads(said.removeprefix("```json").removesuffix("```")) == RECORD


def test_a_run_ends_with_its_scores_and_the_first_sounds(tmp_path: Path, seen: Read) -> None:
    items = [{"name": f"{i:02d}", "file": f"{i:02d}.wav"} for i in range(3)]
    scores = [{"name": "pesq", "value": 2.5}, {"name": "estoi", "value": None}]
    done = {"items": items, "scores": scores, "sampling": {"sample_rate": 8000}}
    audio = torch.zeros(1, 4)
    observer = TensorBoard(sounds=2)
    watch(observer, tmp_path, (1, 0.5), (4, 0.25), total=4)
    for item in items:
        (tmp_path / item["file"]).write_bytes(item["name"].encode())
        observer.sound(Sound(item["name"], audio, 44100), item)
    (tmp_path / "run.json").write_text(json.dumps(done), "utf-8")
    observer.finished(tmp_path)
    found = seen(tmp_path / "tensorboard")
    assert found.sounds == {"sounds/00": b"00", "sounds/01": b"01"}
    assert found.curve("scores/pesq") == {4: 2.5}
    assert "scores/estoi" not in found.names


def test_the_samples_of_a_training_are_of_their_steps(tmp_path: Path, seen: Read) -> None:
    observer = TensorBoard(sounds=1)
    watch(observer, tmp_path, (10, 0.5), (20, 0.25))
    for step in (10, 20):
        for name in "ab":
            (tmp_path / f"{name}.wav").write_bytes(f"{name}{step}".encode())
            entry = {"name": name, "file": f"{name}.wav", "step": step}
            observer.sound(Sound(name, torch.zeros(1, 4), 8000), entry)
        found = seen(tmp_path / "tensorboard")
        assert found.sounds == {"sounds/a": f"a{step}".encode()}


def test_another_folder_keeps_runs_apart_by_name(tmp_path: Path, seen: Read) -> None:
    observer = TensorBoard(folder=tmp_path / "board" / "all")
    watch(observer, tmp_path / "stage", (1, 0.5))
    (tmp_path / "stage").rename(tmp_path / "night")
    observer.finished(tmp_path / "night")
    assert not (tmp_path / "night" / "tensorboard").exists()
    found = seen(tmp_path / "board" / "all" / "night")
    assert found.curve("loss") == {1: 0.5}
    assert found.ended


def test_a_folder_that_cannot_be_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    observer = TensorBoard(folder=tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot write .*file.*choose another observer\.tensorb"):
        observer.started(tmp_path, RECORD)


def test_a_folder_that_went_away_is_a_usage_error(tmp_path: Path) -> None:
    observer = TensorBoard(folder=tmp_path / "board")
    watch(observer, tmp_path / "run", (1, 0.5))
    (tmp_path / "board").rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"cannot write .*No such file.*choose another"):
        observer.step(2, 40, {"loss": 0.25})
