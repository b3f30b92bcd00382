"""The codecs that the checks build, and what they encode to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernel.kinds.codec import Codec
from kernel.values import AudioSpec
from kernel_audio_testing._sounds import first_taken
from kernel_audio_testing._subject import Inapplicable, Subject

__all__ = ["built", "codec_of", "latent_of", "levels", "untrained"]


def codec_of(subject: Subject) -> tuple[Codec, AudioSpec]:
    """Return the codec and the first kind of audio that it takes."""
    codec: Codec = subject.make()
    return codec, first_taken(lambda audio: codec.latent(audio, 4096))


def built(subject: Subject) -> tuple[Any, Codec, AudioSpec]:
    codec, audio = codec_of(subject)
    module: Any = codec.build(audio)
    return module.eval().requires_grad_(False), codec, audio


def latent_of(module: Any, audio: Tensor) -> Tensor:
    """Return what everybody but the runner's draws is handed: the mean where there is a spread."""
    encoded = module.encode(audio)
    latent: Tensor = encoded[0] if isinstance(encoded, tuple) else encoded
    return latent


def untrained(subject: Subject) -> None:
    """Raise Inapplicable for a codec whose weights are a pack's, which is checked in its place."""
    if subject.make().trained:
        raise Inapplicable("its weights are in a pack; check the pack")


def levels(sound: Tensor) -> Tensor:
    window = torch.hann_window(512)
    spectrum = torch.stft(sound.flatten(0, 1), 512, 256, window=window, return_complex=True)
    return spectrum.abs().clamp(min=1e-3).log()
