"""Latents that are encoded once and kept on disk, by the content of what was encoded."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.errors import InputError, UsageError
from kernel.files import output_error, write_atomic
from kernel.kinds.codec import CodecModule
from kernel.kinds.task import Dataset
from kernel.runner.device import Machine
from kernel.seeds import generator, shuffled
from kernel.standardised import parted
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.loading import one_thread

__all__ = ["Latents", "latent_cache"]

_SHARD = 64_000_000  # bytes of latents that are written together
_PROBED, _DRAWS = 32, 4


def latent_cache(
    config: TrainConfig, assembly: Assembly, data: Dataset, codec: nn.Module, machine: Machine
) -> Latents | None:
    """Return the cache that a training asks for, None for none.

    Raises UsageError where items differ each time that they are drawn, or the codec learns.
    """
    if config.latent_cache is None:
        return None
    if "codec" in assembly.recipe.trains:
        raise UsageError(
            "latent_cache keeps latents, and they change while the codec is trained; leave it out"
        )
    parts, differing = set[str](), set[str]()
    for number in range(min(_PROBED, len(data))):
        index = shuffled(number, len(data), config.seed, "probe")
        draws = (generator(config.seed, "probe", index, draw) for draw in range(_DRAWS))
        with one_thread():
            drawn = [data.item(index, draw) for draw in draws]
        for name in ("audio", "aligned", "origin"):
            found = [part for item in drawn if (part := getattr(item, name)) is not None]
            if found:
                parts.add(name)
            if 0 < len(found) < _DRAWS or not all(torch.equal(found[0], each) for each in found):
                differing.add(name)
        if "audio" in differing:
            raise UsageError(
                f"item {index} of the data differs each time that it is drawn, so that its latent "
                f"cannot be kept; leave augmentation out and set task.seconds to the longest "
                f"sound, or leave latent_cache out"
            )
    # The code of a codec is known by what it makes of noise.
    shape = 1, assembly.task.audio.channels, assembly.task.samples
    probe = torch.randn(shape, generator=generator(0, "probe"))
    with torch.no_grad():
        heard = parted(cast("CodecModule", codec).encode(machine.put(probe)))
    options = assembly.codec.model_dump(mode="json")
    told = repr((assembly.spelling("codec"), options, machine.device.type))
    name = _digest([told.encode(), *map(_bytes, (*codec.state_dict().values(), *heard))])
    # A sound that is cut to several lengths is several ones.
    room = len(data) * (config.buckets or 1) * (1 if differing else len(parts))
    folder = config.latent_cache.expanduser() / name
    return Latents(folder, codec, machine, room, beside=not differing)


class Latents:
    """Encodes sounds, each of them once.

    A sound is known by its samples as the codec is given them: what changes them, of its file or
    of the task's options, makes another one. It is encoded by itself, so that its latent does not
    depend on its batch. folder: of a codec with its options and weights on one kind of machine.
    room: how many latents are added at most. beside: whether `aligned` and `origin` audio is never
    another one each time that an item is drawn. Raises InputError for a file that is damaged.
    """

    def __init__(
        self, folder: Path, codec: nn.Module, machine: Machine, room: int, beside: bool = False
    ) -> None:
        self.beside = beside
        self._folder, self._codec, self._machine = folder, cast("CodecModule", codec), machine
        self._files: dict[str, Any] = {}
        self._new: dict[str, Tensor] = {}
        self._room, self._bytes = room, 0
        self._asked = self._found = 0
        for path in sorted(folder.glob("*.safetensors")):
            self._open(path)

    def encode(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return on the device what the codec makes of audio [B, C, L], which is on the CPU."""
        means, stds = zip(*map(self._encoded, audio), strict=True)
        put = self._machine.put
        mean = put(torch.stack(means))
        return mean if stds[0] is None else (mean, put(torch.stack(stds)))

    def hits(self) -> float:
        """Return the share of latents that were there, of those asked for since the last call."""
        share = self._found / max(1, self._asked)
        self._asked = self._found = 0
        return share

    def flush(self) -> None:
        """Write what is new. Raises OutputError."""
        from safetensors.torch import save

        if not self._new:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self._folder, error) from error
        path = self._folder / f"{_digest(key.encode() for key in self._new)}.safetensors"
        write_atomic(path, save(self._new))
        self._new, self._bytes = {}, 0
        self._open(path)

    def _encoded(self, sound: Tensor) -> tuple[Tensor, Tensor | None]:
        key = _digest([repr(tuple(sound.shape)).encode(), _bytes(sound)])
        self._asked += 1
        if (mean := self._kept(f"{key}.mean")) is not None:
            self._found += 1
            return mean, self._kept(f"{key}.std")
        means, stds = parted(self._codec.encode(self._machine.put(sound[None])))
        mean, std = means[0].cpu(), None if stds is None else stds[0].cpu()
        if self._room > 0:
            self._room -= 1
            for name, value in (("mean", mean), ("std", std)):
                if value is not None:
                    self._new[f"{key}.{name}"] = value.contiguous()
                    self._bytes += value.nbytes
            if self._bytes >= _SHARD:
                self.flush()
        return mean, std

    def _kept(self, name: str) -> Tensor | None:
        if name in self._new:
            return self._new[name]
        file = self._files.get(name)
        return None if file is None else cast("Tensor", file.get_tensor(name))

    def _open(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            file = cast("Any", safe_open)(path, "pt")
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"the latents {path} cannot be read ({error}); remove the file, and they are made "
                f"anew"
            ) from None
        self._files |= dict.fromkeys(file.keys(), file)


def _bytes(tensor: Tensor | None) -> bytes:
    if tensor is None:
        return b""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _digest(parts: Iterable[bytes]) -> str:
    found = blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()
