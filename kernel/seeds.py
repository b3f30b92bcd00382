"""Independent seeds for everything random, derived from one seed and the name of the place."""

from __future__ import annotations

from hashlib import blake2b

import torch


def derive(seed: int, *place: int | str) -> int:
    """Return a 63-bit seed that depends on `seed` and `place` alone."""
    text = "/".join(map(str, (seed, *place)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator seeded with `derive(seed, *place)`."""
    return torch.Generator().manual_seed(derive(seed, *place))
