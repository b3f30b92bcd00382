"""The batches of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import attrs
import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.errors import PluginError
from kernel.items import Item
from kernel.kinds._collate import held
from kernel.kinds.codec import CodecModule
from kernel.kinds.recipe import Batch
from kernel.kinds.task import Dataset
from kernel.runner.device import Machine
from kernel.runner.encoders import encoders
from kernel.runner.processes import ALONE, Processes
from kernel.runner.space import collated, latent_space, sigma_data
from kernel.seeds import generator, normal
from kernel.standardised import parted
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.latents import Latents
from kernel_audio_training.loading import Loader, micro_batches
from kernel_audio_training.order import Order

__all__ = ["Feed", "sounds"]


def sounds(items: Sequence[Item]) -> Tensor:
    """Return the audio [B, C, L] of a data set's items. Raises PluginError for one without."""
    found = [item.audio for item in items if item.audio is not None]
    if len(found) < len(items):
        raise PluginError(
            "the task's data has items without audio, and a training learns from that; give every"
            " item its `audio`"
        )
    return torch.stack(found)


class Feed:
    """Makes the batch of a step, or some rows of it, from a data set; a step is always the same.

    codec: placed on the machine's device. latents: encodes in its place, those that it has not.
    order: that of the items, by default shuffled epochs.
    """

    def __init__(
        self,
        assembly: Assembly,
        data: Dataset,
        config: TrainConfig,
        machine: Machine,
        codec: nn.Module,
        processes: Processes = ALONE,
        latents: Latents | None = None,
        order: Order | None = None,
    ) -> None:
        self._latents = latents
        self._assembly = assembly
        self._data = data
        self._config = config
        self._machine = machine
        self._codec = codec
        self._encoder = encoders(assembly, machine)
        self._loader = Loader(data, config, micro_batches(config, processes), processes, order)
        self.skipped, self.names = self._loader.skipped, self._loader.names

    def scalars(self) -> dict[str, float]:
        """Return what is reported of the time since the last call."""
        found = {"data_wait": self._loader.waiting()}
        if self._latents:
            found["latent_hits"] = self._latents.hits()
        return found | ({"skipped": self.skipped.total()} if self.skipped else {})

    def close(self) -> None:
        """End the worker processes, and write what was encoded."""
        self._loader.close()
        if self._latents:
            self._latents.flush()

    @torch.no_grad()
    def batch(self, step: int, rows: range) -> Batch:
        """Return the items of a step that stand in `rows`, out of range(batch)."""
        config = self._config
        places = [step * config.batch + row for row in rows]
        items = self._loader.items(step, rows)
        draws = [generator(config.seed, "draws", place) for place in places]
        common = generator(config.seed, "step", step)
        return self._whole(items, draws, common, config.batch, rows.start, config.condition_dropout)

    @torch.no_grad()
    def fixed(self, rows: range) -> Batch:
        """Return the items `rows` of the data, whole conditions and all: alike in every training.

        Neither the settings nor the seed decide anything.
        """
        items = [self._data.item(row, generator(0, "valid", row)) for row in rows]
        draws = [generator(0, "valid draws", row) for row in rows]
        return self._whole(items, draws, generator(0, "valid"), len(rows), 0, 0.0)

    def _whole(
        self,
        items: Sequence[Item],
        draws: Sequence[torch.Generator],
        common: torch.Generator,
        count: int,
        first: int,
        dropout: float,
    ) -> Batch:
        """Return a batch of items, each beside the generator that it draws from."""
        assembly, put = self._assembly, self._machine.put
        heard = sounds(items)
        space = latent_space(assembly, heard.shape[-1], self._codec, self._machine, self._encoder)
        if (latents := self._latents) and latents.beside:
            scale = sigma_data(assembly)
            space = attrs.evolve(space, encode=lambda each: parted(latents.encode(each))[0] * scale)
        condition = collated(assembly.task, items, space, assembly.condition, self._machine)
        if not condition.empty:
            lots = torch.stack([torch.rand((), generator=each) for each in draws])
            condition = condition.drop(put(lots < dropout))
        audio = put(heard)
        x0 = None if "codec" in assembly.recipe.trains else self._encode(heard, audio, draws)
        valid = condition.valid if x0 is not None else held(items, audio.shape[-1])
        return Batch(
            audio=audio,
            x0=cast("Tensor", x0),
            condition=condition,
            valid=None if valid is None else put(valid),
            generators=draws,
            common=common,
            count=count,
            first=first,
            put=put,
        )

    def _encode(self, heard: Tensor, audio: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        """Return x0, drawn for each item where the codec encodes to a distribution.

        heard: the audio on the CPU, by whose content latents are kept.
        """
        latents, codec = self._latents, cast("CodecModule", self._codec)
        mean, std = parted(latents.encode(heard) if latents else codec.encode(audio))
        if std is not None:
            noise = normal(draws, mean.shape[1:], self._machine.put)
            mean = mean + std * noise.to(mean.dtype)
        return mean * sigma_data(self._assembly)
