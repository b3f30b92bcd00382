from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel.audio import read_audio
from kernel_plugins.tasks.variation import Variation

RATE = 8000
Save = Callable[..., Path]
Run = Callable[..., list[Tensor]]


def tones(samples: int, channels: int = 1, rate: int = RATE) -> Tensor:
    pitches = torch.arange(1, channels + 1)[:, None] * 300
    return 0.3 * torch.sin(2 * torch.pi * pitches * torch.arange(samples) / rate)


def variation(**options: object) -> Variation:
    return Variation.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


@pytest.mark.parametrize(("strength", "start"), [(0.5, 1.0), (0.8, 4.0), (0.2, 0.25)])
def test_strength_is_where_sampling_starts(strength: float, start: float) -> None:
    assert variation(strength=strength).start == pytest.approx(start)


@pytest.mark.parametrize("strength", [0, 1])
def test_all_noise_and_none_are_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        variation(strength=strength)


@pytest.mark.parametrize(("rate", "samples", "channels"), [(8000, 9000, 1), (11025, 9001, 2)])
def test_every_part_of_a_recording_is_made_anew(
    save: Save, run: Run, rate: int, samples: int, channels: int
) -> None:
    path = save(tones(samples, channels, rate), rate=rate)
    (found,) = run(variation(), [path], std=0.5)
    sound, _ = read_audio(path)
    assert found.shape == sound.shape
    changed = (found - sound).abs().unfold(-1, 500, 500).mean(-1)
    assert changed.min() > 0.005


def test_the_weaker_the_nearer(save: Save, run: Run) -> None:
    path = save(tones(RATE))
    sound = read_audio(path)[0]
    errors = [
        float((run(variation(strength=each), [path], std=0.5)[0] - sound).square().mean().sqrt())
        for each in (0.02, 0.3, 0.8)
    ]
    assert errors == sorted(errors)
    assert errors[0] < 0.4 * errors[1]


def test_it_needs_no_measurement_and_takes_no_guidance(save: Save) -> None:
    task = variation()
    (request,) = task.requests([save(tones(RATE))], 1)
    assert "measurement" not in task.offers
    assert not task.recommends
    assert all(window.origin is not None for window in task.windows(request))
