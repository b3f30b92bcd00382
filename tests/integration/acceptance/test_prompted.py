"""Prompts of any length: learnt, packed, and made in batches of unequal ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

BACKBONES = {
    "dit": ("width=32", "depth=1", "heads=2", "patch=2"),
    "unet": ("width=16", "multipliers=[1,2]", "blocks=1", "heads=2", "attention_levels=[1]"),
}
backbones = pytest.mark.parametrize("backbone", BACKBONES)


def spelt(kind: str, *options: str) -> list[str]:
    return [word for option in options for word in ("-o", f"{kind}.{option}")]


def trained(kernel: Any, backbone: str, tmp_path: Path) -> Path:
    """Return the pack of a model that learnt from prompts."""
    options = [*spelt("backbone", *BACKBONES[backbone]), *spelt("codec", "fold=16")]
    settings = ["--steps", 30, "--batch", 4, "--learning-rate", 0.01, "--device", "cpu"]
    plugins = f"rf,{backbone},waveform,melody,euler"
    done = kernel(
        "train", "--plugins", plugins, *options, *settings, "--out", tmp_path / "training"
    )
    assert done.exit_code == 0, done.output
    words = ["--pack", "kernel-audio-melodies", "--licence", "CC0-1.0", "--out", tmp_path]
    done = kernel("export", tmp_path / "training", *words)
    assert done.exit_code == 0, done.output
    (manifest,) = (tmp_path / "kernel-audio-melodies").rglob("model.toml")
    return manifest.parent


def made(kernel: Any, model: Path, *settings: object) -> dict[str, np.ndarray]:
    """Return the sounds of a run of a pack, by their names."""
    runs = model.parents[1] / "runs"
    out = runs / str(len(list(runs.glob("*"))))
    shared = ["--model", model, "--steps", 3, "--seed", 3, "--device", "cpu", "--count", 4]
    done = kernel("run", *shared, "--out", runs, "--name", out.name, *settings)
    assert done.exit_code == 0, done.output
    return {file.name: soundfile.read(file)[0] for file in sorted(out.glob("*.wav"))}


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(one).max())


GUIDED = ("--plugins", "cfg", "-o", "guidance.guidance_scale=3")
NEGATIVE = (*GUIDED, "-o", "guidance.negative=rest high rest low mid low")


@backbones
def test_prompts_of_any_lengths_are_learnt_packed_and_made_beside_each_other(
    install: Callable[..., Any], tmp_path: Path, backbone: str
) -> None:
    kernel = install("prompted", "task.melody")
    model = trained(kernel, backbone, tmp_path)
    composed = tmp_path / "composed.toml"
    composed.write_text('[options.guidance.compose]\n"low low low" = 2.0\n')
    runs = []
    for settings in ((), GUIDED, NEGATIVE, (*GUIDED, "-c", composed)):
        together = made(kernel, model, "--batch", 4, *settings)
        alone = made(kernel, model, "--batch", 1, *settings)
        assert together.keys() == alone.keys() and len(together) == 4
        for name, sound in together.items():
            assert np.isfinite(sound).all() and sound.any()
            # The files hold 16 bits.
            assert apart(sound, alone[name]) < 1e-3, (settings, name)
        runs.append(together)
    _, plain, *guided = runs
    for each in guided:
        assert min(apart(plain[name], sound) for name, sound in each.items()) > 3e-3
