"""Independent seeds for everything random, derived from one seed and the name of the place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def derive(seed: int, *place: int | str) -> int:
    """Return a 63-bit seed that depends on `seed` and `place` alone."""
    text = "/".join(map(str, (seed, *place)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator seeded with `derive(seed, *place)`."""
    return torch.Generator().manual_seed(derive(seed, *place))


def normal(
    generators: Sequence[torch.Generator], shape: Sequence[int], put: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return standard normal noise [B, *shape], each item from its own generator.

    It is drawn on the CPU, so that devices agree; `put` brings it to where it is needed.
    """
    return put(torch.stack([torch.randn(tuple(shape), generator=each) for each in generators]))


class ItemNoise:
    """A Noise for the items at the given places: item i depends on the seed and its place alone.

    The place of a request is its index, that of a window of it has the window's number too.
    """

    def __init__(
        self,
        seed: int,
        places: Sequence[tuple[int | str, ...]],
        shape: Sequence[int],
        put: Callable[[Tensor], Tensor],
    ) -> None:
        self._generators = [generator(seed, "item", *place) for place in places]
        self._shape, self._put = shape, put

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next standard normal noise, [B, *shape]."""
        return normal(self._generators, self._shape, self._put)


_ROUNDS = 8  # four make a random permutation of a large domain (Luby and Rackoff, 1988)


def shuffled(index: int, count: int, seed: int, *place: int | str) -> int:
    """Return where a permutation of range(count), which `seed` and `place` decide, takes `index`.

    It is computed for each index by itself and takes no memory: a Feistel network on the pairs of
    half words that hold `count`, walked along its cycle until it comes back below `count`.
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    key = derive(seed, *place).to_bytes(8)
    while True:
        left, right = index >> half, index & mask
        for number in range(_ROUNDS):
            text = number.to_bytes(1) + right.to_bytes(8)
            mixed = int.from_bytes(blake2b(text, digest_size=8, key=key).digest())
            left, right = right, left ^ (mixed & mask)
        index = left << half | right
        if index < count:
            return index
