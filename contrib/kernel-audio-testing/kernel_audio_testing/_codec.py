"""The checks of codecs, on decaying tones, bursts of noise and silence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.codec import Codec
from kernel.values import AudioSpec
from kernel_audio_testing import _fidelity
from kernel_audio_testing._coded import built, codec_of, latent_of, levels, untrained
from kernel_audio_testing._options import choices, every_option_acts, holds
from kernel_audio_testing._sounds import tones
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)

__all__ = ["CHECKS"]

LENGTHS = (1, 333, 4096, 5001)


@torch.no_grad()
def check_latent_shape(subject: Subject) -> str | None:
    """Check that `latent` gives the shape of `encode`'s result, for every length."""
    codec, first = codec_of(subject)
    for audio in (first, AudioSpec(first.sample_rate, 3 - first.channels)):
        try:
            module: Any = codec.build(audio)
        except KernelError:
            continue
        for samples in LENGTHS:
            found = latent_of(module, tones(audio, samples)).shape
            wanted = (2, *codec.latent(audio, samples).shape)
            require(
                tuple(found) == wanted,
                f"{samples} samples of {audio.channels} channel(s) become {tuple(found)}, and "
                f"latent() says {wanted}",
            )
    spec = codec.latent(first, first.sample_rate)
    return f"a second at {first.sample_rate} Hz: {spec.channels} channels of {spec.size}"


@torch.no_grad()
def check_samples(subject: Subject) -> str | None:
    """Check that decoding returns the requested number of finite samples."""
    module, _, audio = built(subject)
    for samples in LENGTHS:
        sound = tones(audio, samples)
        found = module.decode(latent_of(module, sound), samples)
        require(
            found.shape == sound.shape,
            f"{tuple(sound.shape)} is decoded as {tuple(found.shape)}",
        )
        finite(found, f"a decoded sound of {samples} samples")
    return None


@torch.no_grad()
def check_round_trip(subject: Subject) -> str | None:
    """Check that a decoded sound has the spectrogram and the level of the original."""
    untrained(subject)
    module, _, audio = built(subject)
    sound = tones(audio, audio.sample_rate // 2)
    found = module.decode(latent_of(module, sound), sound.shape[-1])
    error = float((found - sound).square().sum() / sound.square().sum())
    snr = -10 * torch.log10(torch.tensor(max(error, 1e-30))).item()
    both = torch.stack([levels(sound), levels(found)]).flatten(1)
    likeness = float(torch.corrcoef(both)[0, 1])
    gain = 10 * float((found.square().mean() / sound.square().mean()).log10())
    fact = f"SNR {snr:.1f} dB, spectrograms correlate {likeness:.3f}, level {gain:+.1f} dB"
    require(likeness > 0.7 and abs(gain) < 6, fact)
    turned = float(torch.corrcoef(torch.stack([sound.flatten(), found.flatten()]))[0, 1])
    require(turned > -0.5, f"waveforms correlate {turned:.2f}: the sign of a sound is turned")
    again = module.decode(latent_of(module, found), sound.shape[-1])
    kept = float(torch.corrcoef(torch.stack([levels(found), levels(again)]).flatten(1))[0, 1])
    lost = 10 * float((again.square().mean() / found.square().mean()).log10())
    second = f"coded again, spectrograms correlate {kept:.3f}, level {lost:+.1f} dB"
    require(kept > 0.9 * likeness and abs(lost) < 2, f"{fact}; {second}")
    return fact


@torch.no_grad()
def check_alignment(subject: Subject) -> str | None:
    """Check that a burst of noise keeps its place in the latent and in the decoded sound."""
    untrained(subject)
    module, codec, audio = built(subject)
    samples = 16384
    frames = codec.latent(audio, samples).size[-1]
    hop = samples / frames
    worst = 0.0
    silence = latent_of(module, torch.zeros(1, audio.channels, samples))
    for position in (3000, 8192, 13001):
        sound = torch.zeros(1, audio.channels, samples)
        burst = normal(1, audio.channels, 400, seed=position, dtype=torch.float32)
        sound[..., position : position + 400] = 0.3 * burst * torch.hann_window(400)
        latent = latent_of(module, sound)
        found = module.decode(latent, samples)
        worst = max(worst, abs(_centre(found) - _centre(sound)))
        frame = _centre(latent - silence) / frames * samples
        require(
            abs(frame + hop / 2 - _centre(sound)) <= 1.5 * hop + 100,
            f"a burst at sample {_centre(sound):.0f} is at {frame:.0f} in the latent",
        )
    fact = f"off by {worst:.1f} samples, a frame is {hop:.0f}"
    require(worst <= max(0.5, min(hop / 4, 200)), fact)
    return fact


def _centre(tensor: Tensor) -> float:
    power = tensor.square().flatten(0, -2).sum(0)
    return float((power * torch.arange(len(power))).sum() / power.sum().clamp(min=1e-30))


def check_silence(subject: Subject) -> str | None:
    """Check that silence and latents of zeros give finite values with finite gradients."""
    module, _, audio = built(subject)
    silence = torch.zeros(1, audio.channels, 4096)
    latent = latent_of(module, silence)
    finite(latent, "the latent of silence")
    for name, start in (("of silence", latent), ("of zeros", torch.zeros_like(latent))):
        leaf = start.detach().clone().requires_grad_()
        sound = module.decode(leaf, 4096)
        finite(sound, f"the sound decoded from the latent {name}")
        _finite_gradient(sound, leaf, f"the gradient of decoding the latent {name}")
    leaf = silence.clone().requires_grad_()
    _finite_gradient(latent_of(module, leaf), leaf, "the gradient of encoding silence")
    return None


def _finite_gradient(result: Tensor, leaf: Tensor, what: str) -> None:
    if result.requires_grad:
        (gradient,) = torch.autograd.grad(result.square().sum() + result.sum(), leaf)
        finite(gradient, what)


def check_gradient(subject: Subject) -> str | None:
    """Check that decoding passes a finite, nonzero gradient to the latent."""
    module, _, audio = built(subject)
    sound = tones(audio, 4096)
    latent = latent_of(module, sound).detach().requires_grad_()
    found = module.decode(latent, 4096)
    require(
        found.requires_grad,
        "decoding passes no gradient on; if it cannot, say why in `shortfalls`",
    )
    (gradient,) = torch.autograd.grad((found * sound).sum(), latent)
    finite(gradient, "the gradient of decoding")
    require(bool(gradient.any()), "the gradient of decoding is zero")
    return None


@torch.no_grad()
def check_batch(subject: Subject) -> str | None:
    """Check that coding of an item does not depend on the rest of its batch."""
    module, _, audio = built(subject)
    sound = tones(audio, 4096, batch=3) * torch.tensor([1.0, 0.3, 2.0]).view(3, 1, 1)
    latent = latent_of(module, sound)
    same(
        latent[1:2],
        latent_of(module, sound[1:2]),
        "the latent of an item in a batch and alone",
        1e-4,
    )
    found, alone = module.decode(latent, 4096), module.decode(latent[1:2], 4096)
    same(found[1:2], alone, "the sound of an item in a batch and alone", 1e-3)
    return None


@torch.no_grad()
def check_device(subject: Subject) -> str | None:
    """Check that coding makes all tensors on the device of its input."""
    module, _, audio = built(subject)
    module.to("meta")
    with on_meta("encode", may_look=True):
        latent = latent_of(module, tones(audio, 4096).to("meta"))
        require_meta(latent, "the latent")
    with on_meta("decode", may_look=True):
        require_meta(module.decode(latent, 4096), "the decoded sound")
    return None


@torch.no_grad()
def check_fit(subject: Subject) -> str | None:
    """Check that after `fit` the latents have about zero mean and unit variance."""
    untrained(subject)
    codec, audio = codec_of(subject)
    sounds = [
        gain * tones(audio, 8000 + 3000 * seed, batch=1, seed=seed)[0]
        for seed, gain in enumerate((1.0, 0.3, 2.0))
    ]
    fitted = codec.fit(audio, iter(sounds))
    require(type(fitted) is type(codec), f"fit returns a {type(fitted).__name__}")
    again = type(fitted).model_validate(fitted.model_dump(mode="json"))
    require(again == fitted, "what fit decided does not survive being saved")
    module: Any = fitted.build(audio)
    values = torch.cat([latent_of(module, sound[None]).flatten() for sound in sounds])
    mean, variance = float(values.mean()), float(values.var())
    fact = f"mean {mean:.2f}, variance {variance:.2f}"
    if fitted == codec:
        require(0.05 < variance < 20, f"fit changes nothing, and sounds of rms 0.1 have {fact}")
        raise Inapplicable(f"fit changes nothing; the test sounds have {fact}")
    require(abs(mean) < 0.3 and 0.7 < variance < 1.4, fact)
    _check_heard(codec, fitted, audio, sounds)
    return fact


def _check_heard(codec: Codec, fitted: Codec, audio: AudioSpec, sounds: list[Tensor]) -> None:
    """Raise Violation unless `fit` counts every sound, and their order does not count."""
    decided = {name: value for name, value in fitted if value != getattr(codec, name)}
    backwards = codec.fit(audio, iter(sounds[::-1]))
    for name, value in decided.items():
        other = getattr(backwards, name)
        close = torch.allclose(torch.tensor(other), torch.tensor(value), rtol=1e-3, atol=1e-6)
        require(close, f"fit sets {name} to {value}, and to {other} in another order of the data")
    for index in range(len(sounds)):
        louder = [3 * sound if i == index else sound for i, sound in enumerate(sounds)]
        other = codec.fit(audio, iter(louder))
        moved = any(getattr(other, name) != value for name, value in decided.items())
        require(moved, f"fit does not hear sound {index} of {len(sounds)}")


@torch.no_grad()
def check_spread(subject: Subject) -> str | None:
    """Check that a latent's standard deviation is positive, finite and shaped like the mean."""
    module, _, audio = built(subject)
    encoded = module.encode(tones(audio, 4096))
    if not isinstance(encoded, tuple):
        raise Inapplicable("it encodes to no distribution")
    mean, std = encoded
    require(
        std.shape == mean.shape, f"the mean is {tuple(mean.shape)}, its spread {tuple(std.shape)}"
    )
    finite(std, "the standard deviation")
    require(bool((std > 0).all()), f"a standard deviation is {float(std.min()):.3g}")
    return f"{float(std.min()):.3g} to {float(std.max()):.3g}"


@torch.no_grad()
def check_weights(subject: Subject) -> str | None:
    """Check that saved weights hold all trained values, and coding does not change them."""
    if not subject.make().trained:
        raise Inapplicable("it has no weights of its own")
    module, codec, audio = built(subject)
    saved = {name: value.clone() for name, value in module.state_dict().items()}
    require(any(each.numel() for each in module.parameters()), "it has nothing that is trained")
    sound = tones(audio, 4096)
    latent = latent_of(module, sound)
    decoded = module.decode(latent, 4096)
    for name, value in module.state_dict().items():
        require(torch.equal(value, saved[name]), f"coding changes the tensor {name!r}")
    again: Any = codec.build(audio).eval()
    again.load_state_dict(saved)
    same(latent_of(again, sound), latent, "a latent after the weights were loaded", 1e-5)
    same(again.decode(latent, 4096), decoded, "a sound after the weights were loaded", 1e-5)
    return f"{sum(each.numel() for each in module.parameters())} values"


@torch.no_grad()
def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""
    _, audio = codec_of(subject)
    sounds = torch.stack([tones(audio, 3001, 1, seed)[0] for seed in range(2)])

    def observe(codec: Codec) -> list[Tensor | float]:
        fitted = codec.fit(audio, iter(sounds))
        module: Any = fitted.build(audio).eval()
        latent = latent_of(module, sounds)
        return [latent, module.decode(latent, 3001)]

    untrained(subject)
    return every_option_acts(subject, observe)


def _taken(subject: Subject) -> bool:
    """Return whether a codec with these options takes any audio."""
    try:
        codec_of(subject)
    except Violation:
        return False
    return True


def check_choices(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises."""
    whole, chosen = (
        [each for each in choices(subject, whole) if _taken(each)] for whole in (True, False)
    )
    for each in whole:
        holds(each, latent_shape=check_latent_shape)
    for each in chosen:
        holds(
            each,
            round_trip=check_round_trip,
            alignment=check_alignment,
            samples=check_samples,
            silence=check_silence,
            batch=check_batch,
            fit=check_fit,
            **_fidelity.SWEPT,
        )
    return f"{len(whole)} settings"


@torch.no_grad()
def check_pure(subject: Subject) -> str | None:
    """Check that coding changes no input, draws no random numbers, and repeats."""
    module, _, audio = built(subject)
    sound = tones(audio, 4096)
    with generator_untouched("the codec"):
        with unchanged(audio=sound):
            latent = latent_of(module, sound)
        with unchanged(latent=latent):
            first = module.decode(latent, 4096)
        require(torch.equal(latent_of(module, sound), latent), "encoding twice gives two latents")
        require(torch.equal(module.decode(latent, 4096), first), "decoding twice gives two sounds")
    return None


CHECKS = (
    check_latent_shape,
    check_samples,
    check_round_trip,
    check_alignment,
    check_silence,
    check_gradient,
    check_batch,
    check_device,
    check_fit,
    check_spread,
    check_weights,
    check_pure,
    *_fidelity.CHECKS,
    check_options,
    check_choices,
)
