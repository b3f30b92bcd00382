"""The checks of encoders catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from kernel import Encoder


def _level(audio: Tensor) -> Tensor:
    return (audio.square().mean((1, 2)) + 1e-10).log()[:, None].expand(-1, 3)


class Ear(nn.Module):
    def __init__(self, hear: Any) -> None:
        super().__init__()
        self.hear = hear

    def forward(self, *heard: Any) -> Any:
        return self.hear(*heard)


class Sound(Encoder):
    """Hear the level, and how fast a sound changes."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        slope = torch.nn.functional.pad(audio, (1, 0)).diff(dim=2) * sample_rate / 16000
        return torch.cat([_level(audio)[:, :2], 3 * _level(slope)[:, :1]], 1)

    def build(self) -> nn.Module:
        return Ear(self.hear)


class Frames(Sound):
    """Hear as many values as there are samples."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return audio.square().mean(1)


class Neighbours(Sound):
    """Compare an item with the others."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return _level(audio) - _level(audio).mean(0)


class Moody(Sound):
    """Hear more every time."""

    heard: list[int] = Field(default_factory=list, description="what was heard before")

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        self.heard.append(1)
        return _level(audio) + len(self.heard)


class First(Sound):
    """Keep the first rate for all sounds."""

    def build(self) -> nn.Module:
        rates: list[int] = []

        def hear(audio: Tensor, sample_rate: int) -> Any:
            rates.append(sample_rate)
            return _level(audio) * rates[0]

        return Ear(hear)


class Constant(Sound):
    """Hear nothing."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return _level(audio) * 0


class Meddles(Sound):
    """Normalise in place."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        with torch.no_grad():
            audio /= audio.abs().max() + 1
        return _level(audio)


class Fixed(Sound):
    """Hear frequencies as if every sound had the same rate."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        spectrum = torch.fft.rfft(audio.mean(1), 16000).abs()
        place = torch.arange(spectrum.shape[1])
        return (spectrum * place).sum(1, keepdim=True) / (spectrum.sum(1, keepdim=True) + 1e-6)


class Left(Sound):
    """Hear the difference between the channels."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return _level(audio) * (1 if audio.shape[1] == 1 else -1)


class OneSided(Sound):
    """Hear the first channel."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return super().hear(audio[:, :1], sample_rate)


class Silent(Sound):
    """Divide by the power of silence."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return audio.square().mean((1, 2)).log()[:, None]


class Detached(Sound):
    """Claim a gradient."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return _level(audio.detach())


class Modest(Sound):
    """Claim no gradient."""

    differentiable = False


class Half(Sound):
    """Detach half of the way."""

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return _level(audio) * _level(audio.detach())


class Reads(Encoder):
    """Read the letters of texts."""

    listens = "text"

    def hear(self, texts: list[str]) -> Any:
        longest = max(map(len, texts))
        codes = [[*map(ord, text), *[0] * (longest - len(text))] for text in texts]
        mask = torch.arange(longest) < torch.tensor([[len(text)] for text in texts])
        return torch.tensor(codes).reshape(len(texts), longest, 1).float(), mask

    def build(self) -> nn.Module:
        return Ear(self.hear)


class Unmasked(Reads):
    """Read without a mask."""

    def hear(self, texts: list[str]) -> Any:
        rows, mask = super().hear(texts)
        return rows, mask.float()


@pytest.mark.parametrize("component", [Sound, Reads])
def test_what_is_sound_passes(component: type[Encoder], broken: Callable[..., set[str]]) -> None:
    assert broken(component) == set()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Frames, "shape", "the width is [800, 8000, 30000], by length, rate and channels"),
        (Neighbours, "alone", "beside others, item 0 is heard "),
        (Moody, "repeats", "the same input is heard differently a second time"),
        (First, "after", "at 22050 Hz a sound is heard otherwise after"),
        (Constant, "distinct", "two sounds are heard as the same"),
        (Meddles, "distinct", "audio is changed in place"),
        (Fixed, "same_sound", "at 8000 Hz a sound is heard "),
        (Left, "same_sound", "in stereo a sound is heard "),
        (OneSided, "same_sound", "of a sound in stereo, channel 1 is not heard"),
        (Silent, "silence", "silence is heard as numbers that are not finite"),
        (Detached, "gradient", "it has no gradient; set differentiable = False"),
        (Modest, "gradient", "it has a gradient; set differentiable = True"),
        (Half, "gradient", "the gradient says "),
        (Unmasked, "shape", "3 texts become (3, 30, 1) and (3, 30)"),
    ],
)
def test_what_is_broken_is_caught(
    component: type[Encoder], check: str, message: str, catch: Callable[..., str]
) -> None:
    assert catch(component, check).startswith(message)


class Begins(Sound):
    """Hear the first half of a sound only, and have an option that does nothing."""

    idle: bool = Field(False, description="does nothing")

    def hear(self, audio: Tensor, sample_rate: int) -> Any:
        return super().hear(audio[..., : audio.shape[-1] // 2 + 1], sample_rate)


class FirstWord(Encoder):
    """Read the first word of a text."""

    listens = "text"

    def build(self) -> nn.Module:
        def read(texts: Any) -> Any:
            rows = torch.tensor([[[float(len((text.split() or [""])[0]))]] for text in texts])
            return rows, torch.ones(len(rows), 1, dtype=torch.bool)

        return Ear(read)


def test_all_of_a_sound_and_of_a_text_is_heard(catch: Any) -> None:
    assert "noise in the last third" in catch(Begins, "everywhere")
    assert "the word 1 of a text" in catch(FirstWord, "everywhere")
    assert "the option idle changes nothing" in catch(Begins, "options")
