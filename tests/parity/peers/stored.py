"""Where samplers ended that cannot be installed: numbers that their own code once gave."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peers.problem import SHAPE

FOLDER = Path(__file__).parents[1] / "reference"


@cache
def read(library: str) -> dict[str, Any]:
    """Return `repository`, `commit` and `cases`: by name a `state`, and `sigmas` if it had its own.

    All are of the problem in `peers.problem`, in float64 and in our coordinates.
    """
    record: dict[str, Any] = json.loads((FOLDER / f"{library}.json").read_text())
    return record


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def final(library: str, name: str) -> Tensor:
    state = read(library)["cases"][name]["state"]
    return torch.tensor(state, dtype=torch.float64).view(SHAPE)


def sigmas(library: str, name: str) -> list[float]:
    """Return the grid of a sampler that could not be given one."""
    own: list[float] = read(library)["cases"][name]["sigmas"]
    return own
