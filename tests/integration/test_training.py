from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kernel.errors import InputError, MisfitError, NumericalError, OutputError, UsageError
from kernel.registry import Registry
from kernel.repeat import TRAINING, read_record
from kernel.tensors import load_weights, read_tensors
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.execution import check_folder, execute
from kernel_audio_training.plan import plan_training
from kernel_audio_training.trainer import Trainer

Train = Callable[..., Path]


def weights(training: Path, name: str = "weights") -> dict[str, torch.Tensor]:
    return load_file(checkpoints(training)[-1] / f"{name}.safetensors")


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
    assert [each.name for each in checkpoints(cut)] == ["00000002"]
    train(cut, steps=6, checkpoint_every=2, options=options)
    assert same(weights(whole, file), weights(cut, file))


def test_workers_change_no_weight_and_may_change_on_the_way(train: Train, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=6, checkpoint_every=2, workers=0)
    cut = tmp_path / "cut"
    with pytest.raises(Stop):
        train(cut, [StopAt(4)], steps=6, checkpoint_every=2, workers=2, micro_batch=4)
    train(cut, steps=6, checkpoint_every=2, workers=1)
    assert same(weights(whole), weights(cut))
    entries = [json.loads(line) for line in (cut / "history.jsonl").read_text().splitlines()]
    assert all(0 < entry["data_wait"] < 1 for entry in entries)


def test_files_that_vanish_in_mid_training_are_named_and_counted(
    training: Callable[..., TrainConfig], registry: Registry, tones: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    told = []

    class Vanish(StopAt):
        def started(self, *_: object) -> None:
            (data / "low_0.wav").unlink()

    for workers in (0, 2):
        shutil.copytree(tones, data, dirs_exist_ok=True)
        given = {"path": str(data), "cache": 0, "bad_files": "skip"}
        out, said = tmp_path / str(workers), list[str | None]()
        config = training(out, steps=6, workers=workers, options={"task": given})
        watchers: list[Any] = [Vanish(99)]
        record = execute(config, plan_training(config, registry), watchers, said.append)
        assert record["data"] == [
            f"8 sounds in {data}: 0.000556 hours, 8000 Hz",
            "2 labels: high 4, low 4",
        ]
        last = json.loads((out / "history.jsonl").read_text().splitlines()[-1])
        told.append((last["skipped"], said[-1], last["loss"]))
        assert same(weights(out), weights(tmp_path / "0"))
    # Three epochs of eight files, and a stand-in may be the same file.
    assert told[0] == told[1]
    assert 3 <= told[0][0] < 8
    assert told[0][1] == (
        f"{told[0][0]} times another item stood in: {data / 'low_0.wav'} does not exist; check the"
        " spelling of the path"
    )


def test_cached_latents_change_no_weight(train: Train, tmp_path: Path) -> None:
    cache = tmp_path / "latents"

    def run(name: str, **given: object) -> tuple[Path, list[float]]:
        folder = train(tmp_path / name, steps=6, checkpoint_every=2, **given)
        entries = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
        return folder, [entry.get("latent_hits") for entry in entries]

    plain, none = run("plain")
    first, some = run("first", latent_cache=cache)
    second, every = run("second", latent_cache=cache, workers=0)
    assert (none, some, every) == ([None] * 3, [0.0, 1.0, 1.0], [1.0] * 3)
    assert same(weights(plain), weights(first)) and same(weights(plain), weights(second))
    # Options of the codec have latents of their own, which are those of no other.
    run("other", latent_cache=cache, options={"codec": {"bands": 8}})
    assert len(list(cache.iterdir())) == 2
    assert all(len(list(each.iterdir())) == 1 for each in cache.iterdir())


@pytest.mark.parametrize(
    "given", [{"augment_gain": 3.0}, {"augment_polarity": 0.5}, {"seconds": 0.125}]
)
def test_latents_of_items_that_differ_are_not_kept(
    train: Train, tmp_path: Path, given: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match=r"^item \d of the data differs .* latent_cache out$"):
        train(tmp_path / "t", latent_cache=tmp_path / "latents", options={"task": given})
    assert not (tmp_path / "latents").exists()


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


def test_a_training_in_the_way_is_not_overwritten(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "t")
    with pytest.raises(OutputError, match="holds a training already; add --resume"):
        check_folder(folder, resume=False)


def test_a_folder_without_a_training_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no train.json; name"):
        read_record(tmp_path, TRAINING)


@pytest.mark.parametrize("inside", ["checkpoints/00000500/weights", "model/notes.txt", ".hidden"])
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, inside: str) -> None:
    theirs = tmp_path / "t" / inside
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(OutputError, match=r"is no folder of a training and .*; choose another"):
        check_folder(tmp_path / "t", resume=False)
    with pytest.raises(OutputError, match=r"is no folder of a training and .*; choose another"):
        check_folder(theirs, resume=False)
    assert theirs.read_text() == "mine"


def test_an_empty_folder_and_one_that_is_not_there_may_hold_a_training(tmp_path: Path) -> None:
    check_folder(tmp_path, resume=False)
    check_folder(tmp_path / "a" / "b", resume=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("beside", [True, False])
def test_what_no_training_wrote_is_not_replaced_by_the_model(
    train: Train, tmp_path: Path, beside: bool
) -> None:
    folder = train(tmp_path / "t")
    if not beside:
        shutil.rmtree(folder / "model")
        (folder / "model").mkdir()
    theirs = folder / "model" / "notes.txt"
    theirs.write_text("mine")
    for again in (lambda: check_folder(folder, resume=True), lambda: train(folder)):
        with pytest.raises(OutputError, match=r"no training wrote .*notes.txt; move it aw"):
            again()
    assert theirs.read_text() == "mine"


def test_a_finished_training_resumed_writes_the_same_model(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "t")
    before = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    train(folder)
    assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == before
    assert b"\nloss = " in before["model.toml"]


def test_a_refused_training_leaves_nothing(
    train: Train, training: Callable[..., TrainConfig], registry: Registry, tmp_path: Path
) -> None:
    config = training(tmp_path / "a" / "t", options={"task": {"path": str(tmp_path / "absent")}})
    with pytest.raises(InputError, match="absent"):
        execute(config, plan_training(config, registry))
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_the_training(train: Train, tmp_path: Path) -> None:
    said = (
        r"^(loss|grad_norm) is not finite at step (\d+), which .*; the last good checkpoint is .*;"
    )
    rate = r".*kernel train --resume .*/t --learning-rate 5e\+29$"
    with pytest.raises(NumericalError, match=said + rate):
        train(tmp_path / "t", steps=10, learning_rate=1e30, clip=1e30, checkpoint_every=1)


def spoilt(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Have trainings end with a value in the first weight of their network."""
    averaged = Trainer.averaged

    def wrong(self: Trainer, folder: Path) -> Mapping[str, torch.nn.Module]:
        exports = averaged(self, folder)
        next(exports["backbone"].parameters()).data.view(-1)[0] = value
        return exports

    monkeypatch.setattr(Trainer, "averaged", wrong)


def test_a_model_that_is_not_finite_is_not_written_over_another(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(tmp_path / "t")
    before = (folder / "model" / "model.safetensors").read_bytes()
    spoilt(monkeypatch, math.nan)
    with pytest.raises(NumericalError, match=r"^no model is written, for its weight '.*' is not f"):
        train(folder)
    assert (folder / "model" / "model.safetensors").read_bytes() == before


def test_a_tensor_beyond_float16_keeps_its_precision(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, 1e5)
    folder = train(tmp_path / "t")
    found = load_file(folder / "model" / "model.safetensors")
    (large,) = (name for name, each in found.items() if each.dtype == torch.float32)
    assert found[large].view(-1)[0] == 1e5
    assert {each.dtype for name, each in found.items() if name != large} == {torch.float16}


def test_weights_of_another_shape_name_the_tensor(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, path)
    with pytest.raises(
        InputError,
        match=r"'weight' is of shape \(2, 4\) in .* and of shape \(2, 3\) in the network",
    ):
        load_weights(module, path, "model 'm'")
    save_file({"weight": torch.zeros(2, 3)}, path)
    with pytest.raises(InputError, match=r"'bias' is missing in w.safetensors and of shape \(2,\)"):
        load_weights(module, path, "model 'm'")


@pytest.mark.parametrize("content", [None, b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      trunc"])
def test_damaged_weights_are_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="w.safetensors (are missing|cannot be read)"):
        read_tensors(path)


def test_a_training_starts_from_a_model_with_a_new_condition_and_frozen_parts(
    train: Train, model: Path, tmp_path: Path
) -> None:
    """A fifth label: its column is new, the others are those of the model."""
    options = {"task": {"labels": ["high", "low", "mid"]}}
    with pytest.warns(UserWarning, match="^the network starts with zeros for more inputs of .*"):
        folder = train(
            tmp_path / "t",
            steps=1,
            init=str(model),
            options=options,
            freeze=("blocks.*",),
            learning_rate=1e-3,
        )
    before = load_file(model / "model.safetensors")
    after = load_file(folder / "model" / "model.safetensors")
    kept = [name for name in before if name.startswith("blocks.")]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)
    alike = [name for name in before if before[name].shape == after[name].shape]
    assert not all(torch.equal(before[name], after[name]) for name in alike)
    record = json.loads((folder / "train.json").read_text())
    assert record["started"]
    assert record["inputs"]["init"]["hash"]


def test_a_training_starts_from_one_model(
    training: Callable[..., TrainConfig], registry: Registry, model: Path, tmp_path: Path
) -> None:
    config = training(tmp_path / "t", init=str(model), model=str(model), plugins=("labelled",))
    with pytest.raises(UsageError, match=r"^a training starts from --model or from --init; leave "):
        plan_training(config, registry)
