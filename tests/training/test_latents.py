"""Latents come from the disk as the codec has made them, and only where that is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kernel import AudioSpec, ConditionSpec, Item, Task
from kernel.assembly import Assembly, Part
from kernel.errors import InputError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel_audio_training.batches import Feed
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.latents import Latents, latent_cache
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.recipes.denoise import Denoise

CPU = Machine(torch.device("cpu"))


class Counted(nn.Module):
    """A codec that counts what it encodes, to means and, if asked, standard deviations."""

    def __init__(self, spread: bool) -> None:
        super().__init__()
        self.spread, self.count = spread, 0

    def encode(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self.count += len(audio)
        mean = audio.unfold(-1, 4, 4).mean(-1)
        return (mean, mean.abs() + 1) if self.spread else mean


def both(encoded: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    return encoded if isinstance(encoded, tuple) else (encoded,)


@pytest.mark.parametrize("spread", [False, True])
def test_every_sound_is_encoded_once_and_comes_back_bit_equal(tmp_path: Path, spread: bool) -> None:
    audio = torch.randn(6, 2, 40, generator=torch.Generator().manual_seed(0))
    plain = both(Counted(spread).encode(audio))
    codec = Counted(spread)
    first = Latents(tmp_path / "a", codec, CPU, room=6)
    for rows in ([0, 1, 2], [2, 3], [5, 4, 0]):
        found = both(first.encode(audio[rows]))
        assert all(torch.equal(a, b[rows]) for a, b in zip(found, plain, strict=True))
    assert codec.count == 6
    assert first.hits() == 2 / 8
    first.flush()
    again = Latents(tmp_path / "a", codec, CPU, room=6)
    found = both(again.encode(audio))
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    assert (codec.count, again.hits(), again.hits()) == (6, 1.0, 0.0)


def test_a_changed_sample_is_another_sound(tmp_path: Path) -> None:
    codec, audio = Counted(False), torch.zeros(1, 1, 40)
    latents = Latents(tmp_path, codec, CPU, room=9)
    latents.encode(audio)
    audio[0, 0, 7] = 1e-6
    latents.encode(audio)
    latents.encode(audio.reshape(1, 2, 20))
    assert (codec.count, latents.hits()) == (3, 0.0)


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    latents = Latents(tmp_path, Counted(False), CPU, room=3)
    for _ in range(2):
        latents.encode(torch.arange(8.0)[:, None, None].expand(8, 1, 40))
    assert latents.hits() == 3 / 16
    latents.flush()
    latents.flush()
    assert len(list(tmp_path.iterdir())) == 1


class Told(Task):
    """Sounds with an origin and an aligned sound."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 40

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(aligned=ConditionSpec.LATENT, origin=ConditionSpec.LATENT)


class Recorded:
    """Six sounds beside others, of which the noise is another one each time if `noisy`."""

    def __init__(self, noisy: bool) -> None:
        self.noisy = noisy

    def __len__(self) -> int:
        return 6

    def item(self, index: int, generator: torch.Generator) -> Item:
        audio = torch.full((1, 40), 1.0 + index)
        draws = generator if self.noisy else torch.Generator().manual_seed(index)
        noise = torch.randn(1, 40, generator=draws)
        return Item(40, audio, aligned=-audio if index else None, origin=audio + noise)


@pytest.mark.parametrize(("noisy", "encoded"), [(False, 17), (True, 6)])
def test_latents_of_conditions_are_kept_unless_they_differ(
    tmp_path: Path, noisy: bool, encoded: int
) -> None:
    codec, data = Counted(True), Recorded(noisy)
    parts = (Told(), Denoise(), Edm(), Waveform())
    assembly = Assembly(
        tuple(Part(PluginInfo(each.kind, "mine", "tests", "1", "tests"), each) for each in parts)
    )
    asked = TrainConfig(batch=6, latent_cache=tmp_path, workers=0, condition_dropout=0)
    plain = Feed(assembly, data, asked, CPU, codec)
    for again in range(2):
        latents = latent_cache(asked, assembly, data, codec, CPU)
        assert latents is not None
        kept = Feed(assembly, data, asked, CPU, codec, latents=latents)
        for step in range(2):
            one, other = (feed.batch(step, range(6)) for feed in (plain, kept))
            for name in ("aligned", "origin"):
                part = getattr(one.condition, name)
                assert part.abs().sum() > 0
                assert torch.equal(part, getattr(other.condition, name))
            assert torch.equal(one.x0, other.x0)
        assert kept.scalars()["latent_hits"] == (1.0 if again else 0.5)
        kept.close()
    (folder,) = tmp_path.iterdir()
    (file,) = folder.iterdir()
    assert len(load_file(file)) == 2 * encoded


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    latents = Latents(tmp_path, Counted(False), CPU, room=3)
    latents.encode(torch.ones(1, 1, 40))
    latents.flush()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"^the latents .* cannot be read \(.*\); remove the file"):
        Latents(tmp_path, Counted(False), CPU, room=3)
