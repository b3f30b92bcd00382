"""A folder of labelled tones and a tiny model trained on it, made once for all tests here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kernel.config import RunConfig
from kernel.registry import Registry
from kernel.runner.plan import Plan, plan_run
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.execution import execute
from kernel_audio_training.plan import plan_training

RATE = 8000
TINY = {
    "task": {"sample_rate": RATE, "seconds": 0.25},
    "codec": {"bands": 12, "n_fft": 256, "window": 256, "griffin_lim_iters": 2},
    "backbone": {"width": 32, "depth": 1, "heads": 2},
}
PARTS = ("edm", "dit", "mel", "labelled", "euler", "cfg")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.scan()


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with four takes of a low and of a high tone."""
    folder = tmp_path_factory.mktemp("tones")
    time = np.arange(RATE // 4) / RATE
    for label, frequency in (("low", 300), ("high", 1500)):
        for take in range(4):
            tone = 0.3 * np.sin(2 * np.pi * (frequency + 10 * take) * time)
            soundfile.write(folder / f"{label}_{take}.wav", tone, RATE)
    return folder


@pytest.fixture(scope="session")
def training(tones: Path) -> Callable[..., TrainConfig]:
    """Return a function from an output folder and changed settings to a tiny configuration."""

    def make(out: Path, **changes: object) -> TrainConfig:
        options = {kind: dict(given) for kind, given in TINY.items()}
        options["task"]["path"] = str(tones)
        for kind, given in changes.pop("options", {}).items():  # type: ignore[attr-defined]
            options[kind] = options.get(kind, {}) | given
        settings = {"steps": 4, "batch": 4, "warmup": 1, "plugins": PARTS, "device": "cpu"}
        return TrainConfig.model_validate({**settings, "out": out, "options": options, **changes})

    return make


@pytest.fixture(scope="session")
def train(registry: Registry, training: Callable[..., TrainConfig]) -> Callable[..., Path]:
    """Return a function that trains into a folder and returns it."""

    def run(out: Path, observers: Sequence[object] = (), **changes: object) -> Path:
        config = training(out, **changes)
        out.mkdir(parents=True, exist_ok=True)
        execute(config, plan_training(config, registry), observers)  # type: ignore[arg-type]
        return out

    return run


@pytest.fixture(scope="session")
def model(train: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny trained model."""
    return train(tmp_path_factory.mktemp("model") / "training") / "model"


@pytest.fixture
def planned(model: Path, registry: Registry) -> Callable[..., tuple[RunConfig, Plan]]:
    """Return a function from settings to the configuration and plan of a run of the tiny model."""

    def make(**settings: object) -> tuple[RunConfig, Plan]:
        given = {"model": str(model), "steps": 3, "count": 2, "device": "cpu", **settings}
        config = RunConfig.model_validate(given)
        return config, plan_run(config, registry)

    return make


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the `kernel` command as a user would."""

    def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("kernel"), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
