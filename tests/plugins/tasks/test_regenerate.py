from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import UsageError
from kernel.audio import read_audio
from kernel_plugins.tasks.regenerate import Regenerate

RATE = 8000
Save = Callable[..., Path]
Run = Callable[..., list[Tensor]]


def tones(samples: int = RATE, channels: int = 1) -> Tensor:
    pitches = torch.arange(1, channels + 1)[:, None] * 300
    return 0.3 * torch.sin(2 * torch.pi * pitches * torch.arange(samples) / RATE)


def regenerate(**options: object) -> Regenerate:
    defaults = {"sample_rate": RATE, "seconds": 0.5, "span": "0.3:0.5"}
    return Regenerate.model_validate({**defaults, **options})


@pytest.mark.parametrize(("k", "start"), [(0.85, 0.85 / 0.15), (0.5, 1.0), (0.2, 0.25)])
def test_k_is_where_sampling_starts(k: float, start: float) -> None:
    assert regenerate(k=k).start == pytest.approx(start)


def test_the_start_is_the_mix_of_noise_and_sound() -> None:
    """k z + (1 - k) x0 is (1 - k) times x0 + sigma z at sigma = k / (1 - k)."""
    start, k = regenerate().start, 0.85
    assert start is not None
    z, x0 = 0.7, -1.3
    assert (1 - k) * (x0 + start * z) == pytest.approx(k * z + (1 - k) * x0)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_what_is_outside_of_the_span_is_written_as_it_was_read(
    save: Save, run: Run, subtype: str
) -> None:
    path = save(tones(channels=2), subtype=subtype)
    (found,) = run(regenerate(), [path])
    sound, _ = read_audio(path)
    differ = (found != sound).any(0).nonzero()[:, 0]
    assert (int(differ[0]), int(differ[-1])) == pytest.approx((2400, 3999), abs=2)
    assert len(differ) > 1500


def test_a_window_starts_from_what_is_there(save: Save) -> None:
    task = regenerate()
    (request,) = task.requests([save(tones())], 1)
    (window,) = task.windows(request)
    assert window.origin is not None
    assert torch.equal(window.origin, window.sound)  # type: ignore[attr-defined]
    assert float(window.origin[:, 1700:2300].square().mean()) > 1e-3


def test_the_less_noise_the_nearer_the_sound_stays(save: Save, run: Run) -> None:
    path = save(tones())
    sound, gap = read_audio(path)[0], slice(2480, 3920)
    near, far = (
        float((run(regenerate(k=k), [path], std=0.5)[0] - sound)[:, gap].square().mean())
        for k in (0.05, 0.85)
    )
    assert near < 0.1 * far


def test_a_span_must_be_named(save: Save) -> None:
    with pytest.raises(UsageError, match=r"no part is named; name it"):
        regenerate(span=None).requests([save(tones())], 1)
