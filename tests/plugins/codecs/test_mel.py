"""What `mel` promises beyond what every codec does."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from pydantic import ValidationError
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from kernel import AudioSpec, LatentSpec, UsageError
from kernel_plugins.codecs.mel import Mel

MONO = AudioSpec(8000)
DIGITS = Path(__file__).parents[4] / "shared" / "data" / "fsdd" / "test"


def module(**options: Any) -> Any:
    return Mel(**options).build(MONO)


def sine(hertz: float, samples: int = 4000, amplitude: float = 1.0) -> Tensor:
    time = torch.arange(samples).double() / 8000
    return (amplitude * torch.sin(2 * math.pi * hertz * time)).float().view(1, 1, -1)


def test_latent_has_bands_as_channels_or_as_rows() -> None:
    stereo = AudioSpec(8000, 2)
    assert Mel().latent(stereo, 8192) == LatentSpec(96, (64,))
    assert Mel(layout="image").latent(stereo, 8192) == LatentSpec(2, (48, 64))


def test_layouts_hold_the_same_numbers() -> None:
    audio = sine(700).repeat(1, 2, 1)
    channels: Any = Mel().build(AudioSpec(8000, 2))
    image: Any = Mel(layout="image").build(AudioSpec(8000, 2))
    assert torch.equal(channels.encode(audio).unflatten(1, (2, 48)), image.encode(audio))


def test_bands_rise_with_frequency() -> None:
    loudest = [int(module().encode(sine(hertz))[0, :, 16].argmax()) for hertz in (200, 1000, 3000)]
    # 48 bands between 0 and 2146 mel: band i is centred at (i + 1) 2146 / 49 mel.
    assert loudest == [round(2595 * math.log10(1 + f / 700) / 43.8) - 1 for f in (200, 1000, 3000)]


@pytest.mark.parametrize("amplitude", [1.0, 0.01])
def test_levels_are_decibels_of_a_full_scale_sine(amplitude: float) -> None:
    net = module(mean=0.0, std=1.0, window=512, floor=-160)
    levels = net.encode(sine(1000, amplitude=amplitude))[0, :, 16]
    # 1000 Hz is bin 64 exactly, and a Hann window leaves half of it on both neighbours.
    bands = amplitude * (net.bank[63] / 2 + net.bank[64] + net.bank[65] / 2)
    heard = bands > 0
    torch.testing.assert_close(levels[heard], 20 * bands[heard].log10(), atol=0.01, rtol=0)


def test_a_band_is_a_weighted_mean_of_its_bins() -> None:
    bank = module().bank
    torch.testing.assert_close(bank.sum(0), torch.ones(48))


def test_what_is_below_the_floor_decodes_to_silence() -> None:
    latent = torch.full((1, 48, 20), -90.0)
    assert module(mean=0.0, std=1.0, floor=-80).decode(latent, 2000).abs().max() == 0


def test_silence_is_at_the_floor() -> None:
    latent = module(mean=0.0, std=1.0, floor=-70).encode(torch.zeros(1, 1, 1000))
    torch.testing.assert_close(latent, torch.full_like(latent, -70), atol=1e-3, rtol=0)


def test_mean_and_std_shift_and_scale() -> None:
    raw = module(mean=0.0, std=1.0).encode(sine(500))
    torch.testing.assert_close(module(mean=-50, std=20).encode(sine(500)), (raw + 50) / 20)
    torch.testing.assert_close(module().encode(sine(500)), (raw + 60) / 13)


def test_f_min_and_f_max_bound_the_bands() -> None:
    bank = module(f_min=500, f_max=2000, bands=8).bank
    heard = torch.nonzero(bank.sum(1)).flatten() * 8000 / 512
    assert 500 < float(heard.min()) < 600
    assert 1900 < float(heard.max()) < 2000


def test_a_tone_keeps_its_pitch_and_level() -> None:
    audio = sine(1000, amplitude=0.3)
    decoded = module().decode(module().encode(audio), 4000)
    spectrum = torch.fft.rfft(decoded[0, 0, 500:3500] * torch.hann_window(3000)).abs()
    assert abs(int(spectrum.argmax()) * 8000 / 3000 - 1000) < 40
    level = decoded[..., 500:3500].square().mean() / audio[..., 500:3500].square().mean()
    assert abs(10 * math.log10(float(level))) < 1.5


@pytest.mark.parametrize("position", [10, 1234, 2990])
def test_an_impulse_stays_where_it_was(position: int) -> None:
    audio = torch.zeros(1, 1, 3000)
    audio[..., position] = 1
    energy = module().decode(module().encode(audio), 3000)[0, 0].square()
    centre = float((energy * torch.arange(3000)).sum() / energy.sum())
    assert abs(centre - position) < 128  # a hop


def mel_distance(audio: Tensor, decoded: Tensor) -> float:
    """Mean absolute difference of mel levels within 40 dB of the loudest, in dB."""
    judge = module(mean=0.0, std=1.0, window=400, floor=-160)
    before, after = judge.encode(audio), judge.encode(decoded)
    return float((before - after)[before > before.max() - 40].abs().mean())


def log_spectral_distance(audio: Tensor, decoded: Tensor) -> float:
    """Root mean square over bins, mean over frames, in dB, not below -40 dB of the loudest."""
    window = torch.hann_window(256)
    before, after = (
        torch.stft(x[0], 256, 64, window=window, return_complex=True).abs()
        for x in (audio, decoded)
    )
    floor = before.max() / 100
    ratio = 20 * ((before + floor) / (after + floor)).log10()
    return float(ratio.square().mean(1).sqrt().mean())


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the spoken digits are not on this machine")
def test_spoken_digits_lose_what_the_docstring_says() -> None:
    net, losses = module(), []
    for path in sorted(DIGITS.glob("*.wav"))[::5]:
        audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        audio = (0.1 * audio / audio.square().mean().sqrt()).view(1, 1, -1)
        with torch.no_grad():
            decoded = net.decode(net.encode(audio), audio.shape[-1])
        losses.append((mel_distance(audio, decoded), log_spectral_distance(audio, decoded)))
    mel, spectral = torch.tensor(losses).mean(0).tolist()
    assert mel < 0.8
    assert spectral < 2.8


def chirp() -> Tensor:
    time = torch.arange(6000).double() / 8000
    voice = sum(torch.sin(2 * math.pi * k * (110 + 40 * time) * time) / k for k in range(1, 20))
    return (0.1 * voice).float().view(1, 1, -1)


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"griffin_lim_iters": 0}, {"griffin_lim_iters": 32}),
        ({"inversion_iters": 0}, {"inversion_iters": 30}),
        ({"momentum": 0.0, "griffin_lim_iters": 16}, {"momentum": 0.99, "griffin_lim_iters": 16}),
    ],
)
def test_estimates_bring_the_sound_nearer(worse: dict[str, Any], better: dict[str, Any]) -> None:
    far, near = (
        mel_distance(chirp(), net.decode(net.encode(chirp()), 6000))
        for net in (module(**worse), module(**better))
    )
    assert near < 0.95 * far


def test_gradient_of_decoding_is_that_of_the_magnitudes() -> None:
    net = module(griffin_lim_iters=4).double()
    latent = net.encode(chirp().double()).requires_grad_()
    energy = net.decode(latent, 6000).square().sum()
    energy.backward()
    # One decibel more everywhere is the same phase and 10^0.1 times the energy.
    assert latent.grad is not None
    expected = float(energy.detach()) * math.log(10) / 10 * net.std
    assert float(latent.grad.sum()) == pytest.approx(expected, rel=0.02)


def test_no_gradient_is_kept_of_the_phase_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    net, kept = module(griffin_lim_iters=2), []
    estimate = net._phase

    def phase(magnitudes: Tensor) -> Tensor:
        angles = estimate(magnitudes)
        kept.append(angles.requires_grad)
        return angles

    monkeypatch.setattr(net, "_phase", phase)
    net.decode(net.encode(chirp()).requires_grad_(), 6000)
    assert kept == [False]


@pytest.mark.parametrize("call", ["build", "latent"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop": 300}, r"hop of 300 samples, more than half .* of 409; set hop to 204 or less\."),
        ({"window": 600}, r"window of 600 samples, .* n_fft of 512; set window to 512 or less\."),
        ({"f_max": 5000}, r"f_max of 5000 Hz, .* rate of 8000 Hz; set f_max to 4000 or less\."),
        ({"f_min": 4000}, r"f_min of 4000 Hz, not below the f_max of 4000 Hz; set a lower f_min\."),
        ({"bands": 240}, r"holds no bin of an n_fft of 512; set fewer bands or a longer n_fft\."),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], message: str, call: str
) -> None:
    codec = Mel(**options)
    with pytest.raises(UsageError, match=r"^The codec 'mel' has an? .*" + message):
        codec.build(MONO) if call == "build" else codec.latent(MONO, 1000)


@pytest.mark.parametrize("bands", range(20, 61))
def test_refused_are_the_options_that_leave_a_band_empty(bands: int) -> None:
    codec = Mel(bands=bands, n_fft=128, hop=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = melscale_fbanks(65, 0.0, 4000.0, bands, 8000)
    if (bank.amax(0) == 0).any():
        with pytest.raises(UsageError, match="holds no bin"):
            codec.latent(MONO, 1000)
    else:
        codec.latent(MONO, 1000)


@pytest.mark.parametrize("option", [{"bands": 0}, {"n_fft": 511}, {"momentum": 1}, {"floor": 1}])
def test_options_have_bounds(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Mel(**option)
