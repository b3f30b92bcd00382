import math

import numpy as np
import pytest

from kernel_plugins.observers._spectrum import levels, outline, ticks

RATE = 8000


def sine(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)[None]


def burst(seed: int, samples: int = 1600, channels: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(channels, samples))
    return (0.2 * noise).astype(np.float32)


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 3100.0])
def test_a_full_scale_sine_has_0_db_at_its_frequency(hertz: float) -> None:
    middle = levels(sine(hertz), RATE)[:, 280]
    assert middle.max() == pytest.approx(0, abs=0.3)
    assert middle.argmax() / 160 * RATE / 2 == pytest.approx(hertz, abs=40)


def test_half_the_amplitude_is_6_db_less() -> None:
    difference = levels(sine(1000), RATE).max() - levels(0.5 * sine(1000), RATE).max()
    assert difference == pytest.approx(20 * math.log10(2), abs=1e-6)


def test_time_fills_the_columns_from_left_to_right() -> None:
    late = np.concatenate([np.zeros((1, 3000)), sine(1000, 1000 / RATE)], axis=1)
    loud = np.flatnonzero(levels(late, RATE).max(0) > -6)
    assert loud.min() == pytest.approx(0.75 * 560, abs=6)
    assert loud.max() == 559


def test_a_click_in_a_long_sound_is_not_lost() -> None:
    audio = np.zeros((1, RATE * 300))
    audio[0, RATE * 100] = 1.0
    level = levels(audio, RATE)
    assert level.max() > level.min() + 20
    assert np.unravel_index(level.argmax(), level.shape)[1] == pytest.approx(560 / 3, abs=1)


@pytest.mark.parametrize("samples", [0, 1, 7, 255, 256, 1601])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_length_gives_the_same_shape_and_finite_levels(samples: int, rate: int) -> None:
    level = levels(np.ones((2, samples), np.float32), rate)
    assert level.shape == (160, 560)
    assert np.isfinite(level).all()


def test_a_sound_in_either_channel_is_seen() -> None:
    silence = np.zeros_like(sine(1000))
    left = levels(np.concatenate([sine(1000), silence]), RATE)
    right = levels(np.concatenate([silence, sine(1000)]), RATE)
    assert left.max() == pytest.approx(-3, abs=0.3)
    np.testing.assert_allclose(left, right)


def test_the_outline_holds_the_extremes_of_each_channel() -> None:
    audio = np.zeros((2, 1000))
    audio[0, 123], audio[1, 999] = 0.7, -0.4
    shape = outline(audio, 100)
    assert shape.shape == (2, 2, 100)
    assert shape[0, 1].argmax() == 12
    assert (shape[0, 1].max(), shape[1, 0].min()) == (0.7, -0.4)
    assert shape[1, 0].argmin() == 99


def test_a_part_of_a_sound_looks_as_it_does_in_the_whole() -> None:
    audio = burst(0, 8000)
    whole = levels(audio, RATE, columns=400)
    part = levels(audio, RATE, columns=200, part=slice(2000, 6000))
    np.testing.assert_allclose(part, whole[:, 100:300])


@pytest.mark.parametrize(("start", "stop"), [(38.0, 44.0), (61.3, 69.9), (0.95, 1.1)])
def test_the_ticks_of_a_part_lie_in_it(start: float, stop: float) -> None:
    moments = ticks(stop, start)
    assert 2 <= len(moments) <= 5
    assert start - 1e-9 <= moments[0] and moments[-1] <= stop + 1e-9


@pytest.mark.parametrize("seconds", [0.001, 0.2, 1.0, 1.024, 3.0, 61.0, 5000.0])
def test_the_ticks_of_time_are_few_round_and_inside(seconds: float) -> None:
    moments = ticks(seconds)
    step = moments[1]
    assert 3 <= len(moments) <= 6
    assert moments[0] == 0
    assert moments[-1] <= seconds * (1 + 1e-6)
    assert moments[-1] + step > seconds
    assert f"{step:.6e}"[0] in "125"
