"""Enhancement learnt from pairs, with a process that drifts to the noisy recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from kernel import Batch
from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import plan_training
from kernel_audio_training.trainer import Trainer

RATE, SECONDS = 8000, 0.25
CODECS = {
    "waveform": ["-o", "codec.fold=16"],
    "stft": ["-o", "codec.n_fft=62", "-o", "codec.hop=31", "-o", "codec.layout=channels"],
}
codecs = pytest.mark.parametrize("codec", sorted(CODECS))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Return a folder with `clean` tones and the same ones `noisy`."""
    draws = np.random.default_rng(0)
    for name in ("clean", "noisy"):
        (tmp_path / name).mkdir()
    for number in range(4):
        time = np.arange(round(RATE * (SECONDS + 0.05 * number))) / RATE
        tone = 0.2 * np.sin(2 * np.pi * 300 * (number + 1) * time)
        noisy = tone + 0.05 * draws.standard_normal(len(time))
        soundfile.write(tmp_path / "clean" / f"{number}.wav", tone, RATE)
        soundfile.write(tmp_path / "noisy" / f"{number}.wav", noisy, RATE)
    return tmp_path


def arguments(pairs: Path, codec: str, noisy: str = "noisy") -> list[str]:
    told = {"clean": pairs / "clean", "noisy": pairs / noisy, "sample_rate": RATE}
    options = [f"task.{name}={value}" for name, value in {**told, "seconds": SECONDS}.items()]
    backbone = ("backbone.width=32", "backbone.depth=1", "backbone.heads=2")
    spelt = [word for option in (*options, *backbone) for word in ("-o", option)]
    return ["--plugins", f"ouve,dit,{codec},enhance", *spelt, *CODECS[codec]]


@codecs
@pytest.mark.parametrize("shown", [False, True])
def test_a_pair_is_learnt_packed_and_enhances_a_file(
    install: Callable[..., Any], pairs: Path, codec: str, shown: bool
) -> None:
    kernel = install("paired", "task.enhance")
    settings = ["--steps", 3, "--batch", 2, "--out", pairs / "training"]
    told = ["-o", f"task.shown={str(shown).lower()}", "--device", "cpu"]
    done = kernel("train", *arguments(pairs, codec), *settings, *told)
    assert done.exit_code == 0, done.output
    manifest = (pairs / "training" / "model" / "model.toml").read_text("utf-8")
    channels = {"waveform": 32, "stft": 64}[codec]
    assert (f"[trained.condition]\norigin = {channels}\n" in manifest) == shown
    model = ["--model", pairs / "training" / "model", "--plugins", "heun,ouve"]
    given = ["-i", pairs / "noisy" / "3.wav", "--out", pairs, "--name", "run"]
    done = kernel("run", *model, *given, "--steps", 2, "--device", "cpu")
    assert done.exit_code == 0, done.output
    audio, rate = soundfile.read(pairs / "run" / "00-3.wav")
    assert (rate, audio.shape) == (RATE, (3200,))
    assert np.isfinite(audio).all() and audio.any()


@codecs
def test_the_loss_sees_an_origin_at_the_scale_of_the_clean_sound(
    install: Callable[..., Any],
    pairs: Path,
    codec: str,
    tmp_path: Path,
) -> None:
    install("paired", "task.enhance")
    _, spelt, *words = arguments(pairs, codec, noisy="clean")
    options: dict[str, dict[str, str]] = {}
    for word in words[1::2]:
        name, value = word.split("=")
        kind, option = name.split(".")
        options.setdefault(kind, {})[option] = value
    settings = {"plugins": spelt.split(","), "options": options, "steps": 1, "batch": 4}
    config = TrainConfig.model_validate({**settings, "device": "cpu", "out": tmp_path / "out"})
    assembly = plan_training(config, Registry.scan()).assembly
    trainer = Trainer(assembly, assembly.task.dataset("train"), config, Machine.choose(config))
    seen: list[Batch] = []
    trainer.module.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    config.out.mkdir()
    trainer.run(config.out)
    (batch,) = seen
    assert batch.condition.origin is not None and torch.equal(batch.x0, batch.condition.origin)
