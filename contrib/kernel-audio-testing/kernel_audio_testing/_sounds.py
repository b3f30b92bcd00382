"""The sounds that codecs, tasks and metrics are tried on, and the kinds of audio that there are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.values import AudioSpec
from kernel_audio_testing._subject import Violation
from kernel_audio_testing._tools import normal

__all__ = ["RATES", "first_taken", "found_in", "syllables", "tones"]

RATES = (16000, 24000, 44100, 48000, 22050, 32000, 8000)


def first_taken(use: Callable[[AudioSpec], object]) -> AudioSpec:
    """Return the first kind of audio that `use` does not refuse with a KernelError."""
    reason: KernelError | None = None
    for rate in RATES:
        for channels in (1, 2):
            audio = AudioSpec(rate, channels)
            try:
                use(audio)
                return audio
            except KernelError as error:
                reason = reason or error
    raise Violation(f"it takes no audio of a usual rate, mono or stereo: {reason}")


def tones(audio: AudioSpec, samples: int, batch: int = 2, seed: int = 0) -> Tensor:
    """Return decaying harmonic sounds with a little noise, of rms 0.1. [batch, C, samples]."""
    time = torch.arange(samples) / audio.sample_rate
    pitch = 110.0 * 2 ** (torch.arange(batch * audio.channels) / 3 + seed)
    partials = torch.arange(1, 9)
    angles = 2 * torch.pi * pitch[:, None, None] * partials[:, None] * time
    sound = (angles.sin() / partials[:, None]).sum(1) * (-3 * time).exp()
    sound = sound + 0.02 * normal(*sound.shape, seed=seed, dtype=torch.float32)
    sound = 0.1 * sound / sound.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-6)
    return sound.view(batch, audio.channels, samples)


def syllables(audio: AudioSpec, seconds: float, seed: int = 0) -> Tensor:
    """Return a sound with the pitch, the bandwidth and the pauses of speech. [C, L].

    Four bursts a second of a gliding buzz, of rms about 0.05.
    """
    time = torch.arange(round(seconds * audio.sample_rate)) / audio.sample_rate
    pitch = 140.0 + 20 * seed + 30 * (2 * torch.pi * 0.7 * time + seed).sin()
    phase = 2 * torch.pi * pitch.cumsum(0) / audio.sample_rate
    partials = torch.arange(1, 24)[:, None]
    buzz = ((partials * phase).sin() / partials).sum(0)
    bursts = (2 * torch.pi * 4 * time + seed).sin().clamp(min=0)
    breath = 0.1 * normal(audio.channels, len(time), seed=seed, dtype=torch.float32)
    return 0.1 * (buzz + breath) * bursts


def found_in(whole: Tensor, part: Tensor) -> tuple[float, int]:
    """Return how like a part is to some stretch of a whole, at most 1, and where that begins."""
    size = len(whole) + len(part)
    product = torch.fft.rfft(whole, size) * torch.fft.rfft(part, size).conj()
    likeness = torch.fft.irfft(product, size)[: len(whole)]
    power = torch.cat([torch.zeros(1), whole.double().square().cumsum(0)])
    ends = (torch.arange(len(whole)) + len(part)).clamp(max=len(whole))
    norms = (power[ends] - power[:-1]).clamp(min=0).sqrt() * part.norm()
    likeness = likeness / norms.clamp(min=1e-3 * float(norms.max()))
    place = int(likeness.argmax())
    return float(likeness[place]), place
