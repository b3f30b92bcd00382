"""What codecs keep of a sound: its channels, its bands at any rate, its ends; and their scale."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.codec import Codec
from kernel.values import AudioSpec
from kernel_audio_testing._coded import built, latent_of, levels, untrained
from kernel_audio_testing._sounds import RATES, tones
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal, same

__all__ = ["CHECKS", "SWEPT"]

OCTAVES = 5
"""Below half of the sample rate, in which what is decoded has to be as loud as what was encoded."""


def _taken(codec: Codec, channels: int) -> list[AudioSpec]:
    """Return the audio of so many channels that the codec takes, by rate."""
    taken = []
    for rate in sorted(RATES):
        audio = AudioSpec(rate, channels)
        try:
            codec.latent(audio, 4096)
            codec.build(audio)
        except KernelError:
            continue
        taken.append(audio)
    return taken


def _coded(codec: Codec, sound: Tensor, audio: AudioSpec) -> Tensor:
    module: Any = codec.build(audio).eval()
    decoded: Tensor = module.decode(latent_of(module, sound), sound.shape[-1])
    return decoded


def _decibels(found: Tensor, wanted: Tensor) -> float:
    return 10 * float((found.square().mean() / wanted.square().mean()).clamp(min=1e-12).log10())


@torch.no_grad()
def check_stereo(subject: Subject) -> str | None:
    """Check that each stereo channel keeps its place and level and does not leak."""
    untrained(subject)
    codec: Codec = subject.make()
    taken = _taken(codec, 2)
    if not taken:
        raise Inapplicable("it takes no stereo")
    audio = taken[0]
    mono = AudioSpec(audio.sample_rate)
    left, right, third = (tones(mono, 6001, 1, seed)[0, 0] for seed in range(3))
    pairs = ((left, 0.4 * right), (0.4 * right, left), (0.6 * third, 0.3 * left))
    sound = torch.stack([torch.stack(pair) for pair in pairs])
    found = _coded(codec, sound, audio)
    for row, pair in enumerate(sound):
        for channel, wanted in enumerate(pair):
            heard = found[row, channel]
            gain = _decibels(heard, wanted)
            require(abs(gain) < 6, f"channel {channel} of item {row} is {gain:+.1f} dB as loud")
            own, other = (_likeness(heard, each) for each in (wanted, pair[1 - channel]))
            require(
                own > other,
                f"channel {channel} of item {row} is like itself to {own:.2f} and like the other "
                f"channel to {other:.2f}",
            )
    alone = torch.stack([left, torch.zeros_like(left)])[None]
    leak = _decibels(_coded(codec, alone, audio)[0, 1], left)
    require(leak < -20, f"of a sound on the left, {leak:.0f} dB is on the right")
    return f"{leak:.0f} dB from one channel to the other"


def _likeness(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(levels(torch.stack([one, other])[:, None]).flatten(1))[0, 1])


@torch.no_grad()
def check_rates(subject: Subject) -> str | None:
    """Check that a sound keeps its level in every octave, at the lowest and highest rate."""
    untrained(subject)
    codec: Codec = subject.make()
    taken = _taken(codec, 1) or _taken(codec, 2)
    facts = []
    for audio in dict.fromkeys((taken[0], taken[-1])):
        sound = 0.1 * normal(1, audio.channels, 12000, dtype=torch.float32)
        power, wanted = (
            torch.fft.rfft(each).abs().square().sum((0, 1))
            for each in (_coded(codec, sound, audio), sound)
        )
        edges = [len(power) >> octave for octave in range(OCTAVES + 1)]
        gains = [
            10 * float((power[low:high].sum() / wanted[low:high].sum()).clamp(min=1e-12).log10())
            for high, low in pairwise(edges)
        ]
        worst = max(gains, key=abs)
        fact = f"{worst:+.1f} dB in an octave at {audio.sample_rate} Hz"
        require(abs(worst) < 6, f"white noise has {fact}")
        facts.append(fact)
    return ", ".join(facts)


@torch.no_grad()
def check_ends(subject: Subject) -> str | None:
    """Check that a sound is decoded up to its ends, for any rest in the last frame."""
    untrained(subject)
    module, codec, audio = built(subject)
    hop = max(1, round(16384 / codec.latent(audio, 16384).size[-1]))
    worst = 0.0
    for rest in (1, hop // 2 + 1, hop - 1):
        samples = max(4096, 8 * hop) // hop * hop + rest
        sound = 0.1 * normal(32, audio.channels, samples, dtype=torch.float32)
        found = module.decode(latent_of(module, sound), samples)
        span = max(16, hop)
        for place, part in (("first", slice(span)), ("last", slice(-span, None))):
            gain = _decibels(found[..., part], sound[..., part])
            worst = max(worst, gain, key=abs)
            require(
                abs(gain) < 6,
                f"the {place} {span} of {samples} samples of noise are {gain:+.1f} dB as loud",
            )
    return f"{worst:+.1f} dB"


@torch.no_grad()
def check_loudness(subject: Subject) -> str | None:
    """Check that soft and loud sounds are decoded as loud as they are, and silence as silence."""
    untrained(subject)
    module, _, audio = built(subject)
    gains = []
    for gain in (0.03, 0.3, 1.0, 8.0):
        sound = gain * tones(audio, 6000)
        off = _decibels(module.decode(latent_of(module, sound), 6000), sound)
        require(abs(off) < 3, f"sounds of rms {0.1 * gain:g} are {off:+.1f} dB as loud")
        gains.append(off)
    silence = torch.zeros(1, audio.channels, 6000)
    rest = float(module.decode(latent_of(module, silence), 6000).square().mean().sqrt())
    require(rest < 1e-5, f"silence is decoded as a sound of rms {rest:.2g}")
    return f"{min(gains):+.1f} to {max(gains):+.1f} dB"


@torch.no_grad()
def check_shorter(subject: Subject) -> str | None:
    """Check that decoding fewer samples gives the beginning of decoding more."""
    module, codec, audio = built(subject)
    latent = latent_of(module, tones(audio, 4096) + torch.linspace(0, 0.2, 4096))
    whole = module.decode(latent, 4096)
    hop = max(1, 4096 // codec.latent(audio, 4096).size[-1])
    for samples in dict.fromkeys((4096 - 1, 4096 - hop // 2, 4096 - 2 * hop, 2048)):
        part = module.decode(latent, samples)
        same(part, whole[..., :samples], f"the first {samples} of 4096 samples", 1e-3)
    return None


@torch.no_grad()
def check_silence_after(subject: Subject) -> str | None:
    """Check that silence after a sound does not change the latent of the sound."""
    untrained(subject)
    module, _, audio = built(subject)
    sound = tones(audio, 4096)
    latent = latent_of(module, sound)
    longer = latent_of(module, torch.cat([sound, torch.zeros_like(sound)], -1))
    kept = latent.shape[-1] // 2
    same(longer[..., :kept], latent[..., :kept], "the first half of a latent, padded and not", 1e-3)
    return None


@torch.no_grad()
def check_set(subject: Subject) -> str | None:
    """Check that `fit` does not change an option that the user has set."""
    untrained(subject)
    _, codec, audio = built(subject)
    sounds = [tones(audio, 8000, batch=1, seed=seed)[0] for seed in range(3)]
    fitted = codec.fit(audio, iter(sounds))
    decided = [
        name for name, value in codec if value is None and isinstance(getattr(fitted, name), float)
    ]
    if not decided:
        raise Inapplicable("fit decides no number")
    for name in decided:
        value = 2 * getattr(fitted, name) + 1
        again = subject.make(**{name: value}).fit(audio, iter(sounds))
        require(getattr(again, name) == value, f"fit replaces {name}={value:g}, which was set")
    return ", ".join(decided)


@torch.no_grad()
def check_scale(subject: Subject) -> str | None:
    """Check that a trained codec leaves its `mean` and `std` to the runner."""
    if not subject.make().trained:
        raise Inapplicable("it has no weights of its own")
    module, codec, audio = built(subject)
    channels = codec.latent(audio, 4096).channels
    told = subject.make(mean=(0.5,) * channels, std=(3.0,) * channels)
    other: Any = told.build(audio).eval()
    other.load_state_dict(module.state_dict())
    sound = tones(audio, 4096)
    latent = latent_of(module, sound)
    same(latent_of(other, sound), latent, "a latent with mean and std set and without", 1e-5)
    again, wanted = other.decode(latent, 4096), module.decode(latent, 4096)
    same(again, wanted, "a sound with mean and std set and without", 1e-5)
    return None


SWEPT: dict[str, Callable[[Subject], str | None]] = {
    "stereo": check_stereo,
    "rates": check_rates,
    "ends": check_ends,
    "loudness": check_loudness,
    "shorter": check_shorter,
    "silence_after": check_silence_after,
}
"""The checks that other choices of the options have to pass, too."""

CHECKS = (
    check_stereo,
    check_rates,
    check_ends,
    check_loudness,
    check_shorter,
    check_silence_after,
    check_set,
    check_scale,
)
