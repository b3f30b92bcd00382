"""Going on like a prompt of audio: in-context learning with `aligned`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

RATE, SAMPLES = 8000, 2000
CODECS = {
    "waveform": ["-o", "codec.fold=16"],
    "stft": ["-o", "codec.n_fft=62", "-o", "codec.hop=31", "-o", "codec.layout=channels"],
}
codecs = pytest.mark.parametrize("codec", sorted(CODECS))


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Return a folder with tones of different pitches, one of them shorter than an item."""
    folder = tmp_path / "tones"
    folder.mkdir()
    for number, samples in enumerate((1500, 2400, 3000, 3600)):
        tone = 0.2 * np.sin(2 * np.pi * 200 * (number + 1) * np.arange(samples) / RATE)
        soundfile.write(folder / f"{number}.wav", tone, RATE, subtype="FLOAT")
    return folder


@codecs
def test_a_prompt_is_gone_on_from_window_after_window(
    install: Callable[..., Any], tones: Path, tmp_path: Path, codec: str
) -> None:
    kernel = install("incontext", "task.voice")
    told = {"path": tones, "sample_rate": RATE, "seconds": SAMPLES / RATE, "windows": 3}
    options = [f"task.{name}={value}" for name, value in told.items()]
    options += ["backbone.width=32", "backbone.depth=1", "backbone.heads=2"]
    spelt = [word for option in options for word in ("-o", option)]
    settings = ["--steps", 30, "--batch", 4, "--learning-rate", 0.01, "--device", "cpu"]
    plugins = ["--plugins", f"rf,dit,{codec},voice,euler", *CODECS[codec], *spelt]
    done = kernel("train", *plugins, *settings, "--out", tmp_path / "training")
    assert done.exit_code == 0, done.output
    words = ["--pack", "kernel-audio-voice", "--licence", "CC0-1.0", "--out", tmp_path]
    done = kernel("export", tmp_path / "training", *words)
    assert done.exit_code == 0, done.output
    (manifest,) = (tmp_path / "kernel-audio-voice").rglob("model.toml")

    found = []
    for number in (1, 3):
        prompt = tones / f"{number}.wav"
        given = ["-i", prompt, "--out", tmp_path / "runs", "--name", number, "--seed", 1]
        model = ["--model", manifest.parent, "--steps", 2, "--device", "cpu"]
        done = kernel("run", *model, *given)
        assert done.exit_code == 0, done.output
        heard, _ = soundfile.read(prompt)
        audio, rate = soundfile.read(tmp_path / "runs" / str(number) / f"00-{number}.wav")
        assert rate == RATE and len(audio) == len(heard) + 3 * SAMPLES // 2
        assert np.abs(audio[: len(heard)] - heard).max() < 1e-3
        found.append(audio[len(heard) :])
    for part in np.split(found[0], 3):
        assert np.isfinite(part).all() and np.abs(part).max() > 1e-3
    assert np.abs(found[0] - found[1]).max() > 1e-3


def no_encoder(name: str) -> Any:
    raise NotImplementedError


@codecs
def test_a_prompt_has_the_scale_of_the_latent(
    install: Callable[..., Any], tones: Path, codec: str
) -> None:
    install("incontext", "task.voice")
    from kernel.assembly import assemble
    from kernel.config import RunConfig
    from kernel.registry import Registry
    from kernel.runner.device import Machine
    from kernel.runner.space import collated, latent_space
    from kernel_audio_training.batches import sounds

    options = {"task": {"path": str(tones), "sample_rate": RATE, "seconds": SAMPLES / RATE}}
    options["codec"] = {"std": 0.1}
    registry, machine = Registry.scan(), Machine.choose(RunConfig(device="cpu"))
    selection = registry.select(("rf", "dit", codec, "voice"))
    kinds = ("objective", "schedule", "backbone", "codec", "task")
    assembly, _ = assemble(registry, selection, kinds, options)
    space = latent_space(assembly, SAMPLES, assembly.build_codec(), machine, no_encoder)
    item = assembly.task.dataset("train").item(3, torch.Generator().manual_seed(0))
    x0 = space.encode(sounds([item]))
    condition = collated(assembly.task, [item], space, assembly.condition, machine)
    assert condition.aligned is not None
    half = x0.shape[-1] // 2 - 2
    torch.testing.assert_close(condition.aligned[..., :half], x0[..., :half])
    assert not condition.aligned[..., half + 5 :].any()
