"""The losses of guidance gradients: distances of a prediction from its target, [B]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kernel import Measurement, UsageError
from kernel_plugins.mathematics import losses

__all__ = ["LOSSES", "check"]

WINDOWS = (64, 256, 1024)
"""Windows of `stft` in steps of the last axis; windows longer than the axis are left out."""

FLOOR = 1e-6
"""Added to powers: silence gets a finite logarithm."""


def check(weights: Mapping[Any, float], known: Measurement) -> None:
    """Raise UsageError for a loss that does not suit the target."""
    length = known.target.shape[-1]
    if weights.get("stft") and length < WINDOWS[0]:
        raise UsageError(
            f"the loss 'stft' needs {WINDOWS[0]} values along the last axis of the target, "
            f"which has {length}; use 'l1' or 'l2'"
        )
    if weights.get("bce"):
        low, high = (float(bound) for bound in known.target.aminmax())
        if not 0 <= low <= high <= 1:
            raise UsageError(
                f"the loss 'bce' compares probabilities and the task's target goes from "
                f"{low:.3g} to {high:.3g}; use 'l1' or 'l2'"
            )


def mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference."""
    return (predicted - target).square().flatten(1).mean(1)


def stft(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of log-magnitudes, averaged over the windows.

    The log-magnitude part of Yamamoto et al. 2020 (Parallel WaveGAN): Hann, hops of a quarter.
    """
    sizes = [size for size in WINDOWS if size <= predicted.shape[-1]]
    distances = [(_log(predicted, size) - _log(target, size)).abs().mean(1) for size in sizes]
    return torch.stack(distances).mean(0)


def bce(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of probabilities."""
    return losses.bce(predicted, target) / predicted[0].numel()


def _log(signal: Tensor, size: int) -> Tensor:
    """Return the log-magnitudes of each item's spectra, [B, -1]."""
    spectrum = torch.stft(
        signal.flatten(0, -2),
        size,
        size // 4,
        window=torch.hann_window(size, dtype=signal.dtype, device=signal.device),
        normalized=True,
        center=False,
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    return (power + FLOOR).log().div(2).reshape(len(signal), -1)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "l1": losses.l1,
    "l2": losses.l2,
    "mse": mse,
    "stft": stft,
}
