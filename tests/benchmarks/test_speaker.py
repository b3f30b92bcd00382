"""The script that tells whose voice digits have hears pitches and timbres that are known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "digits"
RATE = 8000


@pytest.fixture(scope="module")
def speaker() -> Iterator[Any]:
    """Import the script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("speaker")


def voice(pitch: float, tilt: float, seed: int) -> Tensor:
    """Return half a second of harmonics that fall by `tilt` per harmonic, and a little noise."""
    time = torch.arange(RATE // 2) / RATE
    harmonics = torch.arange(1, int(RATE / 2 / pitch))[:, None]
    sound = (torch.sin(2 * torch.pi * pitch * harmonics * time) * tilt**harmonics).sum(0)
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(seed))
    return 0.1 * sound / sound.square().mean().sqrt() + 0.001 * noise


@pytest.mark.parametrize("pitch", [80.0, 125.0, 220.0])
def test_the_pitch_of_harmonics_is_their_distance(speaker: Any, pitch: float) -> None:
    clips = torch.stack([speaker.clip(voice(pitch, 0.8, seed)) for seed in range(3)])
    assert speaker.pitch(clips) == pytest.approx(pitch, rel=0.02)


def test_silence_around_a_sound_changes_no_timbre(speaker: Any) -> None:
    sound = voice(120, 0.8, 0)
    ear = speaker.load()
    padded = torch.nn.functional.pad(sound, (300, 5000))
    spectra = [speaker.listen(ear, speaker.clip(each)[None])[0] for each in (sound, padded)]
    torch.testing.assert_close(*map(speaker.timbre, spectra), atol=0.3, rtol=0)


def test_the_table_names_the_voice_of_a_run(
    speaker: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The learnt timbre counts, not the pitch."""
    for folder, seeds in (("train", range(12)), ("test", range(20, 24))):
        for name, tilt in (("bright", 0.95), ("dull", 0.6)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for seed in seeds:
                sound = voice(100 + 3 * seed, tilt, seed)
                soundfile.write(tmp_path / folder / f"7_{name}_{seed}.wav", sound.numpy(), RATE)
    for name, tilt in (("one", 0.95), ("other", 0.6)):
        (tmp_path / name).mkdir()
        for seed in range(40, 44):
            file = tmp_path / name / f"{seed}-7.wav"
            soundfile.write(file, voice(100 + seed, tilt, seed).numpy(), RATE)
    words = ["speaker.py", "bright", *(str(tmp_path / each) for each in ("one", "other"))]
    monkeypatch.setattr(sys, "argv", [*words, "--data", str(tmp_path)])
    speaker.main()
    rows = [
        [cell.strip() for cell in row.split("|")] for row in capsys.readouterr().out.split("\n")
    ]
    heard = {row[1]: row[3] for row in rows[2:] if len(row) > 3}
    assert heard == {
        "held-out recordings of bright": "4/4",
        "held-out recordings of the others": "0/4",
        "one": "4/4",
        "other": "0/4",
    }
    away = {row[1]: float(row[4]) for row in rows[2:] if len(row) > 3}
    assert away["one"] < 0.1 * away["other"]
    monkeypatch.setattr(sys, "argv", ["speaker.py", "nobody", "x", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="no recording of nobody; name another speaker"):
        speaker.main()
