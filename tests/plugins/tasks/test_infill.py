from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import soundfile
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import InputError, LatentSpace, UsageError
from kernel.audio import read_audio
from kernel_plugins.tasks._edit import Edited
from kernel_plugins.tasks.infill import Infill

RATE = 8000
Save = Callable[..., Path]
Spaces = Callable[[Infill], LatentSpace]


def tones(samples: int, rate: int = RATE, channels: int = 1) -> Tensor:
    time = torch.arange(samples) / rate
    return torch.stack(
        [0.3 * torch.sin(2 * torch.pi * 300 * (c + 1) * time) for c in range(channels)]
    )


def infill(span: str | None, **options: object) -> Infill:
    return Infill.model_validate({"sample_rate": RATE, "seconds": 0.5, "span": span, **options})


def one(task: Infill, path: Path) -> Edited:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Edited)
    return request


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "name"),
    [
        (8000, 1, "PCM_16", "a.wav"),
        (11025, 2, "PCM_16", "a.wav"),
        (44100, 2, "PCM_24", "a.wav"),
        (16000, 1, "PCM_24", "a.flac"),
        (6000, 1, "FLOAT", "a.wav"),
        (8000, 2, "VORBIS", "a.ogg"),
    ],
)
def test_what_is_known_is_written_as_it_was_read(
    save: Save, run: Callable[..., list[Tensor]], rate: int, channels: int, subtype: str, name: str
) -> None:
    path = save(tones(rate, rate, channels), name, rate, subtype)
    (found,) = run(infill("0.3:0.5"), [path])
    sound, _ = read_audio(path)
    known = torch.ones(rate, dtype=torch.bool)
    known[round(0.3 * rate) : round(0.5 * rate)] = False
    assert found.shape == sound.shape
    assert float((found - sound)[:, known].abs().max()) == 0
    gap = found[:, ~known]
    assert float(gap.square().mean().sqrt()) > 0.1
    assert float((gap - sound[:, ~known]).abs().max()) > 0.01


def test_a_fill_that_is_too_loud_is_clipped_and_says_so(save: Save) -> None:
    task = infill("0.4:0.5")
    request = one(task, save(tones(RATE, channels=2), subtype="FLOAT"))
    assert request.known is not None
    known = request.known[0]
    made = torch.full((2, RATE), 0.5)
    made[0, 3500:3510], made[1, 3500] = 2.0, -4.0
    sound = task.sound(task.finish(made * request.gain, request), request)
    assert torch.equal(sound.audio[:, known], request.sound[:, known])
    assert float(sound.audio.max()) == 1 and float(sound.audio.min()) == -1
    (note,) = sound.notes
    assert note == (
        "11 of 1600 new samples exceed full scale, by up to 12.0 dB, and were clipped because known"
        " samples keep their level; lower the recording by 12.0 dB and edit it again"
    )
    quiet = task.sound(task.finish(0.5 * tones(RATE, channels=2) * request.gain, request), request)
    assert quiet.notes == ()


def test_full_scale_samples_are_not_turned_down(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    sound = tones(RATE)
    sound[:, 100], sound[:, 200] = 1.0, -1.0
    path = save(sound)
    (found,) = run(infill("0.3:0.5"), [path], std=20.0)
    known = read_audio(path)[0]
    assert float((found - known)[:, :2400].abs().max()) == 0
    assert float((found - known)[:, 4000:].abs().max()) == 0


def test_the_channels_of_a_stereo_file_share_their_noise(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    sound = tones(RATE).repeat(2, 1)
    (found,) = run(infill("0.3:0.5"), [save(sound)])
    assert torch.equal(found[0], found[1])


def test_variants_differ_in_the_gap_alone(save: Save, run: Callable[..., list[Tensor]]) -> None:
    first, second = run(infill("0.3:0.5"), [save(tones(RATE))], count=2)
    differ = (first != second)[0].nonzero()[:, 0]
    assert differ.min() >= 2400
    assert differ.max() < 4000
    assert len(differ) > 1500


def test_several_gaps_are_made_in_as_many_windows_as_they_need(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    task, path = infill("0.1:0.15, 0.2:0.25,2.5:2.6,1:1.01"), save(tones(3 * RATE))
    assert len(one(task, path).cuts) == 3
    (found,) = run(task, [path])
    changed = (found != read_audio(path)[0])[0]
    for start, stop in ((0.1, 0.15), (0.2, 0.25), (2.5, 2.6), (1, 1.01)):
        part = slice(round(start * RATE), round(stop * RATE))
        assert changed[part].float().mean() > 0.9
        changed[part] = False
    assert not changed.any()


def test_what_is_in_the_gap_is_not_looked_at(save: Save) -> None:
    sound, other = tones(RATE, 11025), tones(RATE, 11025)
    other[:, 3000:4000] = 0.9
    span = f"{3000 / 11025}:{4000 / 11025}"
    requests = [one(infill(span), save(each, rate=11025)) for each in (sound, other)]
    assert requests[0].gain == requests[1].gain
    assert torch.equal(requests[0].lanes, requests[1].lanes)
    assert all(window.origin is None for window in infill(span).windows(requests[0]))


@pytest.mark.parametrize("span", ["0:0.1", ":0.1"])
def test_a_gap_may_be_at_the_start(save: Save, span: str) -> None:
    request = one(infill(span), save(tones(RATE)))
    assert request.known is not None
    assert (~request.known[0]).nonzero()[[0, -1], 0].tolist() == [0, 799]


def test_a_gap_may_be_at_the_end(save: Save) -> None:
    request = one(infill("0.9:"), save(tones(RATE)))
    assert request.known is not None
    assert (~request.known[0]).nonzero()[[0, -1], 0].tolist() == [7200, 7999]


def test_the_known_samples_are_measured(save: Save, space: Spaces) -> None:
    task = infill("0.3:0.5")
    windows = task.windows(one(task, save(tones(RATE))))
    measurement = task.measure(windows, space(task))
    assert measurement is not None and measurement.project is not None
    assert task.offers == {"measurement"}
    noise = torch.randn(1, 1, 4000)
    (window,) = windows
    keep, sound = window.keep[None], window.sound[None]  # type: ignore[attr-defined]
    assert torch.equal(measurement.project(noise), torch.where(keep, sound, noise))
    agreed = measurement.operator(measurement.project(noise))
    assert torch.equal(agreed, measurement.target)
    assert int((~keep).sum()) == 1600


def framed(space: LatentSpace, hop: int) -> LatentSpace:
    """Return a space whose latent holds nothing but the levels of frames: [B, 1, L / hop]."""

    def encode(audio: Tensor) -> Tensor:
        return audio.unfold(-1, hop, hop).square().mean(-1).add(1e-6).log()

    return attrs.evolve(
        space, encode=encode, decode=lambda x, n: x.exp().sqrt().repeat_interleave(hop, -1)[..., :n]
    )


@pytest.mark.parametrize("domain", ["auto", "latent"])
def test_a_codec_that_loses_samples_is_measured_where_no_frame_sees_the_gap(
    save: Save, space: Spaces, domain: str
) -> None:
    task = infill("0.3:0.4", domain=domain)
    latents = framed(space(task), 50)
    windows = task.windows(one(task, save(tones(RATE))))
    measurement = task.measure(windows, latents)
    assert measurement is not None and measurement.project is not None
    (window,) = windows
    keep = window.keep[None].unfold(-1, 50, 50).all(-1)  # type: ignore[attr-defined]
    found = measurement.project(torch.full((1, 1, 80), 9.0))
    assert torch.equal(found == 9, ~keep)
    assert int((~keep).sum()) == 16
    torch.testing.assert_close(
        found[keep],
        latents.encode(window.sound[None])[keep],  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize(
    ("span", "sentence"),
    [
        ("2", "'2' is not a span; write START:STOP in seconds, like 2.0:4.0"),
        ("a:b", "'a:b' is not a span"),
        ("1:2:3", "'1:2:3' is not a span"),
        ("", "'' is not a span"),
        ("1:2,,3:4", "'' is not a span"),
        ("-1:2", "the span '-1:2' is outside every recording; count from 0 s"),
        ("inf:", "outside every recording"),
        ("nan:", "outside every recording"),
        ("2:1", "the span '2:1' is empty or reversed"),
        ("2:2", "the span '2:2' is empty or reversed"),
    ],
)
def test_a_span_that_is_none_is_refused(span: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        infill(span)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("span", ["1.0:1.2", "0.9:1.001", "5:", "0.1:0.2,0.9:2"])
def test_a_span_outside_of_the_file_is_refused(save: Save, span: str) -> None:
    sentence = r"the span \S+ is not inside .*song\.wav, which is 1\.000 s long; change -o task"
    with pytest.raises(UsageError, match=sentence):
        one(infill(span), save(tones(RATE)))


def test_an_end_that_was_rounded_is_the_end(save: Save) -> None:
    request = one(infill("0.9:1"), save(tones(RATE - 3)))
    assert request.known is not None
    assert not request.known[0, -1]


def test_a_gap_longer_than_the_window_is_refused_with_what_would_fit(save: Save) -> None:
    sentence = (
        r"the gap 0\.3:0\.7 of .*song\.wav is too long: of the model's window of 0\.5 s, 0\.125 s"
        r" stay as context, which leaves room for 0\.375 s"
    )
    with pytest.raises(UsageError, match=sentence):
        one(infill("0.3:0.7"), save(tones(RATE)))
    assert one(infill("0.3:0.67"), save(tones(RATE))).cuts


def test_a_gap_at_an_edge_needs_context_on_one_side_only(save: Save) -> None:
    assert one(infill(":0.43"), save(tones(RATE))).cuts
    with pytest.raises(UsageError, match=r"leaves room for 0\.437 s|leaves room for 0\.438 s"):
        one(infill(":0.45"), save(tones(RATE)))


def test_a_span_must_be_named(save: Save) -> None:
    with pytest.raises(UsageError, match=r"no part is named; name it .* -o task\.span=2\.0:4\.0"):
        one(infill(None), save(tones(RATE)))


def test_all_of_a_file_is_no_gap(save: Save) -> None:
    with pytest.raises(
        UsageError,
        match=r"the gaps cover all of .*; leave a part as it is, or use the task 'variation'",
    ):
        one(infill(":"), save(tones(800)))


def test_a_recording_that_is_silent_but_for_the_gap_is_refused(save: Save) -> None:
    sound = torch.zeros(1, RATE)
    sound[:, 3000:3500] = 0.5
    with pytest.raises(InputError, match=r"song\.wav is silent outside the part to make"):
        one(infill("0.3:0.5"), save(sound))


def test_the_option_survives_being_saved() -> None:
    task = infill("0.1:0.2,3:")
    assert Infill.model_validate(task.model_dump(mode="json")) == task


def test_a_file_of_another_format_is_read(save: Save, tmp_path: Path) -> None:
    path = save(tones(RATE), "a.flac")
    assert soundfile.info(path).format == "FLAC"
    assert one(infill("0.3:0.5"), path).name == "a"
