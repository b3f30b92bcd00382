"""The recordings that docs/edits.md repairs are damaged as it says, with what is installed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

resample_poly = pytest.importorskip("scipy.signal").resample_poly

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "edits" / "damage.py"
RATE = 8000

pytestmark = pytest.mark.usefixtures("files")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(1)
    for name, rate, length in (("sound", RATE, 8000), ("other", 16000, 4000)):
        sound = 0.2 * np.exp(-np.arange(length) / length) * draws.standard_normal(length)
        soundfile.write(f"{name}.wav", sound, rate)


def damage(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a recording before and after, damaged where scipy cannot be imported."""
    words = ["damage.py", kind, "sound.wav", "out/damaged.wav", "--other", "other.wav"]
    with pytest.MonkeyPatch.context() as patch:
        for module in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
            patch.delitem(sys.modules, module)
        patch.setitem(sys.modules, "scipy", None)
        patch.setattr(sys, "argv", words)
        runpy.run_path(str(SCRIPT), run_name="__main__")
    before, after = (soundfile.read(each)[0] for each in ("sound.wav", "out/damaged.wav"))
    assert np.abs(after).max() == pytest.approx(0.5, abs=1e-3)
    assert len(after) == 8000
    return before, after


def power(sound: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return float(spectrum[round(low) : round(high)].sum())


def test_clip() -> None:
    before, after = damage("clip")
    lost = np.abs(before) > np.abs(before).max() / 5 + 1e-3
    assert lost.any()
    assert np.abs(np.abs(after[lost]) - 0.5).max() < 1e-3


def test_narrow() -> None:
    before, after = damage("narrow")
    assert power(after, 2150, 4000) < 1e-6 * power(after, 0, 1850)
    scale = power(after, 100, 1850) / power(before, 100, 1850)
    for low in range(100, 1600, 250):
        share = power(after, low, low + 250) / power(before, low, low + 250)
        assert share == pytest.approx(scale, rel=1e-3)


def test_noise() -> None:
    before, after = damage("noise")
    scale = before @ after / (before @ before)
    left = np.mean((after / scale - before) ** 2) / np.mean(before**2)
    assert 10 * np.log10(left) == pytest.approx(-10, abs=0.2)


def test_room() -> None:
    before, after = damage("room")
    other = soundfile.read("other.wav")[0]

    heard = np.convolve(before, resample_poly(other, 1, 2))[:8000]
    likeness = heard @ after / np.linalg.norm(heard) / np.linalg.norm(after)
    assert likeness > 0.98


def test_mix() -> None:
    before, after = damage("mix")
    alone = after[2000:] / np.linalg.norm(after[2000:])
    assert alone @ before[2000:] / np.linalg.norm(before[2000:]) > 0.999
    assert after[:2000] @ before[:2000] / np.linalg.norm(after[:2000]) < 0.95 * np.linalg.norm(
        before[:2000]
    )
