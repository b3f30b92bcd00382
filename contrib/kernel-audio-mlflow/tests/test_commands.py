"""`kernel train` and `kernel run` with the observer, as installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import tomli_w
import torch
from click.testing import CliRunner

from kernel.cli import main

Read = Callable[[Path], Any]

RATE = 8000


def kernel(*args: str) -> None:
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny training that was watched."""
    base = tmp_path_factory.mktemp("base")
    sounds = base / "sounds"
    sounds.mkdir()
    draws = torch.Generator().manual_seed(0)
    for index in range(4):
        sound = 0.1 * torch.randn(RATE // 8, generator=draws)
        soundfile.write(sounds / f"{index}.wav", sound.numpy(), RATE)
    config = {
        "plugins": ["edm", "dit", "waveform", "unconditional", "euler", "mlflow"],
        "device": "cpu",
        "steps": 6,
        "batch": 2,
        "checkpoint_every": 2,
        "options": {
            "task": {"path": str(sounds), "sample_rate": RATE, "seconds": 0.125},
            "codec": {"fold": 50},
            "backbone": {"width": 32, "depth": 1, "heads": 2},
        },
    }
    (base / "train.toml").write_text(tomli_w.dumps(config), "utf-8")
    kernel("train", "-c", str(base / "train.toml"), "--out", str(base / "noise"))
    return base / "noise"


def test_a_resumed_training_is_one_run_whose_points_are_those_of_its_history(
    training: Path, seen: Read
) -> None:
    before = seen(training).run
    assert (before.info.run_name, before.info.status) == ("noise", "FINISHED")
    kernel("train", "--resume", str(training), "--steps", "10")
    found = seen(training)
    history = [json.loads(line) for line in (training / "history.jsonl").read_text().splitlines()]
    for name in ("loss", "learning_rate", "grad_norm"):
        assert found.curve(name) == {each["step"]: each[name] for each in history}
    assert set(found.curve("loss")) == {2, 4, 6, 8, 10}
    assert found.run.info.run_id == before.info.run_id
    assert found.run.data.params["backbone"] == "dit"
    assert found.run.data.params["backbone.dit.width"] == "32"


def test_a_run_leaves_its_sounds(training: Path, seen: Read, tmp_path: Path) -> None:
    model = str(training / "model")
    given = ("--plugins", "mlflow", "--steps", "3", "--count", "2", "--device", "cpu")
    options = ("observer.mlflow.experiment=drums", 'observer.mlflow.tags={team="ours"}')
    kernel(
        "run",
        "--model",
        model,
        *given,
        "-o",
        options[0],
        "-o",
        options[1],
        "--out",
        str(tmp_path),
        "--name",
        "night",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    record = json.loads((tmp_path / "night" / "run.json").read_text("utf-8"))
    found = seen(tmp_path / "night")
    assert set(found.curve("sigma")) == {1, 2, 3}
    assert found.curve("sigma")[3] == 0
    assert found.run.data.params["solver"] == "euler"
    assert (found.experiment, found.run.data.tags["team"]) == ("drums", "ours")
    for item in record["items"]:
        written = (tmp_path / "night" / item["file"]).read_bytes()
        assert found.files("sounds")[f"sounds/{item['file']}"] == written
