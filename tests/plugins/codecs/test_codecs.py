"""What every codec promises."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import AudioSpec, Codec, InputError
from kernel_plugins.codecs.mel import Mel
from kernel_plugins.codecs.stft import Stft
from kernel_plugins.codecs.waveform import Waveform

MONO, STEREO = AudioSpec(8000), AudioSpec(8000, 2)

CODECS = {
    "mel": Mel(griffin_lim_iters=8),
    "mel-image": Mel(griffin_lim_iters=8, layout="image"),
    "stft": Stft(),
    "stft-channels": Stft(layout="channels"),
    "waveform": Waveform(),
    "waveform-fold": Waveform(fold=16),
}
every = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
EXACT = {name: codec for name, codec in CODECS.items() if not name.startswith("mel")}
exact = pytest.mark.parametrize("codec", EXACT.values(), ids=EXACT.keys())


def sound(*shape: int, seed: int = 0) -> Tensor:
    """Coloured noise with a slow swell, rms about 0.1."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    swell = 0.6 + 0.4 * torch.sin(torch.arange(shape[-1]) / 700)
    return 0.05 * (noise + noise.roll(1, -1) + noise.roll(2, -1)) * swell


def module(codec: Codec, audio: AudioSpec = STEREO) -> Any:
    return codec.build(audio)


@every
@pytest.mark.parametrize("samples", [1, 2, 15, 16, 17, 127, 128, 129, 255, 1000, 4095, 4096, 4097])
def test_latent_states_the_shape_that_encode_returns(codec: Codec, samples: int) -> None:
    latent = module(codec).encode(sound(3, 2, samples))
    assert latent.shape == (3, *codec.latent(STEREO, samples).shape)


@every
@pytest.mark.parametrize("samples", [1, 17, 127, 128, 4097])
def test_decode_returns_the_samples_asked_for(codec: Codec, samples: int) -> None:
    net = module(codec)
    decoded = net.decode(net.encode(sound(3, 2, samples)), samples)
    assert decoded.shape == (3, 2, samples)
    assert decoded.isfinite().all()


@every
def test_decode_takes_a_latent_longer_than_the_sound(codec: Codec) -> None:
    net, audio = module(codec), sound(1, 2, 4096)
    longer = net.decode(net.encode(audio), 4096)
    torch.testing.assert_close(net.decode(net.encode(audio), 3001), longer[..., :3001])


@exact
@pytest.mark.parametrize("samples", [1, 15, 127, 128, 4095, 4097])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_exact_codecs_return_the_sound(
    codec: Codec, samples: int, dtype: torch.dtype, error: float
) -> None:
    net, audio = module(codec).to(dtype), sound(2, 2, samples).to(dtype)
    decoded = net.decode(net.encode(audio), samples)
    assert decoded.dtype == dtype
    assert (decoded - audio).abs().max() <= error * audio.abs().max()


@every
def test_float64_gives_what_float32_gives(codec: Codec) -> None:
    net, audio = module(codec), sound(1, 2, 3000)
    single = net.encode(audio)
    double = net.double().encode(audio.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-4, rtol=1e-4)
    assert net.decode(double, 3000).dtype == torch.float64


@every
def test_items_do_not_depend_on_their_batch(codec: Codec) -> None:
    net, audio = module(codec), sound(5, 2, 3000)
    latent = net.encode(audio)
    together = net.decode(latent, 3000)
    for item in range(5):
        alone = slice(item, item + 1)
        torch.testing.assert_close(net.encode(audio[alone]), latent[alone], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            net.decode(latent[alone], 3000), together[alone], atol=1e-5, rtol=0
        )


@every
def test_audio_channels_do_not_mix(codec: Codec) -> None:
    stereo, mono, audio = module(codec), module(codec, MONO), sound(2, 2, 3000)
    latent = stereo.encode(audio)
    decoded = stereo.decode(latent, 3000)
    parts = latent.chunk(2, dim=1)
    for channel in range(2):
        alone = mono.encode(audio[:, channel : channel + 1])
        torch.testing.assert_close(parts[channel], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            decoded[:, channel : channel + 1], mono.decode(alone, 3000), atol=1e-5, rtol=0
        )


@every
def test_decoding_leaves_the_global_generator_alone(codec: Codec) -> None:
    net = module(codec)
    latent = net.encode(sound(1, 2, 2000))
    before = torch.get_rng_state()
    net.decode(latent, 2000)
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_silence_stays_silence(codec: Codec) -> None:
    net, silence = module(codec), torch.zeros(1, 2, 3000)
    latent = net.encode(silence)
    assert latent.isfinite().all()
    assert net.decode(latent, 3000).abs().max() < 1e-7


@every
@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-12, 1e-7, 1e-4])
def test_gradients_are_finite_at_and_near_silence(codec: Codec, level: float) -> None:
    net = module(codec)
    audio = (level * sound(1, 2, 1500)).requires_grad_()
    latent = net.encode(audio)
    latent.square().sum().backward()
    assert audio.grad is not None
    assert audio.grad.isfinite().all()
    leaf = latent.detach().requires_grad_()
    net.decode(leaf, 1500).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


@every
def test_gradients_reach_the_sound_and_the_latent(codec: Codec) -> None:
    net = module(codec)
    audio = sound(1, 2, 1500).requires_grad_()
    net.decode(net.encode(audio), 1500).square().sum().backward()
    assert audio.grad is not None
    assert audio.grad.isfinite().all()
    assert (audio.grad != 0).float().mean() > 0.9


@every
def test_wild_latents_decode_to_finite_sound(codec: Codec) -> None:
    shape = codec.latent(STEREO, 1500).shape
    latent = 100 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    assert module(codec).decode(latent, 1500).isfinite().all()


@every
@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_fitted_latents_have_zero_mean_and_unit_variance(codec: Codec, gain: float) -> None:
    examples = [gain * sound(2, samples, seed=samples) for samples in (4000, 4321, 6000)]
    net = module(codec.fit(STEREO, iter(examples)))
    latents = torch.cat([net.encode(example[None]).flatten() for example in examples])
    assert abs(float(latents.mean())) < 0.02
    assert float(latents.std()) == pytest.approx(1, abs=1e-3)


@every
def test_fit_keeps_what_is_set(codec: Codec) -> None:
    fitted = codec.fit(STEREO, [sound(2, 4000)])
    assert fitted != codec
    assert fitted.fit(STEREO, [10 * sound(2, 4000)]) == fitted
    assert type(codec).model_validate(fitted.model_dump()) == fitted


@every
@pytest.mark.parametrize(
    "examples", [[], [torch.zeros(2, 4000)], [torch.full((2, 4000), torch.nan)]]
)
def test_fit_refuses_what_has_no_scale(codec: Codec, examples: list[Tensor]) -> None:
    with pytest.raises(
        InputError, match=r"cannot fit its scale: .*not finite; .* set the option std"
    ):
        codec.fit(STEREO, examples)


def test_importing_a_codec_does_not_import_torch() -> None:
    names = ", ".join(f"kernel_plugins.codecs.{name}" for name in ("mel", "stft", "waveform"))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
