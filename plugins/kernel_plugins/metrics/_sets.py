"""The module of metrics that compare two sets of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kernel import InputError


class Sets(nn.Module):
    """Keeps the embeddings of sounds and of references, [M] each; `score` compares them."""

    def __init__(
        self,
        listen: Callable[..., Any],
        sample_rate: int,
        score: Callable[[Tensor, Tensor], Tensor | dict[str, Tensor]],
        fewest: int,
    ) -> None:
        super().__init__()
        self._listen, self._rate = listen, sample_rate
        self._score, self._fewest = score, fewest
        self._sounds: list[Tensor] = []
        self._references: list[Tensor] = []

    def update(self, audio: Tensor) -> None:
        """Take in a sound [C, L]."""
        self._sounds.append(self._heard(audio))

    def refer(self, audio: Tensor) -> None:
        """Take in a reference [C, L]."""
        self._references.append(self._heard(audio))

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Return the score. Raises InputError for a set that is too small."""
        for found, what in ((self._sounds, "sounds"), (self._references, "references")):
            if len(found) < self._fewest:
                raise InputError(
                    f"{len(found)} {what} are too few, {self._fewest} are needed; add sounds, or "
                    f"take an encoder with smaller embeddings"
                )
        return self._score(torch.stack(self._sounds), torch.stack(self._references))

    def reset(self) -> None:
        """Forget the sounds; the references stay."""
        self._sounds.clear()

    def _heard(self, audio: Tensor) -> Tensor:
        heard: Tensor = self._listen(audio[None], self._rate)[0]
        return heard.double().cpu()
