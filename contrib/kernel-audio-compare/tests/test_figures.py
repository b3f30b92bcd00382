from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kernel_audio_compare.figures import front, interval, mel_distance

RATE = 8000


def tone(frequency: float, gain: float = 0.5) -> torch.Tensor:
    return gain * torch.sin(2 * math.pi * frequency * torch.arange(RATE) / RATE)[None]


def test_an_interval_is_that_of_the_normal_mean_where_there_are_many() -> None:
    values = np.random.default_rng(1).normal(3, 2, 2000)
    low, high = interval(values.tolist()) or (0, 0)
    half = 1.96 * values.std(ddof=1) / math.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    found = [interval(draw.exponential(1, 100).tolist()) or (0, 0) for _ in range(300)]
    # 95 % of 300, and 3 standard errors of that; skewed data cost some of it.
    assert 0.90 <= sum(low <= 1 <= high for low, high in found) / 300 <= 0.985


def test_the_same_values_have_the_same_interval_and_few_have_none() -> None:
    assert interval([1, 2, 3, 4, 5]) == interval([1, 2, 3, 4, 5])
    assert interval([1, 2, 3, 4]) is None


@pytest.mark.parametrize("gain", [0.25, 2.0])
def test_a_gain_is_its_decibels_away(gain: float) -> None:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    expected = abs(20 * math.log10(gain))
    assert mel_distance(gain * noise, noise, RATE) == pytest.approx(expected, abs=1e-4)
    assert mel_distance(noise, noise, RATE) == 0


def test_sounds_that_differ_more_are_farther_apart() -> None:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    near, far = (
        mel_distance(tone(440) + amount * noise, tone(440), RATE) for amount in (0.001, 0.1)
    )
    assert 0 < near < far < 60


def test_silence_and_sounds_of_two_lengths_have_a_finite_distance() -> None:
    assert mel_distance(torch.zeros(1, 10), torch.zeros(1, 10), RATE) == 0
    assert 0 < mel_distance(torch.zeros(2, RATE), tone(440).repeat(2, 1), RATE) <= 60
    assert 0 < mel_distance(tone(440)[:, : RATE // 2], tone(440), RATE) <= 60


def test_a_distance_is_the_same_whatever_the_phase() -> None:
    shifted = torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE + 1)[None] * 0.5
    assert mel_distance(shifted, tone(440), RATE) < 1


def test_the_front_holds_what_no_other_dominates() -> None:
    points = [(8, 3.0), (8, 2.0), (16, 2.0), (16, 1.0), (32, 1.0), (32, 0.5), (8, 2.0)]
    assert front(points) == [False, True, False, True, False, True, True]
