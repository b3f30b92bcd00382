"""From the items of a data set to what one training step is handed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.config import TrainConfig
from kernel.items import Item
from kernel.kinds._collate import held
from kernel.kinds.codec import CodecModule
from kernel.kinds.recipe import Batch
from kernel.kinds.task import Dataset
from kernel.runner.batches import collated, latent_space, sigma_data, sounds
from kernel.runner.device import Machine
from kernel.runner.encoders import encoders
from kernel.seeds import generator
from kernel.standardised import parted


class Feed:
    """Makes the batch of a step, or some rows of it, from a data set; a step is always the same.

    codec: placed on the machine's device.
    """

    def __init__(
        self,
        assembly: Assembly,
        data: Dataset,
        config: TrainConfig,
        machine: Machine,
        codec: nn.Module,
    ) -> None:
        self._assembly = assembly
        self._data = data
        self._config = config
        self._machine = machine
        self._codec = cast(CodecModule, codec)
        self._space = latent_space(
            assembly, assembly.task.samples, codec, machine, encoders(assembly, machine)
        )
        self._order = lru_cache(2)(self._shuffled)

    @torch.no_grad()
    def batch(self, step: int, rows: range) -> Batch:
        """Return the items of a step that stand in `rows`, out of range(batch)."""
        assembly, config, put = self._assembly, self._config, self._machine.put
        places = [step * config.batch + row for row in rows]
        items = [self._item(place) for place in places]
        draws = [generator(config.seed, "draws", place) for place in places]
        condition = collated(assembly.task, items, self._space, assembly.condition, self._machine)
        if not condition.empty:
            lots = torch.stack([torch.rand((), generator=each) for each in draws])
            condition = condition.drop(put(lots < config.condition_dropout))
        audio = put(sounds(items))
        x0 = None if "codec" in assembly.recipe.trains else self._encode(audio, draws)
        valid = condition.valid if x0 is not None else held(items, audio.shape[-1])
        return Batch(
            audio=audio,
            x0=cast("Tensor", x0),
            condition=condition,
            valid=None if valid is None else put(valid),
            generators=draws,
            common=generator(config.seed, "step", step),
            count=config.batch,
            first=rows.start,
            put=put,
        )

    def _encode(self, audio: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        """Return x0, drawn for each item where the codec encodes to a distribution."""
        mean, std = parted(self._codec.encode(audio))
        if std is not None:
            noise = [torch.randn(mean.shape[1:], generator=each) for each in draws]
            mean = mean + std * self._machine.put(torch.stack(noise)).to(mean.dtype)
        return mean * sigma_data(self._assembly)

    def _item(self, place: int) -> Item:
        """Return an item of one endless sequence of shuffled epochs."""
        epoch, index = divmod(place, len(self._data))
        draws = generator(self._config.seed, "example", place)
        return self._data.item(int(self._order(epoch)[index]), draws)

    def _shuffled(self, epoch: int) -> Tensor:
        draws = generator(self._config.seed, "epoch", epoch)
        return torch.randperm(len(self._data), generator=draws)
