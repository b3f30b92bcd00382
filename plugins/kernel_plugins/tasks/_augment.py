"""Random changes of a training item's sound: pure functions of audio [C, L]."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from kernel import resample

if TYPE_CHECKING:
    from torch import Generator, Tensor

_EDGE = 0.1  # of a cutoff: the width of the slope below it


def uniform(low: float, high: float, generator: Generator) -> float:
    """Return a random number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def crop(sound: Tensor, samples: int, generator: Generator) -> Tensor:
    """Return a random stretch [C, samples] of the sound; a shorter sound as it is."""
    if (room := sound.shape[-1] - samples) <= 0:
        return sound
    start = int(torch.randint(room + 1, (), generator=generator))
    return sound[:, start : start + samples]


def gain(sound: Tensor, decibels: float) -> Tensor:
    """Return the sound, louder by so many dB."""
    return sound * 10 ** (decibels / 20)


def mixed(sound: Tensor, noise: Tensor, snr: float) -> Tensor:
    """Return sound + g noise with 10 log10(sum sound^2 / sum (g noise)^2) = `snr` in dB.

    noise: as long as the sound. If one of them is silent, there is no such ratio and the sound
    stays as it is.
    """
    loud, beside = (float(each.double().square().sum()) for each in (sound, noise))
    if not loud or not beside:
        return sound
    return sound + noise * math.sqrt(loud / beside / 10 ** (snr / 10))


def looped(noise: Tensor, samples: int, start: int) -> Tensor:
    """Return [C, samples] of a noise from a sample on; after its end it starts again."""
    return noise[:, (start + torch.arange(samples)) % noise.shape[-1]]


def reverberated(sound: Tensor, response: Tensor) -> Tensor:
    """Return the sound [C, L] in a room, whose impulse response is [1 or C, R].

    The loudest sample of the response, its direct path, gets a gain of 1 and no delay: the sound
    stays in place. The tail beyond the end of the sound is cut off.
    """
    peak = int(response.abs().amax(0).argmax())
    direct = response[:, peak].abs().max()
    length = sound.shape[-1] + response.shape[-1] - 1
    spectrum = torch.fft.rfft(sound.double(), length) * torch.fft.rfft(response.double(), length)
    whole: Tensor = torch.fft.irfft(spectrum, length)[:, peak : peak + sound.shape[-1]]
    return (whole / direct.double()).to(sound.dtype)


def faster(sound: Tensor, percent: int) -> Tensor:
    """Return the sound at 100 + `percent` percent of its speed and pitch, [C, 100 L / that]."""
    return resample(sound, 100 + percent, 100)


def low_passed(sound: Tensor, sample_rate: int, cutoff: float) -> Tensor:
    """Return the sound without frequencies above `cutoff` Hz, and unchanged below 0.9 `cutoff`.

    The slope between is a raised cosine. Phases stay.
    """
    length = sound.shape[-1]
    # The filter is circular: silence of the same length keeps the end from reaching the start.
    frequencies = torch.fft.rfftfreq(2 * length, 1 / sample_rate, dtype=torch.float64)
    part = ((1 - frequencies / cutoff) / _EDGE).clamp(0, 1)
    weights = 0.5 - 0.5 * torch.cos(math.pi * part)
    filtered: Tensor = torch.fft.irfft(
        torch.fft.rfft(sound.double(), 2 * length) * weights, 2 * length
    )
    return filtered[:, :length].to(sound.dtype)
