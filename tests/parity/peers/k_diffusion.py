"""k-diffusion's samplers; they work in our coordinates."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from peers.problem import MIXTURE, START, Path, draws

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from k_diffusion import sampling


def final(
    name: str, options: Mapping[str, Any], sigmas: Sequence[float], dtype: torch.dtype
) -> Tensor:
    """Return where `sample_NAME` ends.

    One that takes no source of noise draws in every step, needed or not.
    """
    sample = getattr(sampling, f"sample_{name}")
    given = {}
    if "noise_sampler" in inspect.signature(sample).parameters:
        given["noise_sampler"] = Path(dtype)
    noises = draws(dtype)
    low, high = options.get("s_tmin", 0.0), options.get("s_tmax", float("inf"))
    every = (next(noises) if low <= each <= high else START for each in sigmas[:-1])
    with mock.patch.object(torch, "randn_like", lambda x: next(every).to(x)):
        result: Tensor = sample(
            lambda x, sigma: MIXTURE.denoise(x, float(sigma[0])),
            sigmas[0] * START.to(dtype),
            torch.tensor(sigmas, dtype=dtype),
            disable=True,
            **given,
            **options,
        )
    return result
