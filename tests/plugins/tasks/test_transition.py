from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import InputError, UsageError, resample
from kernel.audio import read_audio
from kernel_plugins.tasks._edit import Edited
from kernel_plugins.tasks.transition import Transition

RATE = 8000
Save = Callable[..., Path]
Run = Callable[..., list[Tensor]]


def tones(samples: int, pitch: int = 300, channels: int = 1, rate: int = RATE) -> Tensor:
    pitches = torch.arange(1, channels + 1)[:, None] * pitch
    return 0.3 * torch.sin(2 * torch.pi * pitches * torch.arange(samples) / rate)


def transition(**options: object) -> Transition:
    return Transition.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def passage(task: Transition, *files: Path) -> Edited:
    (request,) = task.requests(files, 1)
    assert isinstance(request, Edited)
    return request


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_both_recordings_are_written_as_they_were_read(save: Save, run: Run, subtype: str) -> None:
    files = [
        save(tones(6000, 300, 2, 11025), "a.wav", 11025, subtype),
        save(tones(7000, 500, 2, 11025), "b.wav", 11025, subtype),
    ]
    (found,) = run(transition(length=0.2), files)
    first, second = (read_audio(path)[0] for path in files)
    fade = round(0.2 * 11025)
    assert found.shape == (2, 13000 - fade)
    start = 6000 - fade
    assert float((found[:, :start] - first[:, :start]).abs().max()) == 0
    assert float((found[:, 6000:] - second[:, fade:]).abs().max()) == 0
    assert float((found - passage_of(files)).abs()[:, start:6000].mean()) > 0.01


def passage_of(files: list[Path]) -> Tensor:
    given = passage(transition(length=0.2), *files).given
    assert given is not None
    return given


def test_the_middle_starts_from_a_cross_fade_of_constant_power(save: Save) -> None:
    """Two unlike noises of the same power are as loud in the middle as at its ends."""
    draws = torch.Generator().manual_seed(0)
    noises = 0.1 * torch.randn(2, 1, 8000, generator=draws)
    task = transition(seconds=1.2, length=0.8)
    request = passage(task, save(noises[0], "a.wav"), save(noises[1], "b.wav"))
    assert request.given is not None
    middle = request.given[0, 1600:8000]
    power = middle.square().unfold(0, 800, 800).mean(-1)
    assert power.numpy() == pytest.approx(0.01, rel=0.2)
    angle = (torch.arange(6400) + 0.5) / 6400 * torch.pi / 2
    mixed = noises[0, 0, 1600:] * angle.cos() + noises[1, 0, :6400] * angle.sin()
    torch.testing.assert_close(middle, mixed, rtol=0, atol=1e-4)
    (window,) = task.windows(request)
    assert window.origin is not None
    assert int((~window.keep).sum()) == 6400  # type: ignore[attr-defined]
    assert task.start == pytest.approx(0.85 / 0.15)


@pytest.mark.parametrize(
    ("window", "samples", "length"), [(10.0, 32000, 2.5), (2.0, 32000, 1.5), (10.0, 8000, 0.875)]
)
def test_it_takes_two_and_a_half_seconds_or_what_fits(
    save: Save, window: float, samples: int, length: float
) -> None:
    files = [save(tones(samples), name) for name in ("a.wav", "b.wav")]
    request = passage(transition(seconds=window), *files)
    assert request.known is not None
    assert int((~request.known).sum()) == round(length * RATE)


def test_a_second_file_is_brought_to_the_rate_and_channels_of_the_first(save: Save) -> None:
    first, second = tones(8000, channels=2), tones(16000, rate=16000)
    files = [save(first, "a.wav"), save(second, "b.wav", 16000, "FLOAT")]
    request = passage(transition(), *files)
    assert (request.sample_rate, request.subtype, len(request.sound)) == (RATE, "FLOAT", 2)
    after = request.sound[:, 8000:]
    wanted = resample(read_audio(files[1])[0], 16000, RATE)[:, -after.shape[-1] :]
    torch.testing.assert_close(after, wanted.expand(2, -1), rtol=0, atol=1e-6)


def test_a_second_file_that_overshoots_at_another_rate_is_scaled_down(save: Save) -> None:
    square = tones(5000, 700, rate=11025).sign() * 0.999
    files = save(tones(4000), "a.wav"), save(square, "b.wav", 11025, "FLOAT")
    raised = resample(square, 11025, RATE)
    peak = float(raised.abs().max())
    assert peak > 1.1
    given = passage(transition(length=0.2), *files).sound
    torch.testing.assert_close(given[:, 4000:], raised[:, 1600:] / peak, rtol=0, atol=1e-6)


def test_one_is_named_after_both(save: Save) -> None:
    files = [save(tones(8000), name) for name in ("one.wav", "two.wav")]
    names = [request.name for request in transition().requests(files, 2)]
    assert names == ["one-two", "one-two-2"]


def test_two_files_make_one_sound_unless_more_are_asked_for() -> None:
    assert transition().usual_count([Path("a.wav"), Path("b.wav")]) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_any_other_number_of_files_is_refused(save: Save, count: int) -> None:
    files = [save(tones(8000), f"{number}.wav") for number in range(count)]
    with pytest.raises(
        UsageError,
        match=rf"needs two recordings and got {count}; name two, like -i FIRST -i SECOND",
    ):
        passage(transition(), *files)


def test_a_recording_shorter_than_the_transition_is_refused(save: Save) -> None:
    files = [save(tones(8000), "a.wav"), save(tones(2000), "b.wav")]
    with pytest.raises(UsageError, match=r"of 0\.3 s needs .*b\.wav is 0\.250 s long; lower"):
        passage(transition(length=0.3), *files)


def test_a_transition_longer_than_the_window_is_refused(save: Save) -> None:
    files = [save(tones(8000), name) for name in ("a.wav", "b.wav")]
    with pytest.raises(UsageError, match=r"is too long: .* leaves room for 0\.375 s"):
        passage(transition(length=0.45), *files)


def test_channels_that_differ_are_refused(save: Save) -> None:
    files = [save(tones(8000, channels=2), "a.wav"), save(tones(8000, channels=3), "b.wav")]
    with pytest.raises(InputError, match=r"a\.wav has 2 channels and the other recording 3"):
        passage(transition(), *files)
