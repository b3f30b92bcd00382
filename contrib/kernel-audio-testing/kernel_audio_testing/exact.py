"""Distributions whose denoiser and probability flow are known: what solvers are held to."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

__all__ = ["Gaussian", "Mixture"]


@attrs.frozen(eq=False)
class Gaussian:
    """A normal distribution with independent values. mean: [C, *S]; std broadcasts to it.

    A std of 0 is a point.
    """

    mean: Tensor
    std: Tensor

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` draws, [count, C, *S], in the dtype of the mean."""
        normal = torch.randn(count, *self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.std * normal

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x]. x, result: [B, C, *S]; sigma > 0."""
        mean, variance = self.mean.to(x), self.std.to(x).square()
        return mean + variance / (variance + sigma**2) * (x - mean)

    def flow(self, x: Tensor, sigma_from: float, sigma_to: float) -> Tensor:
        """Return where the probability-flow ODE takes `x` [B, C, *S]; exact, either way.

        x - mean is proportional to the standard deviation of the noisy values.
        """
        mean, variance = self.mean.to(x), self.std.to(x).square()
        growth = (variance + sigma_to**2) / (variance + sigma_from**2)
        return mean + growth.sqrt() * (x - mean)


@attrs.frozen(eq=False)
class Mixture:
    """A mixture of K isotropic normal distributions. means: [K, C, *S]; stds > 0, weights: [K]."""

    means: Tensor
    stds: Tensor
    weights: Tensor

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` draws, [count, C, *S], in the dtype of the means."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        means = self.means[which]
        stds = self.stds[which].view(-1, *[1] * (means.ndim - 1))
        normal = torch.randn(means.shape, generator=generator, dtype=means.dtype)
        return means + stds * normal

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x]. x, result: [B, C, *S]; sigma > 0."""
        return x + sigma**2 * self.score(x, sigma)

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return the gradient of the log-density of x0 + sigma n at `x` [B, C, *S]; sigma >= 0."""
        offsets = (self.means.to(x) - x.unsqueeze(1)).flatten(2)
        variances = self.stds.to(x).square() + sigma**2
        logits = (
            self.weights.to(x).log()
            - offsets.square().sum(2) / (2 * variances)
            - offsets.shape[2] / 2 * variances.log()
        )
        shares = logits.softmax(1) / variances
        return torch.einsum("bk,bkn->bn", shares, offsets).view(x.shape)

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, tolerance: float = 1e-13
    ) -> Tensor:
        """Return where the probability-flow ODE takes `x` [B, C, *S], either way.

        The relative error is about `tolerance`; the work is done in float64. In tau,
        sigma = c sinh(tau) with c the smallest std, the ODE is smooth from the largest sigma to 0.
        """
        c = float(self.stds.min())

        def slope(tau: float, state: Tensor) -> Tensor:
            sigma = c * math.sinh(tau)
            return self.score(state, sigma).mul_(-sigma * c * math.cosh(tau))

        start, end = math.asinh(sigma_from / c), math.asinh(sigma_to / c)
        return _integrate(slope, x.double(), start, end, tolerance).to(x)


_COLUMNS = 8


def _integrate(
    slope: Callable[[float, Tensor], Tensor],
    x: Tensor,
    start: float,
    end: float,
    tolerance: float,
) -> Tensor:
    """Return x(end) of dx/dt = slope(t, x) from x(start), by extrapolation of midpoint rules.

    Gragg-Bulirsch-Stoer (Hairer, Norsett, Wanner, Solving ODEs I, section II.9) of order
    2 _COLUMNS; a step is halved until the last two columns agree.
    """
    step = end - start
    while start != end:
        step = math.copysign(min(abs(step), abs(end - start)), end - start)
        reached = end if abs(step) == abs(end - start) else start + step
        estimate, error = _extrapolate(slope, x, start, reached - start)
        if error > tolerance * max(1.0, float(x.abs().max())) and abs(step) > 1e-6:
            step /= 2
            continue
        x, start, step = estimate, reached, 2 * step
    return x


def _extrapolate(
    slope: Callable[[float, Tensor], Tensor], x: Tensor, start: float, step: float
) -> tuple[Tensor, float]:
    first = slope(start, x)
    rows: list[Tensor] = []
    difference = x
    for column in range(_COLUMNS):
        count = 2 * (column + 1)
        h = step / count
        before, now = x, x.add(first, alpha=h)
        for k in range(1, count):
            before, now = now, before.add(slope(start + k * h, now), alpha=2 * h)
        row = [now]
        for back in range(1, column + 1):
            gain = (count / (count - 2 * back)) ** 2 - 1
            difference = (row[-1] - rows[back - 1]) / gain
            row.append(row[-1] + difference)
        rows = row
    return rows[-1], float(difference.abs().max())
