from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchaudio.functional import fftconvolve

from kernel import InputError, LatentSpace, Task, UsageError
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.tasks.dereverb import Dereverb, Reverberant

RATE = 8000
Save = Callable[..., Path]


def draw(samples: int, seed: int = 0, level: float = 0.1) -> Tensor:
    return level * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def response(samples: int = 400) -> Tensor:
    """Return a response that rings for about 30 ms after the direct sound at sample 5."""
    tail = draw(samples, 1, 0.2) * torch.exp(-torch.arange(samples) / 60)
    tail[:, :5] = 0
    tail[:, 5] = 0.9
    return tail


def dereverb(**options: object) -> Dereverb:
    return Dereverb.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def one(task: Dereverb, path: Path) -> Reverberant:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Reverberant)
    return request


@pytest.fixture
def room(save: Save) -> Path:
    return save(response(), "room.wav", subtype="FLOAT")


def test_the_response_is_cut_where_it_is_faint_and_has_unit_energy(save: Save, room: Path) -> None:
    found = one(dereverb(room=room), save(draw(4000))).response
    whole = response()[0] / response().norm()
    assert 100 < len(found) < 300
    torch.testing.assert_close(found / found[5], whole[: len(found)] / whole[5])
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert float(whole[len(found) :].square().sum()) <= 1e-3


def test_the_measurement_holds_for_the_dry_sound(
    save: Save, room: Path, space: Callable[[Task], LatentSpace]
) -> None:
    task, dry = dereverb(room=room, normalize="none"), draw(9000)
    kept = one(task, save(draw(4000), "other.wav")).response
    wet = fftconvolve(dry, kept[None])[:, 5 : 5 + 9000]
    request = one(task, save(wet, subtype="FLOAT"))
    windows = task.windows(request)
    known = task.measure(windows, space(task))
    assert known is not None
    starts = [window.cut.start for window in windows]  # type: ignore[attr-defined]
    assert len(starts) > 2
    parts = torch.stack([dry[:, start : start + 4000] for start in starts])
    missing = (known.operator(parts) - known.target).abs()
    peak = torch.fft.rfft(kept, 4096).abs().max()
    torch.testing.assert_close(known.target[0], wet[:, :4000] / peak, rtol=0, atol=1e-3)
    # What follows the window is heard before its time, by no more than the direct sound's delay.
    assert missing[..., :-5].max() < 1e-6
    assert (known.target[0] != 0).all()
    assert (known.target[1:, :, : len(kept)] == 0).all()
    assert (known.target[1:, :, len(kept) :] != 0).all()


def test_what_lies_beyond_the_recording_is_not_measured(
    save: Save, room: Path, space: Callable[[Task], LatentSpace]
) -> None:
    task = dereverb(room=room)
    windows = task.windows(one(task, save(draw(3000))))
    known = task.measure(windows, space(task))
    assert known is not None
    assert (known.operator(torch.ones(1, 1, 4000))[..., 3000:] == 0).all()


def test_a_run_comes_nearer_to_the_dry_sound(
    save: Save, room: Path, run: Callable[..., list[Tensor]]
) -> None:
    dry = draw(4000)
    task = dereverb(room=room, level=0)
    kept = one(task, save(dry, "dry.wav")).response
    wet = fftconvolve(dry, kept[None])[:, 5 : 5 + 4000]
    path = save(wet, subtype="FLOAT")
    (found,) = run(task, [path], std=0.5, guidance=Projection())
    assert found.shape == wet.shape
    assert (found - dry).norm() < 0.3 * (wet - dry).norm()
    heard = fftconvolve(found, kept[None])[:, 5 : 5 + 4000]
    assert (heard - wet).norm() < 0.01 * wet.norm()


def test_a_room_has_to_be_named(save: Save) -> None:
    with pytest.raises(UsageError, match=r"needs a room; .* -o task.room=FILE"):
        dereverb().requests([save(draw(4000))], 1)


def test_a_silent_response_is_refused(save: Save) -> None:
    silent = save(torch.zeros(1, 100), "room.wav")
    with pytest.raises(InputError, match=r"the response .*room.wav is silent"):
        dereverb(room=silent).requests([save(draw(4000))], 1)


def test_a_response_that_is_longer_than_the_file_is_refused(save: Save, room: Path) -> None:
    with pytest.raises(
        InputError, match=r"room.wav rings for 0.\d+ s and .*song.wav is over after"
    ):
        dereverb(room=room).requests([save(draw(50))], 1)


def test_a_response_that_is_long_for_windows_is_refused(save: Save, room: Path) -> None:
    with pytest.raises(InputError, match=r"too long for windows of the model's 0.04 s"):
        dereverb(room=room, seconds=0.04).requests([save(draw(4000))], 1)
    dereverb(room=room, seconds=0.04).requests([save(draw(320))], 1)


def test_the_task_without_its_path_is_portable(room: Path) -> None:
    assert dereverb(room=room).portable() == dereverb()
