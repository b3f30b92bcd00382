"""diffusers' schedulers, led through our grid in our coordinates.

A scheduler keeps its states as x (VE), x / sqrt(1 + sigma^2) (VP) or (1 - t) x with
t = sigma / (1 + sigma) (flow), and asks for a prediction of its own kind at each call.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from peers.problem import MIXTURE, START, Path, draws

SIGMA_DATA = 0.5  # what the EDM schedulers assume unless told

Prediction = Callable[[Tensor, Tensor, float], Tensor]
"""A scheduler's model output, of its state, x0 and sigma."""


class Widened:
    """A module in which float32 is float64; schedulers name float32 in many places."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.float32 = module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def precision(module: Any, dtype: torch.dtype) -> Iterator[None]:
    """Let a scheduler's module compute in `dtype`, its coefficients too."""
    if dtype == torch.float32:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        with mock.patch.multiple(module, torch=Widened(torch), np=Widened(np), create=True):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def velocity(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    return (x - x0) / (sigma / (1 + sigma))


def angle(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    """Return v of Salimans and Ho 2022 for a state of unit variance."""
    length = math.sqrt(1 + sigma**2)
    return (x / length - x0) / (sigma / length)


def preconditioned(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    """Return F of Karras et al. 2022."""
    length = math.hypot(sigma, SIGMA_DATA)
    return (x0 - x * (SIGMA_DATA / length) ** 2) * (length / (sigma * SIGMA_DATA))


def noise(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    return (x - x0) / sigma


def score(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    return (x0 - x) / sigma**2


def unscaled_noise(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    """Return the noise in a state of unit variance."""
    return (x * math.sqrt(1 + sigma**2) - x0) / sigma


def data(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    return x0


def ve(sigma: float) -> float:
    return 1.0


def vp(sigma: float) -> float:
    return 1 / math.sqrt(1 + sigma**2)


def flow(sigma: float) -> float:
    return 1 / (1 + sigma)


KINDS: dict[str, tuple[Prediction, Callable[[float], float], dict[str, Any]]] = {
    "EulerDiscrete": (noise, ve, {"use_karras_sigmas": True}),
    "EulerAncestralDiscrete": (noise, ve, {}),
    "HeunDiscrete": (noise, ve, {"use_karras_sigmas": True}),
    "KDPM2Discrete": (noise, ve, {"use_karras_sigmas": True}),
    "KDPM2AncestralDiscrete": (noise, ve, {"use_karras_sigmas": True}),
    "LMSDiscrete": (noise, ve, {"use_karras_sigmas": True}),
    "DPMSolverSDE": (noise, ve, {"use_karras_sigmas": True}),
    "EDMEuler": (preconditioned, ve, {}),
    "EDMDPMSolverMultistep": (preconditioned, ve, {}),
    "CosineDPMSolverMultistep": (
        preconditioned,
        ve,
        {"sigma_data": SIGMA_DATA, "prediction_type": "epsilon"},
    ),
    "DPMSolverMultistep": (data, vp, {"prediction_type": "sample", "use_karras_sigmas": True}),
    "DPMSolverSinglestep": (data, vp, {"prediction_type": "sample", "use_karras_sigmas": True}),
    "DEISMultistep": (data, vp, {"prediction_type": "sample", "use_karras_sigmas": True}),
    "UniPCMultistep": (data, vp, {"prediction_type": "sample", "use_karras_sigmas": True}),
    "IPNDM": (angle, vp, {}),
    "FlowMatchEulerDiscrete": (velocity, flow, {}),
    "FlowMatchHeunDiscrete": (velocity, flow, {}),
    "ScoreSdeVe": (score, ve, {}),
    "DDIM": (data, vp, {"prediction_type": "sample", "clip_sample": False}),
    "DDPM": (data, vp, {"prediction_type": "sample", "clip_sample": False}),
    "PNDM": (unscaled_noise, vp, {"skip_prk_steps": True, "set_alpha_to_one": True}),
}
"""What a scheduler wants to be told, the scale of its state, and how to make it so."""

DISCRETE = ("DDIM", "DDPM", "PNDM")
"""Schedulers whose grid is a selection of a thousand trained noise levels."""

STEP_OPTIONS = ("eta", "order")


def final(
    name: str, options: Mapping[str, Any], sigmas: Sequence[float], dtype: torch.dtype
) -> Tensor:
    """Return in our coordinates where a scheduler ends on a grid."""
    scheduler, module = made(name, options)
    with precision(module, dtype):
        scheduler, _ = made(name, options)
        if name == "ScoreSdeVe":
            return corrected(scheduler, module, list(sigmas), dtype)
        lead(scheduler, name, list(sigmas))
        return run(scheduler, module, name, options, list(sigmas), dtype)


def grid(name: str, steps: int) -> list[float]:
    """Return the grid of a scheduler that has one of its own."""
    scheduler, module = made(name, {})
    with precision(module, torch.float64):
        scheduler, _ = made(name, {})
        scheduler.set_timesteps(steps)
        levels = scheduler.alphas_cumprod[unique(scheduler.timesteps)]
        return [*((1 - levels) / levels).sqrt().tolist(), 0.0]


def unique(timesteps: Tensor) -> list[int]:
    return list(dict.fromkeys(timesteps.tolist()))


def made(name: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
    import diffusers

    kind = getattr(diffusers, f"{name}Scheduler")
    given = {key: value for key, value in options.items() if key not in STEP_OPTIONS}
    return kind(**KINDS[name][2], **given), importlib.import_module(kind.__module__)


def lead(scheduler: Any, name: str, sigmas: list[float]) -> None:
    """Make a scheduler take our grid."""
    steps = len(sigmas) - 1
    make = torch.tensor if KINDS[name][0] is preconditioned else np.array

    def given(*_: Any, **__: Any) -> Any:
        return make(sigmas[:-1])

    for formula in ("_convert_to_karras", "_compute_karras_sigmas", "_compute_exponential_sigmas"):
        setattr(scheduler, formula, given)
    scheduler.set_timesteps(steps)
    if name in DISCRETE:
        return
    if name == "IPNDM":
        scale = [vp(sigma) for sigma in sigmas]
        scheduler.alphas = torch.tensor(scale)
        scheduler.betas = torch.tensor([s * a for s, a in zip(sigmas, scale, strict=True)])
    elif name == "FlowMatchHeunDiscrete":
        times = torch.tensor([sigma / (1 + sigma) for sigma in sigmas])
        scheduler.sigmas = torch.cat([times[:1], times[1:-1].repeat_interleave(2), times[-1:]])
        scheduler.timesteps = torch.arange(2 * steps - 1, dtype=times.dtype)
    elif name == "FlowMatchEulerDiscrete":
        scheduler.sigmas = torch.tensor([sigma / (1 + sigma) for sigma in sigmas])
    elif len(scheduler.timesteps) <= steps:
        scheduler.sigmas = torch.tensor(sigmas)
    scheduler.set_begin_index(0)


def run(
    scheduler: Any,
    module: Any,
    name: str,
    options: Mapping[str, Any],
    sigmas: list[float],
    dtype: torch.dtype,
) -> Tensor:
    predict, scale, _ = KINDS[name]
    noises = draws(dtype)
    scheduler.noise_sampler = Path(dtype)
    given = {key: value for key, value in options.items() if key in STEP_OPTIONS}
    x = sigmas[0] * START.to(dtype) * scale(sigmas[0])
    with mock.patch.object(module, "randn_tensor", lambda *_, **__: next(noises), create=True):
        for call, t in enumerate(scheduler.timesteps):
            if name not in ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete"):
                scheduler.scale_model_input(x, t)
            sigma = level(scheduler, name, call, sigmas, t)
            x0 = MIXTURE.denoise(x / scale(sigma), sigma)
            x = scheduler.step(predict(x, x0, sigma), t, x, return_dict=False, **given)[0]
    return x / scale(sigmas[-1])


def corrected(scheduler: Any, module: Any, sigmas: list[float], dtype: torch.dtype) -> Tensor:
    """Return where `ScoreSdeVe` ends, item by item, since its norms are means of a batch."""
    steps = len(sigmas) - 1
    scheduler.set_timesteps(steps)
    scheduler.discrete_sigmas = torch.tensor(sigmas[-2::-1])
    ends = []
    for item in range(len(START)):
        noises = (noise[item : item + 1] for noise in draws(dtype))
        x = sigmas[0] * START[item : item + 1].to(dtype)
        with mock.patch.object(
            module, "randn_tensor", lambda *_, noises=noises, **__: next(noises)
        ):
            for t, sigma in zip(scheduler.timesteps, sigmas, strict=False):
                for _ in range(scheduler.config.correct_steps):
                    x = scheduler.step_correct(
                        score(x, MIXTURE.denoise(x, sigma), sigma), x, return_dict=False
                    )[0]
                slope = score(x, MIXTURE.denoise(x, sigma), sigma)
                x, mean = scheduler.step_pred(slope, t, x, return_dict=False)
        ends.append(mean)
    return torch.cat(ends)


def level(scheduler: Any, name: str, call: int, sigmas: list[float], t: Tensor) -> float:
    """Return the sigma at which the next call wants a prediction."""
    if name in DISCRETE:
        kept = scheduler.alphas_cumprod[int(t)]
        return float(((1 - kept) / kept).sqrt())
    if name in ("HeunDiscrete", "FlowMatchHeunDiscrete"):
        return sigmas[(call + 1) // 2]
    if name == "DPMSolverSDE" and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    if name.startswith("KDPM2"):
        if scheduler.state_in_first_order:
            return float(scheduler.sigmas[scheduler.step_index])
        back = 1 if "Ancestral" in name else 0
        return float(scheduler.sigmas_interpol[scheduler.step_index - back])
    return sigmas[call // 2 if name == "DPMSolverSDE" else call]
