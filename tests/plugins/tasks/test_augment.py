"""Each change of a sound against its definition, and the draws of a task against their ranges."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import InputError
from kernel_plugins.tasks import _augment as augment
from kernel_plugins.tasks.unconditional import Unconditional

RATE = 8000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(samples: int, seed: int = 0, channels: int = 1) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=seeded(seed))


def power(sound: Tensor) -> float:
    return float(sound.double().square().sum())


def tone(frequency: float, samples: int = RATE) -> Tensor:
    return torch.sin(2 * math.pi * frequency / RATE * torch.arange(samples).double()).float()[None]


@pytest.mark.parametrize("snr", [-20.0, 0.0, 7.3, 40.0])
def test_the_ratio_of_a_mixture_is_exact(snr: float) -> None:
    sound, other = noise(5000, 1, 2), 3 * noise(5000, 2, 2)
    added = augment.mixed(sound.double(), other.double(), snr) - sound.double()
    assert abs(10 * math.log10(power(sound) / power(added)) - snr) < 1e-9
    whole = augment.mixed(sound, other, snr)
    assert abs(10 * math.log10(power(sound) / power(whole - sound)) - snr) < 1e-4


def test_silence_is_not_mixed() -> None:
    sound = noise(100)
    assert torch.equal(augment.mixed(sound, torch.zeros(1, 100), 5), sound)
    assert torch.equal(augment.mixed(torch.zeros(1, 100), sound, 5), torch.zeros(1, 100))


def test_a_room_is_a_convolution_from_the_direct_path_on() -> None:
    sound, response = noise(300, 1, 2), noise(80, 2)
    response[0, 17] = -0.9
    wanted = [
        np.convolve(each, response[0].double().numpy())[17:317] / 0.9
        for each in sound.double().numpy()
    ]
    found = augment.reverberated(sound, response)
    np.testing.assert_allclose(found.double().numpy(), np.stack(wanted), atol=1e-6)


@pytest.mark.parametrize(("percent", "length"), [(25, 6400), (-20, 10000), (0, 8000)])
def test_a_faster_tone_is_shorter_and_higher(percent: int, length: int) -> None:
    found = augment.faster(tone(500), percent)
    assert found.shape == (1, length)
    wanted = tone(500 * (1 + percent / 100), length)
    torch.testing.assert_close(found[:, 300:-300], wanted[:, 300:-300], atol=2e-3, rtol=0)


def test_a_band_limit_cuts_above_and_keeps_below() -> None:
    for frequency, kept in ((500, 1.0), (890, 1.0), (1005, 0.0), (3000, 0.0)):
        found = augment.low_passed(tone(frequency), RATE, 1000)[:, 1000:-1000]
        torch.testing.assert_close(found, kept * tone(frequency)[:, 1000:-1000], atol=2e-3, rtol=0)


def test_gain_is_in_decibels_and_a_noise_goes_on_from_its_start() -> None:
    assert power(augment.gain(noise(50), 20)) == pytest.approx(100 * power(noise(50)))
    assert augment.looped(torch.arange(3.0)[None], 7, 2).tolist() == [[2, 0, 1, 2, 0, 1, 2]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, sound in (
        ("data/a.wav", noise(1200)),
        ("noise/hum/n.wav", noise(500, 3)),
        ("rooms/r.wav", torch.eye(1, 200) + 0.1 * noise(200, 4)),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, sound[0].numpy(), RATE, subtype="FLOAT")
    return tmp_path


def items(folder: Path, count: int = 200, **options: object) -> list[Tensor]:
    given = {"path": folder / "data", "sample_rate": RATE, "seconds": 0.15, "normalize": "none"}
    data = Unconditional.model_validate(given | options).dataset("train")
    found = [data.item(0, seeded(seed)).audio for seed in range(count)]
    again = [data.item(0, seeded(seed)).audio for seed in range(count)]
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    return [each for each in found if each is not None]


def test_nothing_is_changed_by_default(folder: Path) -> None:
    assert all(torch.equal(each, noise(1200)) for each in items(folder, 3))


def test_the_share_of_turned_items_is_the_options(folder: Path) -> None:
    turned = sum(
        torch.equal(each, -noise(1200)) for each in items(folder, 400, augment_polarity=0.3)
    )
    # Four standard deviations around 120.
    assert abs(turned - 120) < 4 * math.sqrt(400 * 0.3 * 0.7)


def test_gains_are_spread_evenly(folder: Path) -> None:
    found = [
        10 * math.log10(power(each) / power(noise(1200))) for each in items(folder, augment_gain=6)
    ]
    assert -6 <= min(found) < -5.5 and 5.5 < max(found) <= 6
    assert abs(sum(found) / len(found)) < 4 * 12 / math.sqrt(12 * len(found))


def test_the_ratios_of_items_lie_between_the_options(folder: Path) -> None:
    options = {"augment_noise": folder / "noise", "augment_snr": (3.0, 9.0), "augment_share": 1.0}
    clean = noise(1200)
    found = [
        10 * math.log10(power(clean) / power(each - clean)) for each in items(folder, **options)
    ]
    assert 3 - 1e-4 <= min(found) < 3.5 and 8.5 < max(found) <= 9 + 1e-4
    exact = items(folder, 20, **options | {"augment_snr": (5.0, 5.0)})
    assert all(
        abs(10 * math.log10(power(clean) / power(each - clean)) - 5) < 1e-4 for each in exact
    )


def test_shares_of_rooms_and_bands(folder: Path) -> None:
    for options in ({"augment_room": folder / "rooms"}, {"augment_band": 500.0}):
        found = items(folder, augment_share=0.25, **options)
        changed = sum(not torch.equal(each, noise(1200)) for each in found)
        assert abs(changed - 50) < 4 * math.sqrt(200 * 0.25 * 0.75)


def test_speeds_change_lengths_up_and_down(folder: Path) -> None:
    lengths = {
        int(each.abs().gt(0).nonzero()[-1, 1]) + 1 for each in items(folder, augment_speed=10)
    }
    assert 1091 <= min(lengths) < 1110 and max(lengths) == 1200


def test_folders_without_audio_are_named(folder: Path) -> None:
    for option in ("augment_noise", "augment_room"):
        with pytest.raises(InputError, match=rf"no audio in .*gone; check -o task\.{option}$"):
            items(folder, **{option: folder / "gone"})


def test_ranges_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="the least ratio, then the greatest"):
        Unconditional(augment_snr=(9, 3))
    with pytest.raises(ValidationError, match="above 4000 Hz, half the sample rate"):
        Unconditional(sample_rate=RATE, augment_band=5000)


def test_places_do_not_travel(folder: Path) -> None:
    made = Unconditional(augment_noise=folder, augment_room=folder, augment_gain=3).portable()
    assert (made.augment_noise, made.augment_room, made.augment_gain) == (None, None, 3)
