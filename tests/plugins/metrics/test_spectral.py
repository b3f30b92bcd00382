"""Spectral distances of pairs against closed forms and against their formulas, frame by frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

import kernel
from kernel import AudioSpec, InputError, Metric
from kernel.audio import write_audio
from kernel_plugins.metrics.mel_distance import MelDistance
from kernel_plugins.metrics.mr_stft import MrStft

RATE = 16000
Spectrum = NDArray[np.float64]


def noise(samples: int = 8000, seed: int = 0, channels: int = 1) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


def scores(metric: Metric, audio: Tensor, reference: Tensor, rate: int = RATE) -> dict[str, float]:
    module: Any = metric.build(AudioSpec(rate, len(audio)))
    module.update(audio, reference)
    found = module.compute()
    parts = {"": found} if isinstance(found, Tensor) else found
    return {name: float(value) for name, value in parts.items()}


def spectrum(audio: Tensor, size: int, hop: int, window: int) -> Spectrum:
    """Return the magnitudes [T, F] of a mono sound, mirrored at its ends."""
    padded = np.pad(audio[0].double().numpy(), size // 2, mode="reflect")
    shape = np.zeros(size)
    first = (size - window) // 2
    shape[first : first + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return np.abs(np.fft.rfft(frames * shape))


def triangles(bands: int, size: int, rate: int) -> Spectrum:
    """Return the mel filters [F, bands] of Slaney's Auditory Toolbox, each of area 1 over hertz."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = rate / 2 * 3 / 200 if rate <= 2000 else 15 + 27 * math.log(rate / 2000) / math.log(6.4)
    edges = np.array([hertz(mel) for mel in np.linspace(0, top, bands + 2)])
    bins = np.arange(size // 2 + 1) * rate / size
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    heights: Spectrum = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return heights


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_a_louder_copy_has_a_known_distance(gain: float) -> None:
    sound = noise()
    found = scores(MelDistance(), gain * sound, sound)
    assert found == {"": pytest.approx(7 * abs(math.log10(gain)), rel=1e-3)}
    assert scores(MrStft(), gain * sound, sound) == {
        "convergence": pytest.approx(abs(gain - 1), rel=1e-4),
        "magnitude": pytest.approx(abs(math.log(gain)), rel=1e-3),
        "total": pytest.approx(abs(gain - 1) + abs(math.log(gain)), rel=1e-3),
    }


@pytest.mark.parametrize("metric", [MelDistance(), MrStft()], ids=repr)
def test_a_copy_has_no_distance(metric: Metric) -> None:
    assert set(scores(metric, noise(), noise()).values()) == {0.0}


@pytest.mark.parametrize("metric", [MelDistance(), MrStft()], ids=repr)
def test_the_distance_of_channels_is_their_mean_and_so_is_that_of_sounds(metric: Metric) -> None:
    clean, both = noise(), noise(channels=2, seed=3)
    apart = [scores(metric, each[None], clean) for each in both]
    mean = {name: (value + apart[1][name]) / 2 for name, value in apart[0].items()}
    stereo = scores(metric, both, clean.expand(2, -1))
    assert stereo == pytest.approx(mean, rel=1e-5)
    module: Any = metric.build(AudioSpec(RATE))
    for each in both:
        module.update(each[None], clean)
    found = module.compute()
    parts = {"": found} if isinstance(found, Tensor) else found
    assert {name: float(value) for name, value in parts.items()} == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_mel_distance_is_the_formula(rate: int) -> None:
    audio, reference = 0.1 * noise(3000, 1), 0.1 * noise(3000, 2)
    wanted = 0.0
    for window, bands in ((512, 40), (64, 10)):
        bank = triangles(bands, window, rate)
        levels = [
            np.log10(np.maximum(spectrum(each, window, window // 4, window) @ bank, 1e-5))
            for each in (audio, reference)
        ]
        wanted += np.abs(levels[0] - levels[1]).mean()
    found = scores(MelDistance(windows=(512, 64), bands=(40, 10)), audio, reference, rate)
    assert found[""] == pytest.approx(wanted, rel=1e-3)


def test_the_stft_distance_is_the_formula() -> None:
    audio, reference = 0.1 * noise(3000, 1), 0.1 * noise(3000, 2)
    convergence, magnitude = [], []
    for size, hop, window in ((512, 50, 240), (128, 32, 128)):
        one, other = (
            np.maximum(spectrum(each, size, hop, window), 1e-7**0.5) for each in (audio, reference)
        )
        convergence.append(np.linalg.norm(one - other) / np.linalg.norm(other))
        magnitude.append(np.abs(np.log(one) - np.log(other)).mean())
    found = scores(MrStft(resolutions=((512, 50, 240), (128, 32, 128))), audio, reference)
    assert found["convergence"] == pytest.approx(np.mean(convergence), rel=1e-4)
    assert found["magnitude"] == pytest.approx(np.mean(magnitude), rel=1e-4)


def test_floors_bound_the_distance_to_silence() -> None:
    sound, silence = noise(), torch.zeros(1, 8000)
    assert scores(MelDistance(), silence, silence) == {"": 0.0}
    low, high = (scores(MelDistance(floor=floor), silence, sound)[""] for floor in (1e-5, 1e-3))
    assert low == pytest.approx(high + 7 * 2, rel=1e-3)
    assert scores(MrStft(), silence, sound)["convergence"] == pytest.approx(1, rel=1e-3)
    with pytest.raises(InputError, match=r"reference is silent in a channel.*leave the sound out"):
        scores(MrStft(), sound, silence)


@pytest.mark.parametrize("metric", [MelDistance(), MrStft()], ids=repr)
def test_a_sound_shorter_than_half_a_frame_is_refused(metric: Metric) -> None:
    short = noise(1024)
    with pytest.raises(InputError, match=r"1024 samples long.*needs 1025.*leave the sound out"):
        scores(metric, short, short)
    scores(metric, noise(1025), noise(1025))


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="7 windows and 1 bands.*give each window its bands"):
        MelDistance(bands=(80,))
    with pytest.raises(ValidationError, match=r"\(256, 64, 512\).*window that is longer"):
        MrStft(resolutions=((256, 64, 512),))
    with pytest.raises(ValidationError, match=r"\(256, 512, 256\).*gaps"):
        MrStft(resolutions=((256, 512, 256),))


def test_files_are_compared_with_their_references(tmp_path: Path) -> None:
    for folder, gain in (("made", 0.5), ("clean", 1.0)):
        (tmp_path / folder).mkdir()
        write_audio(tmp_path / folder / "a.wav", 0.1 * gain * noise(), RATE)
    found = kernel.evaluate(
        tmp_path / "made", ["mel-distance", "mr-stft"], reference=tmp_path / "clean"
    )
    values = {row["name"]: row["value"] for row in found["scores"]}
    assert values == {
        "mel-distance": pytest.approx(7 * math.log10(2), rel=2e-2),
        "mr-stft.convergence": pytest.approx(0.5, rel=1e-2),
        "mr-stft.magnitude": pytest.approx(math.log(2), rel=2e-2),
        "mr-stft.total": pytest.approx(0.5 + math.log(2), rel=2e-2),
    }
