"""Scores against known values and against the libraries' own functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from kernel_audio_speech_metrics.estoi import Estoi
from kernel_audio_speech_metrics.lsd import Lsd
from kernel_audio_speech_metrics.pesq import Pesq
from kernel_audio_speech_metrics.si_sdr import SiSdr
from torch import Tensor

from kernel import AudioSpec, InputError, Metric, UsageError, resample

RATE = 16000


def noise(samples: int, seed: int = 0, channels: int = 1) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


def speech(seconds: float = 2.0, rate: int = RATE) -> Tensor:
    """Return a gliding buzz in four bursts a second, [1, L]."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    phase = 2 * torch.pi * (140 * time + 12 * (2.2 * time).sin())
    partials = torch.arange(1, 20)[:, None]
    buzz = ((partials * phase).sin() / partials).sum(0)
    return (0.1 * buzz * (2 * torch.pi * 4 * time).sin().clamp(min=0))[None].float()


def noisy(clean: Tensor, snr: float) -> Tensor:
    disturbance = noise(clean.shape[-1], channels=len(clean))
    level = clean.square().mean() / disturbance.square().mean() / 10 ** (snr / 10)
    return clean + level.sqrt() * disturbance


def score(metric: Metric, audio: Tensor, reference: Tensor, rate: int = RATE) -> float:
    module: Any = metric.build(AudioSpec(rate, len(audio)))
    module.update(audio, reference)
    return float(module.compute())


METRICS = [Estoi(), Lsd(), Pesq(), Pesq(mode="nb"), SiSdr()]


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_more_noise_is_worse(metric: Metric) -> None:
    clean = speech()
    scores = [score(metric, noisy(clean, snr), clean) for snr in (40, 20, 10, 0)]
    assert scores == sorted(scores, reverse=metric.higher_is_better)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_the_score_of_channels_is_their_mean(metric: Metric) -> None:
    clean = speech()
    bad, worse = noisy(clean, 20), noisy(clean, 5)
    both = score(metric, torch.cat([bad, worse]), torch.cat([clean, clean]))
    mean = (score(metric, bad, clean) + score(metric, worse, clean)) / 2
    assert both == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_silence_is_refused(metric: Metric) -> None:
    clean = speech()
    for pair in ((0 * clean, clean), (clean, 0 * clean)):
        with pytest.raises(InputError, match=r"silent in a channel.*leave the sound out"):
            score(metric, *pair)


# The highest raw score is 4.5; the mappings are those of P.862.2 and P.862.1.
@pytest.mark.parametrize(("mode", "a", "b"), [("wb", 1.3669, 3.8224), ("nb", 1.4945, 4.6607)])
def test_pesq_of_a_copy_is_the_end_of_the_scale(mode: str, a: float, b: float) -> None:
    clean = speech()
    best = 0.999 + 4 / (1 + math.exp(-a * 4.5 + b))
    assert score(Pesq(mode=mode), clean, clean) == pytest.approx(best, abs=1e-5)
    assert score(Pesq(mode=mode), 0.1 * clean, clean) == pytest.approx(best, abs=1e-2)


@pytest.mark.parametrize(
    ("rate", "option", "working", "mode"),
    [
        (16000, None, 16000, "wb"),
        (16000, "nb", 16000, "nb"),
        (48000, None, 16000, "wb"),
        (8000, None, 8000, "nb"),
        (11025, "nb", 8000, "nb"),
    ],
)
def test_pesq_is_that_of_its_library(rate: int, option: Any, working: int, mode: str) -> None:
    from pesq import pesq

    clean = speech(rate=rate)
    bad = noisy(clean, 15)
    pair = (resample(part, rate, working)[0].numpy() for part in (clean, bad))
    wanted = pesq(working, *pair, mode)
    assert 1.02 < wanted < 4.5
    assert score(Pesq(mode=option), bad, clean, rate) == pytest.approx(wanted, abs=1e-5)


def test_pesq_refuses_rates_that_it_is_not_defined_for() -> None:
    with pytest.raises(UsageError, match=r"wb is defined from 16000 Hz on.*8000 Hz.*mode=nb"):
        Pesq(mode="wb").build(AudioSpec(8000))
    with pytest.raises(UsageError, match=r"pesq is defined from 8000 Hz on.*6000 Hz"):
        Pesq().build(AudioSpec(6000))


def test_pesq_says_what_is_too_short_too_long_or_no_speech() -> None:
    clean = speech(21)
    with pytest.raises(InputError, match=r"21\.0 s long.*cut it into sentences"):
        score(Pesq(), clean, clean)
    with pytest.raises(InputError, match="at least 1/4 of a second"):
        score(Pesq(), clean[:, :3000], clean[:, :3000])


def test_pesq_survives_as_many_utterances_as_there_can_be() -> None:
    """Twenty seconds of the shortest utterances that P.862 counts, at the shortest pauses."""
    time = torch.arange(20 * RATE) / RATE
    clean = noise(20 * RATE) * (time % 0.41 < 0.2)
    assert 1 < score(Pesq(), noisy(clean, 20), clean) < 4.7


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_estoi_is_that_of_its_library(rate: int) -> None:
    from pystoi import stoi

    clean = speech(rate=rate)
    bad = noisy(clean, 5)
    wanted = stoi(clean[0].numpy(), bad[0].numpy(), rate, extended=True)
    assert 0.1 < wanted < 0.95
    assert score(Estoi(), bad, clean, rate) == pytest.approx(wanted, abs=1e-6)


def test_estoi_of_a_copy_is_one_at_any_gain() -> None:
    assert score(Estoi(), 0.01 * speech(), speech()) == pytest.approx(1, abs=1e-6)


def test_estoi_leaves_numpys_generator_alone() -> None:
    clean, bad = speech(), noisy(speech(), 5)
    np.random.seed(3)
    wanted = np.random.standard_normal(4)
    np.random.seed(3)
    first = score(Estoi(), bad, clean)
    assert (np.random.standard_normal(4) == wanted).all()
    assert score(Estoi(), bad, clean) == first


@pytest.mark.parametrize("samples", [1, 300, 6500])
def test_estoi_says_what_is_too_short(samples: int) -> None:
    short = noise(samples)
    with pytest.raises(InputError, match=r"less than 0\.41 s of speech"):
        score(Estoi(), short, short)


def test_estoi_counts_only_the_part_with_speech() -> None:
    mostly_silent = torch.cat([noise(4000), 1e-5 * noise(28000)], 1)
    with pytest.raises(InputError, match=r"less than 0\.41 s of speech"):
        score(Estoi(), mostly_silent, mostly_silent)


def test_estoi_refuses_a_rate_below_that_of_telephones() -> None:
    with pytest.raises(UsageError, match="none above 3 kHz; use it from 8000 Hz on"):
        Estoi().build(AudioSpec(6000))


@pytest.mark.parametrize("snr", [-10.0, 0.0, 30.0])
def test_si_sdr_of_noise_at_a_right_angle_is_the_snr(snr: float) -> None:
    reference, disturbance = noise(4000), noise(4000, seed=1)
    disturbance -= (disturbance * reference).sum() / reference.square().sum() * reference
    disturbance *= reference.norm() / disturbance.norm() * 10 ** (-snr / 20)
    assert score(SiSdr(), reference + disturbance, reference) == pytest.approx(snr, abs=1e-3)


@pytest.mark.parametrize("gain", [-1.0, 1e-6, 1e-3, 50.0])
def test_si_sdr_does_not_know_gains(gain: float) -> None:
    clean, bad = speech(), noisy(speech(), 12)
    wanted = score(SiSdr(), bad, clean)
    assert score(SiSdr(), gain * bad, clean) == pytest.approx(wanted, abs=1e-3)
    assert score(SiSdr(), bad, gain * clean) == pytest.approx(wanted, abs=1e-3)


def test_si_sdr_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    clean = speech() + 0.05
    bad = noisy(clean, 12)
    for zero_mean in (False, True):
        wanted = scale_invariant_signal_distortion_ratio(
            bad.double(), clean.double(), zero_mean=zero_mean
        )
        found = score(SiSdr(zero_mean=zero_mean), bad, clean)
        assert found == pytest.approx(wanted.item(), abs=1e-3)


def test_si_sdr_of_a_copy_is_high_but_finite() -> None:
    for gain in (1.0, 1e-4):
        assert 90 < score(SiSdr(), gain * speech(), speech()) < 200


@pytest.mark.parametrize("level", [-12.0, -3.0, 6.0])
def test_lsd_of_another_level_is_the_difference_of_levels(level: float) -> None:
    clean = noise(RATE)
    found = score(Lsd(dynamic_range=150), clean * 10 ** (level / 20), clean)
    assert found == pytest.approx(abs(level), rel=1e-4)


def test_lsd_of_a_copy_is_zero() -> None:
    assert score(Lsd(), speech(), speech()) == 0


def test_lsd_is_the_formula() -> None:
    """The same with numpy, frame by frame."""
    clean, bad = speech(0.5), noisy(speech(0.5), 10)
    powers = []
    for audio in (bad, clean):
        padded = np.pad(audio[0].double().numpy(), 256)
        frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::128]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
        powers.append(np.abs(np.fft.rfft(frames * window)) ** 2)
    levels = [10 * np.log10(np.maximum(power, powers[1].max() * 1e-5)) for power in powers]
    wanted = np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=1)).mean()
    assert wanted > 1
    assert score(Lsd(), bad, clean) == pytest.approx(wanted, rel=1e-4)


def test_lsd_compares_no_further_down_than_the_dynamic_range() -> None:
    clean = speech()
    almost_silent = 1e-12 * clean
    found = [score(Lsd(dynamic_range=range_), almost_silent, clean) for range_ in (30, 60)]
    assert 0 < found[0] < 30
    assert found[0] < found[1] < 60


def test_lsd_refuses_frames_of_a_few_samples() -> None:
    with pytest.raises(UsageError, match=r"frame_seconds=0\.001 is 8 samples at 8000 Hz"):
        Lsd(frame_seconds=0.001).build(AudioSpec(8000))


def test_several_sounds_count_the_same() -> None:
    clean = speech()
    module: Any = SiSdr().build(AudioSpec(RATE))
    for snr in (0, 20):
        module.update(noisy(clean, snr), clean)
    singles = [score(SiSdr(), noisy(clean, snr), clean) for snr in (0, 20)]
    assert float(module.compute()) == pytest.approx(sum(singles) / 2, abs=1e-4)
