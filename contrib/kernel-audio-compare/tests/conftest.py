"""A tiny model of two tones, trained once, and a grid over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import kernel
from kernel_audio_compare import Comparison, compare

RATE = 8000


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    time = np.arange(RATE // 8) / RATE
    for label, frequency in (("low", 300), ("high", 1500)):
        for take in range(4):
            tone = 0.3 * np.sin(2 * np.pi * (frequency + 10 * take) * time)
            soundfile.write(folder / f"{label}_{take}.wav", tone, RATE)
    return folder


@pytest.fixture(scope="session")
def model(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with random weights but for one step."""
    options = {
        "task.sample_rate": RATE,
        "task.seconds": 0.125,
        "task.path": str(tones),
        "codec.bands": 12,
        "codec.n_fft": 256,
        "codec.window": 256,
        "codec.griffin_lim_iters": 2,
        "backbone.width": 16,
        "backbone.depth": 1,
        "backbone.heads": 2,
    }
    parts = ["edm", "dit", "mel", "labelled", "euler", "cfg"]
    out = tmp_path_factory.mktemp("model") / "training"
    settings = {"steps": 1, "batch": 2, "warmup": 0, "device": "cpu", "out": out}
    return kernel.train(parts, options=options, **settings).model


@pytest.fixture
def grid(model: Path, tmp_path: Path) -> Callable[..., Comparison]:
    """Return a function that compares runs of the tiny model."""

    def make(over: dict[str, Any], plugins: tuple[str, ...] = (), **settings: Any) -> Comparison:
        given = {"out": tmp_path / "grid", "model": str(model), "count": 2, "device": "cpu"}
        return compare(over, plugins=plugins, **{**given, "converged": 0, **settings})

    return make
