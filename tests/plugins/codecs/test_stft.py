"""What `stft` promises beyond what every codec does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kernel import AudioSpec, LatentSpec, UsageError
from kernel_plugins.codecs.stft import Stft

MONO = AudioSpec(8000)


def noise(samples: int, rms: float = 0.1) -> torch.Tensor:
    return rms * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0)).double()


def test_latent_has_the_published_shape() -> None:
    assert Stft().latent(AudioSpec(16000, 2), 128 * 256) == LatentSpec(4, (256, 256))
    assert Stft(layout="channels").latent(MONO, 128 * 256) == LatentSpec(512, (256,))


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.667, 1.0])
@pytest.mark.parametrize(("n_fft", "hop"), [(510, 128), (512, 256), (64, 1), (2048, 1024)])
def test_round_trip_for_every_exponent_and_frame(exponent: float, n_fft: int, hop: int) -> None:
    net: Any = Stft(exponent=exponent, n_fft=n_fft, hop=hop).build(MONO).double()
    audio = noise(2048)
    torch.testing.assert_close(net.decode(net.encode(audio), 2048), audio, atol=1e-10, rtol=0)


def test_round_trip_of_a_sound_across_the_straight_part() -> None:
    net: Any = Stft().build(MONO).double()
    audio = noise(4000) * torch.logspace(-9, 0, 4000)
    torch.testing.assert_close(net.decode(net.encode(audio), 4000), audio, atol=1e-15, rtol=1e-9)


def test_published_scaling_is_a_value_of_std() -> None:
    window = torch.hann_window(510).double()
    audio = noise(128 * 20)
    # Frames of the published transform are centred at t * hop, ours half a hop later.
    spectrum = torch.stft(audio[0], 510, 128, window=window, return_complex=True)
    published = 0.15 * spectrum.abs() ** 0.5 * torch.exp(1j * spectrum.angle())
    net: Any = Stft(std=1.793).build(MONO).double()
    ours = net.encode(torch.nn.functional.pad(audio, (64, 0)))[:, :, :, 3:17]
    expected = torch.view_as_real(published).movedim(-1, 1)[:, :, :, 3:17]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("n_fft", [256, 510])
def test_default_scale_gives_white_noise_unit_variance(exponent: float, n_fft: int) -> None:
    net: Any = Stft(exponent=exponent, n_fft=n_fft, hop=64).build(MONO).double()
    assert float(net.encode(noise(40000)).square().mean()) == pytest.approx(1, abs=0.03)


def test_angles_are_kept() -> None:
    compressed: Any = Stft().build(MONO).double()
    linear: Any = Stft(exponent=1).build(MONO).double()
    a, b = (
        torch.view_as_complex(m.encode(noise(2000)).movedim(1, -1).contiguous())
        for m in (compressed, linear)
    )
    torch.testing.assert_close(a.angle(), b.angle())


def test_slope_at_silence_is_that_of_the_straight_part() -> None:
    net: Any = Stft(std=1.0).build(MONO).double()
    linear: Any = Stft(std=1.0, exponent=1).build(MONO).double()
    tiny = noise(1000, 1e-9)
    torch.testing.assert_close(net.encode(tiny), 1e3 * linear.encode(tiny))


def test_an_impulse_stays_where_it_was() -> None:
    net: Any = Stft().build(MONO)
    audio = torch.zeros(1, 1, 3000)
    audio[..., 1234] = 1
    latent = net.encode(audio)
    assert int(latent.square().sum((0, 1, 2)).argmax()) == 1234 // 128
    assert int(net.decode(latent, 3000).argmax()) == 1234


def test_noise_on_the_latent_is_not_amplified_at_the_ends() -> None:
    net: Any = Stft(exponent=1, hop=255, std=1.0).build(MONO)
    shape = Stft(hop=255).latent(MONO, 2550).shape
    latent = torch.randn(200, *shape, generator=torch.Generator().manual_seed(0))
    level = net.decode(latent, 2550).square().mean((0, 1)).sqrt()
    assert float(level.max()) < 2.5 * float(level.median())


@pytest.mark.parametrize("call", ["build", "latent"])
def test_a_hop_that_loses_samples_is_refused(call: str) -> None:
    codec = Stft(n_fft=510, hop=256)
    message = r"'stft' has a hop of 256 samples, .* window of 510; set hop to 255 or less\."
    with pytest.raises(UsageError, match=message):
        codec.build(MONO) if call == "build" else codec.latent(MONO, 1000)


@pytest.mark.parametrize("option", [{"n_fft": 511}, {"hop": 0}, {"exponent": 0}, {"std": 0}])
def test_options_have_bounds(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Stft(**option)
