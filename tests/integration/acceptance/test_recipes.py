"""Recipes of third parties: they train, resume exactly, are packed and play; so do two networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import Result
from safetensors.torch import load_file

RATE = 8000
SIZES = (
    *("task.sample_rate=8000", "task.seconds=0.25", "codec.bands=12", "codec.n_fft=256"),
    *("codec.window=256", "codec.griffin_lim_iters=2"),
    *("backbone.width=32", "backbone.depth=1", "backbone.heads=2"),
)
Kernel = Callable[..., Result]


def ran(kernel: Kernel, *words: object) -> str:
    done = kernel(*words)
    assert done.exit_code == 0, done.output
    return done.output


def options(*given: object) -> list[str]:
    return [word for each in given for word in ("-o", str(each))]


def trained(kernel: Kernel, tones: Path, out: Path, plugins: str, *more: object) -> Path:
    """Train four steps into a folder, with a checkpoint after two."""
    ran(
        kernel,
        *("train", "--plugins", f"edm,dit,mel,labelled,euler{plugins}", "--steps", 4),
        *("--batch", 4, "--device", "cpu", "--out", out),
        *options(f"task.path={tones}", *SIZES, *more),
        *("-c", settings(out)),
    )
    return out


def settings(out: Path) -> Path:
    file = out.with_suffix(".toml")
    file.write_text("checkpoint_every = 2\nwarmup = 1\nmicro_batch = 3\n")
    return file


def check_resumed(kernel: Kernel, whole: Path) -> None:
    """Compare with a training that was cut after step 2 and taken up again."""
    cut = whole.with_name("cut")
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / "00000004")
    shutil.rmtree(cut / "model")
    ran(kernel, "train", "--resume", cut, "--device", "cpu")
    for file in ("weights", "ema", "optimizer"):
        name = Path("checkpoints", "00000004", f"{file}.safetensors")
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), file


def check_plays(kernel: Kernel, training: Path, *words: object) -> None:
    model = shutil.copytree(training / "model", training.with_name("moved"))
    place = training.parent
    ran(
        kernel,
        *("run", "--model", model, "--steps", 2, "--device", "cpu", "--out", place),
        *("--name", "played", *words),
    )
    (item, *_) = json.loads((place / "played" / "run.json").read_text())["items"]
    audio, rate = soundfile.read(place / "played" / item["file"])
    assert rate == RATE and np.isfinite(audio).all() and audio.any()


def changed(training: Path, prefix: str) -> bool:
    """Return whether the tensors under a prefix differ between both checkpoints."""
    first, last = (
        load_file(training / "checkpoints" / f"{step:08d}" / "weights.safetensors")
        for step in (2, 4)
    )
    return any(not torch.equal(first[each], last[each]) for each in last if each.startswith(prefix))


@pytest.mark.parametrize("taught", [False, True])
def test_a_consistency_model_is_distilled(
    install: Callable[..., Kernel], tones: Path, tmp_path: Path, taught: bool
) -> None:
    kernel = install("consistency", "recipe.consistency")
    more: list[str] = []
    if taught:
        teacher = trained(kernel, tones, tmp_path / "teacher", "")
        more = [f"recipe.teacher={teacher / 'model'}"]
    out = trained(kernel, tones, tmp_path / "student", ",consistency", "recipe.half_life=2", *more)
    assert changed(out, "network.") and changed(out, "average.")
    check_resumed(kernel, out)
    assert str(tmp_path) not in (out / "model" / "model.toml").read_text()
    check_plays(kernel, out, "--plugins", "ping-pong", "-n", 2)


def test_a_network_and_a_critic_take_turns(
    install: Callable[..., Kernel], tones: Path, tmp_path: Path
) -> None:
    kernel = install("adversarial", "recipe.adversarial")
    rate = "groups.critic.learning_rate=1e-9"
    out = trained(kernel, tones, tmp_path / "training", ",adversarial", rate)
    assert changed(out, "network.") and changed(out, "critic.")
    first, last = (
        load_file(out / "checkpoints" / f"{step:08d}" / "weights.safetensors") for step in (2, 4)
    )
    moved = max(float((last[each] - first[each]).abs().max()) for each in last if "critic" in each)
    assert moved < 1e-6, "the critic has a learning rate of its own"
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert all({"loss", "loss.critic"} <= entry.keys() for entry in history)
    exported = load_file(out / "model" / "model.safetensors")
    assert {f"network.{name}" for name in exported} == {
        each for each in last if each.startswith("network.")
    }
    check_resumed(kernel, out)
    check_plays(kernel, out, "-n", 2)


def test_a_predictor_and_a_generator_are_trained_together(
    install: Callable[..., Kernel], tmp_path: Path
) -> None:
    install("paired", "task.enhance")
    kernel = install("predicted", "backbone.predicted")
    draws = np.random.default_rng(0)
    for name in ("clean", "noisy"):
        (tmp_path / name).mkdir()
        for number in range(4):
            tone = 0.2 * np.sin(2 * np.pi * 300 * (number + 1) * np.arange(2000) / RATE)
            noise = 0.05 * draws.standard_normal(2000) * (name == "noisy")
            soundfile.write(tmp_path / name / f"{number}.wav", tone + noise, RATE)
    out = tmp_path / "training"
    ran(
        kernel,
        *("train", "--plugins", "ouve,predicted,waveform,enhance,heun", "--steps", 4),
        *("--batch", 4, "--device", "cpu", "--out", out, "-c", settings(out)),
        *options(f"task.clean={tmp_path / 'clean'}", f"task.noisy={tmp_path / 'noisy'}"),
        *options("task.sample_rate=8000", "task.seconds=0.25", "codec.fold=16"),
    )
    assert changed(out, "network.predictor.") and changed(out, "network.generator.")
    check_resumed(kernel, out)
    check_plays(kernel, out, "-i", tmp_path / "noisy" / "3.wav")


@pytest.mark.parametrize("name", ["adversarial", "consistency"])
def test_they_keep_the_promises_of_recipes(install: Callable[..., Kernel], name: str) -> None:
    kernel = install(name, f"recipe.{name}")
    ran(kernel, "check", f"recipe.{name}")


def test_a_recipe_is_left_out_of_a_run(install: Callable[..., Kernel]) -> None:
    kernel = install("adversarial", "recipe.adversarial")
    done = kernel("run", "--plugins", "edm,recipe.adversarial")
    assert done.exit_code == 2
    assert "recipe.adversarial serves trainings alone; leave it out of a run" in done.output


def test_a_codec_is_trained_without_an_objective_or_a_network(
    install: Callable[..., Kernel], tones: Path, tmp_path: Path
) -> None:
    kernel = install("reconstruct", "codec.frames", "recipe.reconstruct")
    out = tmp_path / "training"
    told = options(f"task.path={tones}", "task.sample_rate=8000", "task.seconds=0.25")
    begin = ("train", *told, "--steps", 40, "--batch", 4, "--device", "cpu", "--out", out)
    done = kernel(*begin, "--plugins", "labelled,recipe.reconstruct")
    assert done.exit_code == 2 and "no codec was named" in done.output
    ran(kernel, *begin, "--plugins", "labelled,frames,recipe.reconstruct", "-c", settings(out))
    losses = [json.loads(line)["loss"] for line in (out / "history.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert set(load_file(out / "model" / "codec.safetensors")) == {
        *("down.weight", "down.bias", "up.weight", "up.bias")
    }
