"""`kernel evaluate` with the metrics, as installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from kernel.cli import main

RATE = 16000


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path]:
    """Return a folder with a noisy and a silent sound, and one with their references."""
    draws = torch.Generator().manual_seed(0)
    time = torch.arange(2 * RATE) / RATE
    clean = 0.1 * torch.randn(len(time), generator=draws) * (time * 4 % 1 < 0.6)
    folders = tmp_path / "made", tmp_path / "clean"
    for folder in folders:
        folder.mkdir()
    noise = 0.01 * torch.randn(len(time), generator=draws)
    for name, sound in (("noisy", clean + noise), ("silent", 0 * clean)):
        soundfile.write(folders[0] / f"{name}.wav", sound.numpy(), RATE)
        soundfile.write(folders[1] / f"{name}.wav", clean.numpy(), RATE)
    return folders


def evaluate(made: Path, clean: Path) -> tuple[str, ...]:
    return ("evaluate", str(made), "--reference", str(clean), "--plugins", "pesq,estoi,si-sdr,lsd")


def test_files_are_scored_and_silence_is_told(sounds: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(main, [*evaluate(*sounds), "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    by_file = {item["file"]: item["scores"] for item in record["items"]}
    assert by_file["silent.wav"] == dict.fromkeys(("pesq", "estoi", "si-sdr", "lsd"))
    assert by_file["noisy.wav"]["si-sdr"] == pytest.approx(18, abs=1)
    assert [row["count"] for row in record["scores"]] == [1, 1, 1, 1]
    assert "pesq of silent.wav: the sound is silent in a channel" in record["warnings"][0]


def test_a_metric_without_a_reference_is_a_misfit(sounds: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(main, ["evaluate", str(sounds[0]), "--plugins", "pesq"])
    assert done.exit_code == 2
    assert "pesq" in done.output and "reference" in done.output
