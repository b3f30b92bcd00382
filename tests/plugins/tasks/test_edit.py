from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from kernel import ConditionSpec, InputError, UsageError, resample
from kernel.audio import read_audio, write_audio
from kernel_plugins.tasks._edit import Edit, Edited
from kernel_plugins.tasks._windows import around, cover, joined

RATE = 8000
Save = Callable[..., Path]


def noise(samples: int, channels: int = 1, seed: int = 0, level: float = 0.1) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return (level * torch.randn(channels, samples, generator=draws)).clamp(-1, 1)


def tone(samples: int, rate: int = RATE, frequency: float = 500.0, level: float = 0.3) -> Tensor:
    return level * torch.sin(2 * torch.pi * frequency * torch.arange(samples) / rate)[None]


def edit(**options: object) -> Edit:
    return Edit.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def one(task: Edit, *files: Path) -> Edited:
    (request,) = task.requests(files, 1)
    assert isinstance(request, Edited)
    return request


def again(task: Edit, request: Edited) -> Tensor:
    """Return what is written when the model changes nothing."""
    making = task.make(request)
    with pytest.raises(StopIteration) as end:
        making.send([window.sound for window in next(making)])  # type: ignore[attr-defined]
    (sound,) = end.value.value
    audio: Tensor = sound.audio
    return audio


def test_a_recording_that_the_model_leaves_alone_comes_back(save: Save) -> None:
    sound = tone(9000)
    found = again(edit(), one(edit(), save(sound, subtype="FLOAT")))
    torch.testing.assert_close(found, sound, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [11025, 16000, 44100])
def test_another_rate_is_that_of_the_file_again_at_the_end(save: Save, rate: int) -> None:
    sound = tone(2 * rate, rate)
    request = one(edit(), save(sound, rate=rate, subtype="FLOAT"))
    found = again(edit(), request)
    assert (request.sample_rate, request.samples) == (rate, 2 * RATE)
    assert found.shape == sound.shape
    inner = slice(rate // 4, -rate // 4)
    torch.testing.assert_close(found[:, inner], sound[:, inner], rtol=0, atol=5e-4)


@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (2, 2), (3, 3)])
def test_every_channel_is_a_lane_of_a_mono_model(save: Save, channels: int, lanes: int) -> None:
    sound = noise(6000, channels)
    request = one(edit(), save(sound, subtype="FLOAT"))
    assert request.lanes.shape == (lanes, 1, 6000)
    streams = Counter(window.stream for window in edit().windows(request))
    assert set(streams.values()) == {lanes}
    torch.testing.assert_close(again(edit(), request), sound, rtol=0, atol=1e-6)


def test_a_mono_file_is_copied_for_a_stereo_model(save: Save) -> None:
    task = edit(channels=2)
    request = one(task, save(noise(5000), subtype="FLOAT"))
    assert request.lanes.shape == (1, 2, 5000)
    torch.testing.assert_close(again(task, request), noise(5000), rtol=0, atol=1e-6)


def test_a_stereo_file_is_one_lane_of_a_stereo_model(save: Save) -> None:
    task, sound = edit(channels=2), noise(5000, 2)
    request = one(task, save(sound, subtype="FLOAT"))
    assert request.lanes.shape == (1, 2, 5000)
    torch.testing.assert_close(again(task, request), sound, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, -23.0),
        ({"level": -30}, -30.0),
        ({"normalize": "peak"}, -1.0),
        ({"normalize": "none"}, 0),
    ],
)
def test_the_model_hears_the_level_it_was_trained_with(
    save: Save, options: dict[str, object], level: float
) -> None:
    sound = tone(8000, level=0.01)
    task = edit(**options)
    request = one(task, save(sound, subtype="FLOAT"))
    heard = request.lanes
    now = heard.abs().max() if options.get("normalize") == "peak" else heard.square().mean().sqrt()
    wanted = 0.01 / 2**0.5 if options.get("normalize") == "none" else 10 ** (level / 20)
    assert float(now) == pytest.approx(wanted, rel=1e-3)
    torch.testing.assert_close(again(task, request), sound, rtol=0, atol=1e-7)


def test_channels_keep_their_balance(save: Save) -> None:
    sound = torch.cat([noise(4000), 0.1 * noise(4000, seed=1)])
    request = one(edit(), save(sound, subtype="FLOAT"))
    ratio = request.lanes[0].norm() / request.lanes[1].norm()
    assert float(ratio) == pytest.approx(float(sound[0].norm() / sound[1].norm()), rel=1e-4)


@pytest.mark.parametrize(
    ("subtype", "name", "kept"),
    [
        ("PCM_16", "a.wav", "PCM_16"),
        ("PCM_24", "a.wav", "PCM_24"),
        ("PCM_24", "a.flac", "PCM_24"),
        ("PCM_32", "a.wav", "FLOAT"),
        ("DOUBLE", "a.wav", "FLOAT"),
        ("PCM_U8", "a.wav", "FLOAT"),
        ("VORBIS", "a.ogg", "FLOAT"),
    ],
)
def test_the_format_is_kept_where_it_holds_every_sample(
    save: Save, subtype: str, name: str, kept: str
) -> None:
    assert one(edit(), save(noise(5000), name, subtype=subtype)).subtype == kept


def test_what_is_too_loud_is_scaled_down_as_a_whole(save: Save, tmp_path: Path) -> None:
    request = one(edit(), save(tone(3000)))
    loud = 20 * tone(3000) * request.gain
    sound = edit().sound(edit().finish(loud, request), request)
    assert sound.notes == ()
    gain = write_audio(tmp_path / "loud.wav", sound.audio, RATE, sound.subtype)
    assert gain == pytest.approx(float(1 / (20 * tone(3000)).abs().max()), rel=1e-4)
    written, _ = read_audio(tmp_path / "loud.wav")
    torch.testing.assert_close(written, 20 * tone(3000) * gain, rtol=0, atol=1e-4)


def test_a_short_recording_is_padded_with_silence_that_is_known(save: Save) -> None:
    request = one(edit(), save(noise(1000), subtype="FLOAT"))
    (window,) = edit().windows(request)
    assert window.samples == 4000
    assert not window.sound[:, 1000:].any()  # type: ignore[attr-defined]
    assert window.keep.all()  # type: ignore[attr-defined]
    assert again(edit(), request).shape == (1, 1000)


def test_inputs_take_turns_and_variants_are_numbered(save: Save) -> None:
    files = [save(noise(900), name) for name in ("a.wav", "b.wav", "a-2.wav")]
    names = [request.name for request in edit().requests(files, 7)]
    assert names == ["a", "b", "a-2", "a-3", "b-2", "a-2-2", "a-4"]


def test_a_name_is_not_that_of_what_is_shown_beside_another(save: Save) -> None:
    files = [save(noise(900), name) for name in ("a.wav", "a-given.wav")]
    for order in (files, files[::-1]):
        names = [request.name for request in edit().requests(order, 4)]
        written = names + [f"{name}-given" for name in names]
        assert len(set(written)) == 8


def test_the_recording_is_shown_beside_the_sound(save: Save) -> None:
    sound = noise(900)
    path = save(sound, rate=22050)
    request = one(edit(), path)
    assert request.given is not None
    assert torch.equal(
        request.given, torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
    )
    assert request.sample_rate == 22050


def test_without_inputs_the_way_to_give_them_is_told() -> None:
    with pytest.raises(UsageError, match=r"changes recordings and got none; add -i FILE"):
        edit().requests([], 1)


@pytest.mark.parametrize("count", [0, -2])
def test_a_count_below_one_is_refused(save: Save, count: int) -> None:
    with pytest.raises(UsageError, match=f"cannot make {count} sounds; ask for at least 1"):
        edit().requests([save(noise(90))], count)


def test_silence_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"song\.wav is silent from start to end; give a rec"):
        edit().requests([save(torch.zeros(1, 9000))], 1)


def test_an_edit_has_nothing_to_learn() -> None:
    with pytest.raises(UsageError, match=r"learns nothing; train with a task like 'uncond"):
        edit().dataset("train")


def test_a_label_of_the_model_is_told_to_it(save: Save) -> None:
    task = edit(labels=("high", "low"), label="low")
    vector = one(task, save(noise(900))).window.vector
    assert task.condition == ConditionSpec(vector=2)
    assert vector is not None
    assert vector.tolist() == [0, 1]


def test_an_unknown_label_is_refused(save: Save) -> None:
    with pytest.raises(
        UsageError, match=r"no label 'lo', the model has high, low; .* mean 'low'\?"
    ):
        edit(labels=("high", "low"), label="lo").requests([save(noise(900))], 1)
    with pytest.raises(UsageError, match=r"no label 'low', the model has none; leave it out"):
        edit().named("low")


@pytest.mark.parametrize("samples", [1, 99, 100, 101, 175, 176, 350, 999])
@pytest.mark.parametrize("overlap", [0, 1, 25, 50])
def test_windows_cover_a_sound_without_a_hole(samples: int, overlap: int) -> None:
    cuts = cover(samples, 100, overlap)
    starts = [cut.start for cut in cuts]
    assert starts[0] == 0
    assert starts[-1] == max(0, samples - 100)
    assert all(b - a <= 100 - overlap for a, b in pairwise(starts))
    fewer = (len(cuts) - 1) * (100 - overlap) + overlap if len(cuts) > 1 else 0
    assert fewer < samples


def test_windows_that_agree_are_joined_to_what_they_were_cut_from() -> None:
    lanes = torch.randn(2, 1, 430, generator=torch.Generator().manual_seed(0))
    cuts = cover(430, 100, 30)
    windows = [lane[:, cut.start : cut.start + 100] for cut in cuts for lane in lanes]
    torch.testing.assert_close(joined(windows, cuts, torch.zeros_like(lanes)), lanes)


def test_windows_that_differ_are_cross_faded_linearly() -> None:
    cuts = cover(150, 100, 50)
    windows = [torch.full((1, 100), each) for each in (1.0, 3.0)]
    found = joined(windows, cuts, torch.zeros(1, 1, 150))[0, 0]
    assert found[:50].tolist() == pytest.approx([1] * 50)
    assert found[100:].tolist() == pytest.approx([3] * 50)
    torch.testing.assert_close(found[50:100], 1 + 2 * (torch.arange(50) + 0.5) / 50)


def test_gaps_that_fit_share_a_window_and_each_lies_in_its_middle() -> None:
    keep = torch.ones(1000, dtype=torch.bool)
    for start, stop in ((300, 310), (340, 360), (700, 720)):
        keep[start:stop] = False
    first, second = around(keep, 100)
    assert (first.start, second.start) == (280, 660)
    assert first.weight.all()


def test_a_window_gives_only_its_own_gaps() -> None:
    keep = torch.ones(300, dtype=torch.bool)
    keep[100:150] = keep[185:195] = False
    first, second = around(keep, 100)
    assert (first.start, second.start) == (75, 140)
    assert not second.weight[: 150 - 140].any()
    made = [torch.full((1, 100), each) for each in (1.0, 3.0)]
    found = joined(made, (first, second), torch.zeros(1, 1, 300))[0, 0]
    assert set(found[100:150].tolist()) == {1.0}
    assert set(found[185:195].tolist()) == {3.0}


def test_windows_stay_inside_the_sound() -> None:
    keep = torch.ones(300, dtype=torch.bool)
    keep[:20] = keep[290:] = False
    assert [cut.start for cut in around(keep, 100)] == [0, 200]


@pytest.mark.parametrize("labels", [(), ("high", "low")])
def test_requests_tell_nothing_unless_asked_to(save: Save, labels: tuple[str, ...]) -> None:
    assert one(edit(labels=labels), save(noise(900))).window.vector is None


def test_the_resampling_is_that_of_the_kernel(save: Save) -> None:
    sound = noise(5000)
    request = one(edit(normalize="none"), save(sound, rate=12000, subtype="FLOAT"))
    assert torch.equal(request.lanes[0], resample(sound, 12000, RATE))
