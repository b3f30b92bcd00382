from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kernel import UsageError
from kernel.checkpoint import latest, load_weights, read_state, read_tensors
from kernel.config import TrainConfig
from kernel.errors import InputError, MisfitError, NumericalError, OutputError
from kernel.registry import Registry
from kernel.runner.plan import plan_training
from kernel.runner.train import open_folder, read_config

Train = Callable[..., Path]


def weights(training: Path, name: str = "weights") -> dict[str, torch.Tensor]:
    found = latest(training)
    assert found is not None
    return load_file(found / f"{name}.safetensors")


def half(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors under a prefix as a model holds them."""
    return {
        name.removeprefix(prefix): value.half()
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Stop(Exception):
    pass


class StopAt:
    """An observer that ends the training as a crash would, after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def started(self, *_: object) -> None: ...

    def checkpoint(self, *_: object) -> None: ...

    def finished(self, *_: object) -> None: ...

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        if index == self.at:
            raise Stop


@pytest.mark.parametrize("file", ["weights", "ema", "optimizer"])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(
    train: Train, tmp_path: Path, file: str
) -> None:
    options = {"backbone": {"dropout": 0.2}}
    whole = train(tmp_path / "whole", steps=6, checkpoint_every=2, options=options)
    cut = tmp_path / "cut"
    with pytest.raises(Stop):
        train(cut, [StopAt(4)], steps=6, checkpoint_every=2, options=options)
    assert read_state(latest(cut) or cut)["step"] == 2
    train(cut, steps=6, checkpoint_every=2, options=options)
    assert same(weights(whole, file), weights(cut, file))


def test_another_seed_ends_elsewhere(train: Train, tmp_path: Path) -> None:
    one, two = (train(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert not same(weights(one), weights(two))


def test_the_average_is_not_the_weights_and_is_what_the_model_holds(
    train: Train, tmp_path: Path
) -> None:
    folder = train(tmp_path / "t")
    average = weights(folder, "ema")
    assert not same(half(average, "backbone."), half(weights(folder), "network."))
    exported = load_file(folder / "model" / "model.safetensors")
    assert same(exported, half(average, "backbone."))


def test_without_an_average_the_model_holds_the_weights(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "t", ema=0.0)
    exported = load_file(folder / "model" / "model.safetensors")
    assert same(exported, half(weights(folder), "network."))


def test_only_the_newest_checkpoints_are_kept(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "t", steps=5, checkpoint_every=1, keep=2)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "00000004",
        "00000005",
    ]


def test_the_history_has_each_step_once_after_a_resume(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    with pytest.raises(Stop):
        train(folder, [StopAt(4)], steps=6, checkpoint_every=2)
    train(folder, steps=6, checkpoint_every=2)
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4, 6]
    assert all(math.isfinite(entry["loss"]) for entry in entries)


def test_training_learns(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "t", steps=80, checkpoint_every=20, learning_rate=5e-3)
    losses = [
        json.loads(line)["loss"] for line in (folder / "history.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < 0.6 * losses[0]


def test_a_manifest_holds_no_path_of_this_machine(model: Path, tones: Path) -> None:
    assert str(tones) not in (model / "model.toml").read_text()


def test_a_solver_and_guidances_become_the_recommendation(model: Path) -> None:
    import tomllib

    manifest = tomllib.loads((model / "model.toml").read_text())
    assert manifest["plugins"]["solver"] == "euler"
    assert manifest["plugins"]["guidance"] == ["cfg"]
    assert manifest["options"]["task"]["labels"] == ["high", "low"]


def test_a_process_towards_an_origin_needs_a_task_that_gives_one(
    training: Callable[..., TrainConfig], registry: Registry, tmp_path: Path
) -> None:
    plugins = ("ouve", "dit", "mel", "labelled")
    with pytest.raises(MisfitError, match=r"objective.ouve needs 'origin', .*from a recording$"):
        plan_training(training(tmp_path, plugins=plugins), registry)


def test_a_training_in_the_way_is_not_overwritten(
    train: Train, training: Callable[..., object], tmp_path: Path
) -> None:
    folder = train(tmp_path / "t")
    with pytest.raises(OutputError, match="holds a training already; add --resume"):
        open_folder(training(folder), resume=False)  # type: ignore[arg-type]


def test_a_resume_with_other_settings_is_refused(
    train: Train, training: Callable[..., object], tmp_path: Path
) -> None:
    folder = train(tmp_path / "t")
    with pytest.raises(UsageError, match=r"another learning_rate \(0.0005, now 0.1\)"):
        open_folder(training(folder, learning_rate=0.1), resume=True)  # type: ignore[arg-type]


def test_a_folder_without_a_training_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no training to resume \(train.json is missing\)"):
        read_config(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training(train: Train, tmp_path: Path) -> None:
    with pytest.raises(NumericalError, match=r"loss is not finite at step \d+; resume from"):
        train(tmp_path / "t", steps=10, learning_rate=1e30, clip=1e30, checkpoint_every=1)


def test_weights_of_another_shape_name_the_tensor(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, path)
    with pytest.raises(
        InputError, match=r"'weight' of shape \(2, 4\) where the network has \(2, 3\)"
    ):
        load_weights(module, path, "model 'm'")
    save_file({"weight": torch.zeros(2, 3)}, path)
    with pytest.raises(InputError, match="has no tensor 'bias'"):
        load_weights(module, path, "model 'm'")


@pytest.mark.parametrize("content", [None, b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      trunc"])
def test_damaged_weights_are_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="w.safetensors (are missing|cannot be read)"):
        read_tensors(path)


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(
    train: Train, tones: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "t.toml"
    settings.write_text(
        f"""
        plugins = ["edm", "dit", "mel", "labelled"]
        steps = 60
        batch = 2
        checkpoint_every = 5
        device = "cpu"
        [options.task]
        path = {str(tones)!r}
        sample_rate = 8000
        seconds = 0.25
        [options.codec]
        bands = 12
        n_fft = 256
        window = 256
        [options.backbone]
        width = 32
        depth = 1
        heads = 2
        """
    )
    kernel = Path(sys.executable).with_name("kernel")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    cut = tmp_path / "cut"
    started = [kernel, "train", "-c", settings, "--out", cut]
    process = subprocess.Popen(started, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 90
    while latest(cut) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed_at = read_state(latest(cut) or cut)["step"]
    assert 0 < killed_at < 60
    assert not (cut / "model").exists()
    subprocess.run([kernel, "train", "--resume", cut], check=True, env=environment)
    whole = tmp_path / "whole"
    subprocess.run([kernel, "train", "-c", settings, "--out", whole], check=True, env=environment)
    assert same(weights(whole), weights(cut))
    assert same(weights(whole, "optimizer"), weights(cut, "optimizer"))
