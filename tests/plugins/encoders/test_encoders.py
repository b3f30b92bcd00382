from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import Encoder, read_audio, resample
from kernel_plugins.encoders._digits import centred
from kernel_plugins.encoders.digits import Digits
from kernel_plugins.encoders.timbre import Timbre

RATE = 8000
ROOT = Path(__file__).parents[3]
DIGITS = ROOT / ".." / "shared" / "data" / "fsdd" / "test"

BOTH = pytest.mark.parametrize("encoder", [Digits(), Timbre(), Timbre(bands=7)])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tone(frequency: float, rate: int = RATE, seconds: float = 0.5) -> Tensor:
    time = torch.arange(int(seconds * rate)) / rate
    return 0.3 * torch.sin(2 * torch.pi * frequency * time)[None, None]


@BOTH
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_any_length_rate_and_number_of_channels_is_heard(encoder: Encoder, rate: int) -> None:
    listen = encoder.build()
    sizes = {listen(noise(2, 2, samples), rate).shape for samples in (400, 30000)}
    assert len(sizes) == 1
    assert next(iter(sizes))[0] == 2


@BOTH
def test_an_item_is_heard_alone(encoder: Encoder) -> None:
    listen, audio = encoder.build(), noise(3, 1, 5000)
    together = listen(audio, RATE)
    for index in range(3):
        torch.testing.assert_close(listen(audio[index : index + 1], RATE)[0], together[index])


@BOTH
def test_loudness_does_not_matter(encoder: Encoder) -> None:
    listen, audio = encoder.build(), noise(1, 1, 5000)
    torch.testing.assert_close(listen(audio, RATE), listen(0.2 * audio, RATE), rtol=0, atol=1e-3)


@BOTH
def test_gradients_are_those_of_differences(encoder: Encoder) -> None:
    module = encoder.build().double()
    audio = noise(1, 1, 3000).double().requires_grad_()
    direction = noise(1, 1, 3000, seed=1).double()
    size = module(audio, RATE).shape
    weight = torch.randn(size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((module(audio, RATE) * weight).sum(), audio)
    step = 1e-7
    up, down = (module(audio.detach() + s * step * direction, RATE) for s in (1, -1))
    numeric = ((up - down) * weight).sum() / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-4, atol=1e-6)


@BOTH
def test_silence_has_finite_values_and_gradients(encoder: Encoder) -> None:
    audio = torch.zeros(1, 1, 2000, requires_grad=True)
    heard = encoder.build()(audio, RATE)
    (gradient,) = torch.autograd.grad(heard.sum(), audio)
    assert heard.isfinite().all()
    assert gradient.isfinite().all()


def test_timbre_tells_tones_apart_and_not_when_they_are_played() -> None:
    listen = Timbre().build()
    low, high = listen(tone(300), RATE), listen(tone(1500), RATE)
    late = listen(tone(300).roll(700, -1), RATE)
    assert (low - late).norm() < 0.15 * (low - high).norm()
    assert low.shape == (1, 80)


def test_the_loudest_band_of_a_tone_goes_up_with_its_frequency() -> None:
    listen = Timbre().build()
    places = [int(listen(tone(f), RATE)[0, :40].argmax()) for f in (200, 800, 3000)]
    assert places == sorted(set(places))


def test_the_centre_of_energy_is_in_the_middle() -> None:
    audio = torch.zeros(2, 12000)
    audio[0, 10000:10100] = 0.5
    audio[1, :100] = -0.1
    clips = centred(audio)
    assert clips.shape == (2, 8000)
    torch.testing.assert_close(clips.square().mean(1), torch.ones(2))
    for clip in clips:
        assert clip.nonzero().float().mean() == pytest.approx(4000, abs=1)


@pytest.mark.skipif(not DIGITS.is_dir(), reason="no recordings of digits here")
def test_spoken_digits_are_heard_as_the_benchmarks_judge_hears_them() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks" / "digits"))
    try:
        from classifier import clip, load, read  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    listen, judge = Digits().build(), load()
    right = 0
    for path in sorted(DIGITS.glob("?_*_1.wav"))[:20]:
        audio, rate = read_audio(path)
        heard = listen(audio[None], rate)
        expected = judge(judge.spectrogram(clip(read(path))[None]))
        torch.testing.assert_close(heard, expected, rtol=1e-3, atol=1e-2)
        raised = resample(audio[None], rate, 16000)
        assert int(listen(raised, 16000).argmax()) == int(heard.argmax())
        right += int(heard.argmax()) == int(path.name[0])
    assert right >= 19
