"""Adapters on any backbone, a counter around any solver, a cache around any codec."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

NAMES = ("kept", "counter", "cache", "idle")
ENTRIES = (*(f"wrapper.{name}" for name in NAMES), "backbone.plain")
PARTS = "edm,mel,labelled,euler,cfg"
MEL = ["codec.bands=12", "codec.n_fft=256", "codec.window=256", "codec.griffin_lim_iters=2"]
SIZES = {
    "dit": ["backbone.width=32", "backbone.depth=1", "backbone.heads=2"],
    "unet": ["backbone.width=16"],
    "plain": [],
}
SETTINGS = ("--batch", 4, "--device", "cpu", "--learning-rate", 0.02)


@pytest.fixture
def kernel(install: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Return the command, which sees the private wrappers and has to succeed."""
    install("lora", "wrapper.adapters")
    command = install("wrapped", *ENTRIES)
    (tmp_path / "fast.toml").write_text("warmup = 1\ncheckpoint_every = 2\n")

    def run(*words: object, fails: int = 0) -> str:
        done = command(*words)
        assert done.exit_code == fails, done.output
        return str(done.output)

    return run


def trained(kernel: Any, tones: Path, out: Path, *words: object, steps: int = 4) -> Path:
    """Train into a folder and return it."""
    settings = ("-c", out.parent / "fast.toml", *SETTINGS, "--steps", steps)
    kernel("train", *words, "-o", f"task.path={tones}", *settings, "--out", out)
    return out


def base(kernel: Any, tones: Path, folder: Path, backbone: str, *plugins: str) -> Path:
    """Train a tiny model of a backbone."""
    options = ["task.sample_rate=8000", "task.seconds=0.25", *MEL, *SIZES[backbone]]
    spelt = [word for option in options for word in ("-o", option)]
    names = ",".join([PARTS, backbone, *plugins])
    return trained(kernel, tones, folder / "base", "--plugins", names, *spelt)


def manifest(training: Path) -> dict[str, Any]:
    return tomllib.loads((training / "model" / "model.toml").read_text())


def sound(kernel: Any, training: Path, *words: object) -> tuple[Any, dict[str, Any]]:
    """Return the sounds of a trained model, one after the other, and the record of the run."""
    out = training / "runs"
    kernel(
        *("run", "--model", training / "model", "-n", 2, "--steps", 3, "--device", "cpu"),
        *("--out", out, "--name", "one", *words),
    )
    record = json.loads((out / "one" / "run.json").read_text())
    audio = [soundfile.read(out / "one" / item["file"])[0] for item in record["items"]]
    shutil.rmtree(out)
    return np.concatenate(audio), record


def test_a_model_recommends_the_observers_of_the_one_it_was_trained_from(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    whole = base(kernel, tones, tmp_path, "dit")
    file = whole / "model" / "model.toml"
    told = file.read_text().replace("[plugins]\n", '[plugins]\nobserver = ["page"]\n')
    owned = '[distributions]\n"observer.page" = "kernel-audio-plugins"\n'
    file.write_text(told.replace("[distributions]\n", owned))
    merged = trained(
        kernel, tones, tmp_path / "merged", "--model", whole / "model", "--plugins", "adapters"
    )
    assert manifest(merged)["plugins"]["observer"] == ["page"]
    assert manifest(merged)["distributions"]["observer.page"] == "kernel-audio-plugins"


@pytest.mark.parametrize("backbone", sorted(SIZES))
def test_adapters_are_trained_merged_and_not_needed_to_play(
    kernel: Any, tones: Path, tmp_path: Path, backbone: str
) -> None:
    whole = base(kernel, tones, tmp_path, backbone)
    go_on = ("--model", whole / "model", "--plugins")
    merged = trained(kernel, tones, tmp_path / "merged", *go_on, "adapters")
    kept = trained(kernel, tones, tmp_path / "kept", *go_on, "kept")

    before = load_file(whole / "model" / "model.safetensors")
    frozen = load_file(merged / "checkpoints" / "00000004" / "weights.safetensors")
    adapters = {name for name in frozen if name.endswith((".down", ".up"))}
    assert adapters
    for name in frozen.keys() - adapters:
        own = name.replace("parametrizations.", "").removesuffix(".original")
        own = own.removeprefix("network.")
        torch.testing.assert_close(frozen[name], before[own].to(frozen[name]), rtol=0, atol=0)
    assert all(frozen[name].any() for name in adapters if name.endswith(".up"))
    moments = load_file(merged / "checkpoints" / "00000004" / "optimizer.safetensors")
    assert {name.partition("/")[2] for name in moments} == adapters

    assert load_file(merged / "model" / "model.safetensors").keys() == before.keys()
    assert "wrapper" not in manifest(merged)["plugins"]
    assert manifest(merged)["parameters"] == manifest(whole)["parameters"]
    assert manifest(kept)["plugins"]["wrapper"] == ["kept"]
    parent = manifest(merged)["trained"]["parent"]
    assert (parent["name"], parent["hash"][:7]) == ("base", "sha256:")

    old, _ = sound(kernel, whole)
    new, record = sound(kernel, merged)
    wrapped, kept_record = sound(kernel, kept)
    assert record["wrapped"] == {}
    (around,) = kept_record["wrapped"].values()
    assert around == ["wrapper.kept@lab-wrapped"]
    error = np.square(new - wrapped).mean() / np.square(new - old).mean()
    assert np.isfinite(new).all() and error < 1e-3


@pytest.mark.parametrize("wrapper", ["adapters", "dora"])
def test_a_resumed_training_of_adapters_ends_where_an_uninterrupted_one_does(
    kernel: Any, tones: Path, tmp_path: Path, wrapper: str
) -> None:
    whole = base(kernel, tones, tmp_path, "dit")
    out = trained(kernel, tones, tmp_path / "on", "--model", whole / "model", "-p", wrapper)
    weights = (out / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "checkpoints" / "00000004")
    kernel("train", "--resume", out)
    assert (out / "model" / "model.safetensors").read_bytes() == weights


def test_a_model_goes_on_with_its_own_parts_and_licence(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    (tmp_path / "fast.toml").write_text('licence = "CC0-1.0"\nsampling_steps = 7\n')
    whole = base(kernel, tones, tmp_path, "plain")
    (tmp_path / "fast.toml").write_text("warmup = 1\n")
    again = trained(kernel, tones, tmp_path / "again", "--model", whole / "model", steps=1)
    first, second = manifest(whole), manifest(again)
    assert second["licence"] == "CC0-1.0" and second["steps"] == 7
    assert second["plugins"] == first["plugins"]
    assert second["options"] == first["options"]
    kernel("train", "--from", again, "--out", tmp_path / "repeated")
    one, two = (each / "model" / "model.safetensors" for each in (again, tmp_path / "repeated"))
    assert one.read_bytes() == two.read_bytes()


def test_a_wrapper_around_one_that_belongs_to_the_weights(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    whole = base(kernel, tones, tmp_path, "plain")
    kept = trained(kernel, tones, tmp_path / "kept", "--model", whole / "model", "-p", "kept")
    more = trained(kernel, tones, tmp_path / "more", "--model", kept / "model", "-p", "counter")
    assert manifest(more)["plugins"]["wrapper"] == ["kept", "counter"]
    _, record = sound(kernel, more)
    around = {name.partition("@")[0]: names for name, names in record["wrapped"].items()}
    assert around == {
        "backbone.plain": ["wrapper.kept@lab-wrapped"],
        "solver.euler": ["wrapper.counter@lab-wrapped"],
    }


@pytest.mark.parametrize("solver", ["euler", "heun", "unipc"])
def test_a_counter_counts_what_any_solver_evaluates(
    kernel: Any, tones: Path, tmp_path: Path, solver: str
) -> None:
    whole = base(kernel, tones, tmp_path, "plain")
    plain, _ = sound(kernel, whole, "--plugins", solver)
    counted, record = sound(kernel, whole, "--plugins", f"{solver},counter")
    assert len(sys.modules["wrapped"].COUNTED) == record["sampling"]["nfe"] > 2
    np.testing.assert_array_equal(plain, counted)


def test_a_cache_encodes_each_recording_once_and_leaves_no_trace(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    plain = base(kernel, tones, tmp_path, "plain")
    weights = load_file(plain / "model" / "model.safetensors")
    shutil.rmtree(plain)
    cached = base(kernel, tones, tmp_path, "plain", "cache")
    assert len(sys.modules["wrapped"].ENCODED) == 8
    for name, value in load_file(cached / "model" / "model.safetensors").items():
        torch.testing.assert_close(value, weights[name])
    assert "wrapper" not in manifest(cached)["plugins"]


def test_checkpointed_activations_change_no_weight_and_leave_no_trace(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    weights = []
    for plugins in ((), ("activation-checkpointing",)):
        whole = base(kernel, tones, tmp_path, "dit", *plugins)
        weights.append((whole / "model" / "model.safetensors").read_bytes())
        assert "wrapper" not in manifest(whole)["plugins"]
        shutil.rmtree(whole)
    assert weights[0] == weights[1]


def test_a_wrapper_that_wraps_nothing_is_refused(kernel: Any, tones: Path, tmp_path: Path) -> None:
    whole = base(kernel, tones, tmp_path, "plain")
    words = ("train", "--model", whole / "model", "--out", tmp_path / "none", "--plugins")
    assert "has no method that is marked" in kernel(*words, "idle", fails=3)
    (tmp_path / "base" / "model" / "model.toml").write_text(
        (whole / "model" / "model.toml").read_text().replace('solver = "euler"\n', "")
    )
    said = kernel(*words, "counter", fails=2)
    assert "wrapper.counter wraps a solver, and none was selected" in said


def test_shipped_adapters_that_nothing_has_trained_are_refused_in_a_run(
    kernel: Any, tones: Path, tmp_path: Path
) -> None:
    whole = base(kernel, tones, tmp_path, "plain")
    words = ("run", "--model", whole / "model", "--plugins", "wrapper.lora", "--out", tmp_path)
    said = " ".join(kernel(*words, fails=2).split())
    assert f"wrapper.lora serves trainings alone, and model {words[2]} holds no weights" in said
    assert "leave it out, or `kernel train` with it and run what comes out" in said
