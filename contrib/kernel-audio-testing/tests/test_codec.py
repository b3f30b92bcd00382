"""The checks of codecs catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from kernel import AudioSpec, Codec, LatentSpec, TrainedCodec


class Blocks(nn.Module):
    """Samples in blocks of 64, with faults."""

    def __init__(self, faults: frozenset[str], std: float, audio: AudioSpec) -> None:
        super().__init__()
        self.faults, self.std, self.audio = faults, std, audio

    def encode(self, audio: Tensor) -> Tensor:
        if "clip" in self.faults:
            audio.clamp_(-0.1, 0.1)
        missing = -audio.shape[-1] % 64
        blocks = nn.functional.pad(audio, (0, missing)).unflatten(-1, (-1, 64))
        if "level" in self.faults:
            blocks = blocks / blocks.square().mean().sqrt()
        if "silence" in self.faults:
            blocks = blocks / blocks.square().sum((1, 2, 3), keepdim=True).sqrt()
        if "swap" in self.faults:
            blocks = blocks.flip(1)
        if "mix" in self.faults:
            blocks = blocks.mean(1, keepdim=True).expand_as(blocks)
        if "cut" in self.faults and missing:
            blocks = torch.cat([blocks[:, :, :-1], 0 * blocks[:, :, -1:]], 2)
        if "mean" in self.faults:
            blocks = blocks - blocks.mean((1, 2, 3), keepdim=True)
        return blocks.transpose(2, 3).flatten(1, 2) / self.std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        blocks = latent.unflatten(1, (-1, 64)).transpose(2, 3) * self.std
        audio = blocks.flatten(2)
        if "centred" in self.faults:
            audio = audio - audio[..., :samples].mean(-1, keepdim=True)
        if "hiss" in self.faults:
            audio = audio + 1e-4
        if "bounded" in self.faults:
            audio = audio.clamp(-0.3, 0.3)
        if "narrow" in self.faults and self.audio.sample_rate > 16000:
            spectrum = torch.fft.rfft(audio)
            kept = torch.fft.rfftfreq(audio.shape[-1], 1 / self.audio.sample_rate) < 8000
            audio = torch.fft.irfft(spectrum * kept, audio.shape[-1])
        if "sized" in self.faults:
            audio = audio * (audio.shape[-1] / samples) ** 4
        if "hop" in self.faults:
            audio = audio.roll(64, -1)
        if "global" in self.faults:
            audio = audio + 1e-9 * torch.randn_like(audio)
        if "elsewhere" in self.faults:
            audio = audio * torch.hann_window(audio.shape[-1], device="cpu").clamp(min=1.0)
        if "undone" in self.faults:
            audio = audio.detach()
        if "detached" in self.faults:
            audio = audio * 0 + audio.detach()
        if "interleaved" in self.faults:
            audio = audio.flatten(0, 1).unflatten(0, (audio.shape[1], -1)).transpose(0, 1)
        return audio if "long" in self.faults else audio[..., :samples]


class Block(Codec):
    """Cut sound into blocks."""

    shortfalls: ClassVar[Mapping[str, str]] = {"options": "an option names the faults"}
    faults: tuple[str, ...] = Field((), description="what is broken")
    std: float | None = Field(None, description="scale")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        up = samples // 64 if "floor" in self.faults else -(-samples // 64)
        return LatentSpec(64 * audio.channels, (up,))

    def build(self, audio: AudioSpec) -> nn.Module:
        return Blocks(frozenset(self.faults), self.std or 0.1, audio)

    def fit(self, audio, examples):  # type: ignore[no-untyped-def]
        if self.std is not None and "refits" not in self.faults:
            return self
        if "deaf" in self.faults:
            return self.model_copy(update={"std": 1.0}) if self.std is None else self
        power = torch.cat([each.flatten() for each in examples]).square().mean()
        return self.model_copy(update={"std": float(power if "fit" in self.faults else power**0.5)})


class Variational(nn.Module):
    """Blocks through a trained matrix, with a spread."""

    def __init__(self, faults: frozenset[str], std: float) -> None:
        super().__init__()
        self.faults, self.std = faults, std
        draws = torch.Generator().manual_seed(0)
        self.there = nn.Parameter(torch.randn(16, 64, generator=draws) / 8)
        self.back = nn.Parameter(torch.randn(64, 16, generator=draws) / 4)
        self.register_buffer("heard", torch.zeros(()))
        if "unsaved" in faults:
            self.level = float(torch.rand(()))

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        blocks = nn.functional.pad(audio, (0, -audio.shape[-1] % 64)).unflatten(-1, (-1, 64))
        mean = (blocks @ self.there.T)[:, 0].transpose(1, 2)
        if "unsaved" in self.faults:
            mean = mean * self.level
        if "scaled" in self.faults:
            mean = mean / self.std
        if "counts" in self.faults:
            self.heard += 1
        std = torch.full_like(mean[..., :1] if "narrow" in self.faults else mean, 0.1)
        return mean, std * 0 if "flat" in self.faults else std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        return (latent.transpose(1, 2) @ self.back.T).flatten(1)[:, None, :samples]


class Weighty(TrainedCodec):
    """A codec with weights, that come from a pack."""

    faults: tuple[str, ...] = Field((), description="what is broken")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        return LatentSpec(16, (-(-samples // 64),))

    def build(self, audio: AudioSpec) -> nn.Module:
        return Variational(frozenset(self.faults), self.std[0] if self.std else 1.0)


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Block) == set()
    assert broken(Weighty) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Block, {"faults": ["hop"]}, "alignment"),
        (Weighty, {"faults": ["flat"]}, "spread"),
        (Weighty, {"faults": ["narrow"]}, "spread"),
        (Weighty, {"faults": ["counts"]}, "weights"),
        (Weighty, {"faults": ["unsaved"]}, "weights"),
        (Block, {"faults": ["floor"]}, "latent_shape"),
        (Block, {"faults": ["long"]}, "samples"),
        (Block, {"faults": ["level"]}, "batch"),
        (Block, {"faults": ["silence"]}, "silence"),
        (Block, {"faults": ["global"]}, "pure"),
        (Block, {"faults": ["clip"]}, "pure"),
        (Block, {"faults": ["elsewhere"]}, "device"),
        (Block, {"faults": ["detached"]}, "gradient"),
        (Block, {"faults": ["fit"]}, "fit"),
        (Block, {"faults": ["deaf"]}, "fit"),
        (Block, {"faults": ["swap"]}, "stereo"),
        (Block, {"faults": ["mix"]}, "stereo"),
        (Block, {"faults": ["interleaved"]}, "stereo"),
        (Block, {"faults": ["undone"]}, "gradient"),
        (Block, {"faults": ["narrow"]}, "rates"),
        (Block, {"faults": ["cut"]}, "ends"),
        (Block, {"faults": ["refits"]}, "set"),
        (Block, {"faults": ["hiss"]}, "loudness"),
        (Block, {"faults": ["bounded"]}, "loudness"),
        (Block, {"faults": ["sized"]}, "shorter"),
        (Block, {"faults": ["centred"]}, "shorter"),
        (Block, {"faults": ["mean"]}, "silence_after"),
        (Weighty, {"faults": ["scaled"]}, "scale"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


class Varied(Block):
    """Have options that do nothing or break the codec, and a fit that hears one sound only."""

    idle: bool = Field(False, description="does nothing")
    turned: bool = Field(False, description="turn the sign of what is decoded")
    last: bool = Field(False, description="fit to the last example")
    lossy: bool = Field(False, description="lose more with every coding")

    def build(self, audio: AudioSpec) -> nn.Module:
        module: Any = super().build(audio)
        decode = module.decode
        if self.turned:
            module.decode = lambda latent, samples: -decode(latent, samples)
        if self.lossy:
            module.decode = lambda latent, samples: 0.7 * decode(latent, samples)
        whole: nn.Module = module
        return whole

    def fit(self, audio, examples):  # type: ignore[no-untyped-def]
        every = list(examples)
        return super().fit(audio, [sum(each.square().mean() for each in every).sqrt() / 3**0.5])


class Last(Block):
    """Fit to the first sound and the last."""

    def fit(self, audio, examples):  # type: ignore[no-untyped-def]
        first, *_, last = examples
        power = (first.square().mean() + last.square().mean()) / 2
        return self.model_copy(update={"std": 0.75 * float(power) ** 0.5})


class Ordered(Block):
    """Count what comes later for more."""

    def fit(self, audio, examples):  # type: ignore[no-untyped-def]
        power = 0.0
        for number, each in enumerate(examples):
            power += float(each.square().mean()) * (1 + 0.1 * number) / 3
        return self.model_copy(update={"std": power**0.5})


def test_options_signs_and_what_fit_hears(catch: Any) -> None:
    assert "changes nothing" in catch(Varied, "options")
    assert "turned=True: " in catch(Varied, "choices", lossy=False)
    assert "the sign of a sound is turned" in catch(Varied, "round_trip", turned=True)
    assert "coded again" in catch(Varied, "round_trip", lossy=True)
    assert "fit does not hear sound 1 of 3" in catch(Last, "fit")
    assert "in another order of the data" in catch(Ordered, "fit")
