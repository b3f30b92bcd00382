"""Linear measurements of normal data, whose posterior is known: what guidances are held to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import attrs
import torch
from torch import Tensor

from kernel import Condition, Context, Denoise, Guidance, GuidedDenoise, Measurement, Solver
from kernel.assembly import STAGES
from kernel.runner.guide import guided

SIZE = 32
"""How many values an item has."""


@attrs.frozen(eq=False)
class Normal:
    """N(mean, covariance). mean: [N], covariance: [N, N], both float64."""

    mean: Tensor
    covariance: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` samples, [count, N]; the covariance may be singular."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root = vectors * values.clamp(min=0).sqrt()
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + noise @ root.T

    def denoiser(self) -> GuidedDenoise:
        """Return E[x0 | x0 + sigma n], mean + C (C + sigma^2)^-1 (x - mean)."""
        values, vectors = torch.linalg.eigh(self.covariance)

        @cache
        def gain(sigma: float) -> Tensor:
            return (vectors * (values / (values + sigma**2))) @ vectors.T

        def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            return (self.mean + (x.flatten(1) - self.mean) @ gain(sigma)).view(x.shape)

        return denoise


@attrs.define(eq=False)
class Counted:
    """A denoiser whose `evaluations`, and `gradients` taken through them, are counted."""

    denoise: GuidedDenoise
    evaluations: int = 0
    gradients: int = 0

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return the estimate."""
        self.evaluations += 1
        estimate = self.denoise(x, sigma, condition)
        if estimate.requires_grad:
            estimate.register_hook(self._count)
        return estimate

    def _count(self, gradient: Tensor) -> None:
        self.gradients += 1


@attrs.frozen(eq=False)
class Problem:
    """What is known, y = A x0 + noise e, of an x0 from a prior. matrix: [M, N], target: [M]."""

    prior: Normal
    matrix: Tensor
    noise: float
    target: Tensor
    channels: int = 1

    @classmethod
    def posed(cls, prior: Normal, matrix: Tensor, noise: float = 0.0, channels: int = 1) -> Problem:
        """Return the problem in which what is measured is a draw of the prior, the same always."""
        generator = torch.Generator().manual_seed(1)
        target = prior.draw(1, generator)[0] @ matrix.T
        error = torch.randn(len(target), generator=generator, dtype=torch.float64)
        return cls(prior, matrix, noise, target + noise * error, channels)

    @property
    def posterior(self) -> Normal:
        """Return the distribution of x0 given y."""
        mean, covariance = self.prior.mean, self.prior.covariance
        predicted = self.matrix @ covariance @ self.matrix.T
        predicted = predicted + self.noise**2 * torch.eye(len(predicted), dtype=torch.float64)
        gain = torch.linalg.solve(predicted, self.matrix @ covariance).T
        return Normal(
            mean + gain @ (self.target - self.matrix @ mean),
            covariance - gain @ self.matrix @ covariance,
        )

    @property
    def measurement(self) -> Measurement:
        """Return what a task would say: the l2 distance, and the orthogonal projection."""
        inverse = torch.linalg.pinv(self.matrix)

        def operator(x0: Tensor) -> Tensor:
            return x0.flatten(1) @ self.matrix.T

        def distance(predicted: Tensor, target: Tensor) -> Tensor:
            norm: Tensor = torch.linalg.vector_norm(predicted - target, dim=1)
            return norm

        def project(x0: Tensor) -> Tensor:
            return x0 + ((self.target - operator(x0)) @ inverse.T).view(x0.shape)

        return Measurement(operator, self.target[None], distance, project, self.noise)

    def sample(
        self,
        guidances: Mapping[str, Guidance],
        solver: Solver,
        sigmas: Sequence[float],
        count: int,
        denoiser: GuidedDenoise | None = None,
    ) -> Tensor:
        """Return `count` samples, [count, N], as the runner makes them with the prior's denoiser.

        denoiser: what to take in place of that.
        """
        generator = torch.Generator().manual_seed(2)
        shape = (count, self.channels, SIZE // self.channels)

        def noise(sigma: float, following: float) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        condition = Condition()
        context = Context(condition, tuple(sigmas), self.measurement, noise=noise)
        ordered = dict(
            sorted(guidances.items(), key=lambda pair: (STAGES.index(pair[1].stage), pair[0]))
        )
        estimate = guided(denoiser or self.prior.denoiser(), ordered, context)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return estimate(x, sigma, condition)

        start = sigmas[0] * noise(sigmas[0], sigmas[0])
        return follow(ordered, solver, denoise, start, context).flatten(1)


@attrs.frozen
class Error:
    """How far samples are from a posterior.

    mean: of the mean, relative to the posterior's standard deviation (root of the covariance's
    trace). covariance: relative, in the Frobenius norm. spread: the samples' standard deviation
    over the posterior's. residual: root mean square of A x - y.
    """

    mean: float
    covariance: float
    spread: float
    residual: float

    @classmethod
    def of(cls, samples: Tensor, problem: Problem) -> Error:
        """Return the error of samples [count, N]."""
        truth = problem.posterior
        total = truth.covariance.trace().sqrt()
        found = samples.T.cov()
        return cls(
            float((samples.mean(0) - truth.mean).norm() / total),
            float((found - truth.covariance).norm() / truth.covariance.norm()),
            float(found.trace().sqrt() / total),
            float((samples @ problem.matrix.T - problem.target).square().mean().sqrt()),
        )


@torch.no_grad()
def follow(
    guidances: Mapping[str, Guidance],
    solver: Solver,
    denoise: Denoise,
    x: Tensor,
    context: Context,
) -> Tensor:
    """Return the end of a trajectory, every step of which the guidances may constrain."""
    assert context.noise is not None
    trajectory = solver.trajectory(denoise, x, context.sigmas, context.noise)
    step = next(trajectory, None)
    while step is not None:
        x = step.x
        for guidance in guidances.values():
            x = guidance.constrain(x, step.sigma, denoise, context)
        try:
            step = trajectory.send(x)
        except StopIteration:
            step = None
    return x


def autoregressive(*roots: complex, size: int = SIZE) -> Tensor:
    """Return the covariance [size, size], of unit variance, of an AR process with such poles."""
    time = torch.arange(4096, dtype=torch.float64)
    response = torch.ones(4096, dtype=torch.complex128)
    turn = torch.exp(-2j * math.pi * time / 4096)
    for root in roots:
        response = response * (1 - root * turn)
    spectrum = response.abs().square().reciprocal()
    lags = torch.fft.ifft(spectrum).real[:size]
    index = torch.arange(size)
    return (lags / lags[0])[(index[:, None] - index).abs()]


def problems() -> dict[str, Problem]:
    """Return a problem for each kind of operator, by its name."""
    eye = torch.eye(SIZE, dtype=torch.float64)
    time = torch.arange(SIZE, dtype=torch.float64)
    # A slow process and a resonance around one period of a sine.
    mean = torch.sin(2 * math.pi * time / SIZE)
    coloured = 0.7 * autoregressive(0.9) + 0.3 * autoregressive(0.9 * 1j, -0.9 * 1j)
    prior = Normal(mean, coloured)
    half = SIZE // 2
    pair = torch.block_diag(autoregressive(0.9, size=half), autoregressive(-0.7, size=half))
    waves = torch.fft.rfft(eye, norm="ortho")[:, : SIZE // 8 + 1]
    band = torch.cat([waves.real, waves.imag[:, 1:]], 1).T
    decay = torch.exp(-time / 3) * torch.cos(2.1 * time)
    echo = torch.stack([decay.roll(shift) for shift in range(SIZE)], 1)
    echo = echo.tril() / decay.norm()
    return {
        "continuation": Problem.posed(prior, eye[:12]),
        "infill": Problem.posed(prior, torch.cat([eye[:12], eye[20:]])),
        "low-pass": Problem.posed(prior, band / torch.linalg.vector_norm(band, dim=1)[:, None]),
        "decimation": Problem.posed(prior, eye.view(half, 2, SIZE).mean(1)),
        "reverb": Problem.posed(prior, echo, 0.1),
        "two sources": Problem.posed(
            Normal(torch.zeros_like(mean), pair), eye[:half, :half].repeat(1, 2), channels=2
        ),
        "noise": Problem.posed(prior, eye, 0.3),
    }
