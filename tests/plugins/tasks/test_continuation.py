from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import InputError, UsageError
from kernel.audio import read_audio
from kernel_plugins.tasks._edit import Edited
from kernel_plugins.tasks.continuation import Continuation

RATE = 8000
Save = Callable[..., Path]
Run = Callable[..., list[Tensor]]


def tones(seconds: float, rate: int = RATE, channels: int = 1) -> Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    pitches = torch.arange(1, channels + 1)[:, None] * 300
    return 0.3 * torch.sin(2 * torch.pi * pitches * time)


def continuation(**options: object) -> Continuation:
    return Continuation.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def one(task: Continuation, path: Path) -> Edited:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Edited)
    return request


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(8000, 1, "PCM_16"), (11025, 2, "PCM_16"), (44100, 2, "PCM_24"), (6000, 1, "FLOAT")],
)
def test_the_recording_is_written_as_it_was_read_with_more_after_it(
    save: Save, run: Run, rate: int, channels: int, subtype: str
) -> None:
    path = save(tones(1.1, rate, channels), "a.wav", rate, subtype)
    (found,) = run(continuation(more=0.2), [path])
    sound, _ = read_audio(path)
    length = sound.shape[-1]
    assert found.shape == (channels, length + round(0.2 * rate))
    assert float((found[:, :length] - sound).abs().max()) == 0
    assert float(found[:, length:].square().mean().sqrt()) > 0.1


def test_all_that_is_clipped_is_counted_over_all_windows(save: Save) -> None:
    task = continuation(context=0.25, more=0.5)
    making = task.make(one(task, save(tones(1.0), subtype="FLOAT")))
    windows = next(making)
    with pytest.raises(StopIteration) as end:
        while True:
            windows = making.send([torch.full((1, 4000), 400.0) for _ in windows])
    (sound,) = end.value.value
    assert torch.equal(sound.audio[:, :8000], tones(1.0))
    assert float(sound.audio.abs().max()) == 1
    (note,) = sound.notes
    count, _, whole, *_ = note.split()
    assert 3000 < int(count) <= int(whole) == 4000


def test_the_new_part_starts_without_a_click(save: Save, run: Run) -> None:
    path = save(tones(1.0))
    (found,) = run(continuation(), [path], std=1e-4)
    assert float(found[:, 7990:8010].diff().abs().max()) < 1.1 * float(found.diff().abs().max())
    assert float(found.diff(n=2).abs().max()) < 1.1 * float(tones(1.0).diff(n=2).abs().max())


def shown(task: Continuation, request: Edited) -> tuple[int, int]:
    """Return how many samples of its one window are known, and how many are to be made."""
    (window,) = task.windows(request)
    keep = window.keep[0]  # type: ignore[attr-defined]
    known = int(keep.sum())
    assert keep[:known].all()
    assert torch.equal(
        window.sound[0, :known],  # type: ignore[attr-defined]
        request.lanes[0, 0, RATE - known : RATE],
    )
    return known, len(keep) - known


def test_by_default_half_a_window_is_listened_to_and_half_is_added(save: Save) -> None:
    task = continuation()
    request = one(task, save(tones(1.0)))
    assert shown(task, request) == (2000, 2000)
    assert request.sound.shape[-1] == RATE + 2000


@pytest.mark.parametrize(
    ("options", "known", "added"),
    [
        ({"context": 0.4}, 3200, 800),
        ({"more": 0.1}, 3200, 800),
        ({"more": 0.4}, 800, 3200),
        ({"context": 0.1, "more": 0.2}, 800, 1600),
        ({"context": 0.3, "more": 0.2}, 2400, 1600),
    ],
)
def test_context_and_addition_share_the_window(
    save: Save, options: dict[str, object], known: int, added: int
) -> None:
    task = continuation(**options)
    request = one(task, save(tones(1.0)))
    assert shown(task, request) == (known, 4000 - known)
    assert request.sound.shape[-1] == RATE + added


def test_a_short_recording_leaves_more_to_be_made(save: Save) -> None:
    task = continuation()
    request = one(task, save(tones(0.1)))
    (window,) = task.windows(request)
    assert int(window.keep.sum()) == 800  # type: ignore[attr-defined]
    assert request.sound.shape[-1] == 4000


def test_a_recording_shorter_than_the_context_is_refused(save: Save) -> None:
    sentence = r"song\.wav is 0\.100 s long, shorter than the context of 0\.3 s; lower -o task\.con"
    with pytest.raises(InputError, match=sentence):
        one(continuation(context=0.3), save(tones(0.1)))


def test_a_context_that_fills_the_window_is_refused(save: Save) -> None:
    with pytest.raises(UsageError, match=r"context of 0\.5 s fills .* window of 0\.5 s and leaves"):
        one(continuation(context=0.5), save(tones(1.0)))


@pytest.mark.parametrize(
    ("options", "windows"),
    [
        ({"more": 0.3, "context": 0.25}, 2),
        ({"more": 0.45}, 2),
        ({"more": 1.5}, 4),
        ({"more": 1.0, "context": 0.1}, 3),
    ],
)
def test_more_than_a_window_has_room_for_is_made_window_after_window(
    save: Save, run: Run, options: dict[str, float], windows: int
) -> None:
    task, path = continuation(**options), save(tones(1.0))
    assert len(one(task, path).ends) == windows  # type: ignore[attr-defined]
    (found,) = run(task, [path])
    assert found.shape[-1] == RATE + round(options["more"] * RATE)
    assert torch.equal(found[:, :RATE], read_audio(path)[0])
    for part in found[:, RATE:].split(1000, -1):
        assert float(part.square().mean().sqrt()) > 0.1


def test_a_window_listens_to_what_the_one_before_has_made(save: Save) -> None:
    task = continuation(more=0.6, context=0.2)
    request = one(task, save(tones(1.0)))
    making, made = task.make(request), 0.1 * torch.ones(1, 4000)
    (first,) = next(making)
    (second,) = making.send([made])
    known = int(second.keep.sum())  # type: ignore[attr-defined]
    assert (first.stream, second.stream, known) == (0, 1, 1600)
    torch.testing.assert_close(
        second.sound[:, 200:1500],  # type: ignore[attr-defined]
        made[:, 200:1500],
        rtol=1e-3,
        atol=1e-3,
    )
    with pytest.raises(StopIteration) as end:
        making.send([made])
    (sound,) = end.value.value
    assert sound.audio.shape == (1, RATE + 4800)
    assert sound.spans == ((1.0, 1.6),)
    assert torch.equal(sound.given, request.given)


def test_the_level_is_that_of_the_recording_in_every_window(save: Save) -> None:
    task = continuation(more=0.6)
    request = one(task, save(tones(1.0)))
    making = task.make(request)
    next(making)
    (second,) = making.send([torch.zeros(1, 4000)])
    assert second.whole.gain == request.gain  # type: ignore[attr-defined]


def test_silence_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"song\.wav is silent"):
        one(continuation(), save(torch.zeros(1, RATE)))
