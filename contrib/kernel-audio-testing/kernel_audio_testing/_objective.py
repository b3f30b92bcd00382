"""What objectives are held to.

Nothing here reads `precondition`: D is affine in what the network returns, so two constant networks
show its two coefficients, and with them the output at which D is exactly x0, the network's target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.kinds.objective import Objective
from kernel.values import Condition
from kernel_audio_testing._options import every_option_acts, holds, together, variations
from kernel_audio_testing._path import (
    check_native,
    check_numbers,
    check_origin,
    check_path,
    check_start,
)
from kernel_audio_testing._recorder import SIGMAS, Recorder, elementwise, pair
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)

__all__ = ["CHECKS"]


def _target(objective: Objective, x0: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Return the network output at which D is x0."""
    zero = objective.denoise(Recorder(torch.zeros_like(x)), x, sigma, Condition())
    one = objective.denoise(Recorder(torch.ones_like(x)), x, sigma, Condition())
    slope = one - zero
    require(
        bool((slope != 0).all()),
        f"at sigma {sigma:.3g} D does not depend on what the network returns",
    )
    return (x0 - zero) / slope


def check_target_scale(subject: Subject) -> str | None:
    """Check that the network's target has about unit variance at every sigma."""
    objective = subject.make()
    x0, noise = pair(objective, 4, 1, 5000)
    scales = [float(_target(objective, x0, x0 + sigma * noise, sigma).std()) for sigma in SIGMAS]
    return _unit(scales, "the network's target")


def check_input_scale(subject: Subject) -> str | None:
    """Check that the network's input has about unit variance at every sigma."""
    objective = subject.make()
    if "origin" in objective.needs:
        raise Inapplicable("how large the state of the process is depends on the origin")
    x0, noise = pair(objective, 4, 1, 5000)
    scales = []
    raw = True
    for sigma in SIGMAS:
        network = Recorder(elementwise)
        x = x0 + sigma * noise
        objective.denoise(network, x, sigma, Condition())
        scales.append(float(network.x.std()))
        raw = raw and torch.equal(network.x, x)
    if raw:
        raise Inapplicable("the network is given x itself, as with variance exploding")
    return _unit(scales, "the network's input")


def _unit(scales: list[float], what: str) -> str:
    for sigma, scale in zip(SIGMAS, scales, strict=True):
        require(
            0.6 <= scale <= 1.7,
            f"{what} has the standard deviation {scale:.3g} at sigma {sigma:.3g}, not about 1",
        )
    return f"standard deviation {min(scales):.2f} to {max(scales):.2f}"


def check_noise_level(subject: Subject) -> str | None:
    """Check that c_noise is finite and monotonic in sigma."""
    objective = subject.make()
    network = Recorder(elementwise)
    levels = []
    for sigma in SIGMAS:
        objective.denoise(network, normal(2, 1, 3), sigma, Condition())
        require(network.c_noise.shape == (2,), "c_noise has another shape than [B]")
        finite(network.c_noise, f"c_noise at sigma {sigma:.3g}")
        levels.append(float(network.c_noise[0]))
    if len(set(levels)) == 1:
        raise Inapplicable("the network is not told the noise level at all")
    rising = sorted(levels)
    require(levels in (rising, rising[::-1]), "c_noise goes up and down as sigma grows")
    return f"{levels[0]:.3g} at sigma {SIGMAS[0]:.3g}, {levels[-1]:.3g} at {SIGMAS[-1]:.3g}"


def check_inverts(subject: Subject) -> str | None:
    """Check that a network that returns exactly its target makes D exactly x0."""
    objective = subject.make()
    x0, noise = pair(objective, 3, 2, 16)
    for sigma in SIGMAS:
        x = x0 + sigma * noise
        target = _target(objective, x0, x, sigma)
        found = objective.denoise(Recorder(target), x, sigma, Condition())
        same(found, x0, f"D under a perfect network and x0 at sigma {sigma:.3g}", 1e-6)
    return None


def check_training_as_sampling(subject: Subject) -> str | None:
    """Check that D of a batch with a sigma for each item equals D of each item alone."""
    objective = subject.make()
    x0, noise = pair(objective, len(SIGMAS), 2, 16)
    training, sampling = Recorder(elementwise), Recorder(elementwise)
    levels = torch.tensor(SIGMAS, dtype=torch.float64)
    x = x0 + levels.view(-1, 1, 1) * noise
    together = objective.denoise(training, x, levels, Condition())
    for i, sigma in enumerate(SIGMAS):
        one = slice(i, i + 1)
        alone = objective.denoise(sampling, x[one], sigma, Condition())
        where = f"in training and in sampling at sigma {sigma:.3g}"
        same(training.x[one], sampling.x, f"the network's input {where}", 1e-5)
        close = abs(float(training.c_noise[i] - sampling.c_noise[0])) <= 1e-5 * max(
            1.0, abs(float(sampling.c_noise[0]))
        )
        require(
            close, f"c_noise is {training.c_noise[i]:.5g} and {sampling.c_noise[0]:.5g} {where}"
        )
        same(together[one], alone, f"D {where}", 1e-5)
    return None


def check_gaussian(subject: Subject) -> str | None:
    """Check that the best linear network gives the exact D on Gaussian data.

    The squared error is quadratic in the one coefficient, so that three values of it tell the best;
    D under that network has to be E[x0 | x] = s^2 / (s^2 + sigma^2) x.
    """
    objective = subject.make()
    std = 0.7 * objective.sigma_data
    x0, noise = std * _whitened(4096, 0), _whitened(4096, 1)
    # Made uncorrelated, so that the sample's own posterior mean is the distribution's.
    noise = noise - (noise * x0).sum() / x0.square().sum() * x0
    noise = noise / noise.square().mean().sqrt()
    worst = 0.0
    for sigma in SIGMAS[2:-2]:

        def loss(a: float, sigma: float = sigma) -> float:
            level = torch.full((1,), sigma, dtype=torch.float64)
            found = objective.denoise(Recorder(_linear(a)), x0 + sigma * noise, level, Condition())
            return float((found - x0).square().mean())

        low, middle, high = loss(-1.0), loss(0.0), loss(1.0)
        curvature = low - 2 * middle + high
        require(curvature > 0, f"at sigma {sigma:.3g} the error has no least value")
        best = (low - high) / (2 * curvature)
        x = x0 + sigma * noise
        found = objective.denoise(Recorder(_linear(best)), x, sigma, Condition())
        share = std**2 / (std**2 + sigma**2)
        error = float((found - share * x).square().mean().sqrt()) / (share * std)
        where = f"at sigma {sigma:.3g} D of that network is off from E[x0 | x] by {error:.2g}"
        require(error < 1e-3, f"{where} of its size")
        worst = max(worst, error)
    return f"off by {worst:.1e}"


def _whitened(count: int, seed: int) -> Tensor:
    """Return a batch of one, [1, 1, count], of exactly zero mean and unit variance."""
    values = normal(1, 1, count, seed=seed)
    values = values - values.mean()
    return values / values.square().mean().sqrt()


def _linear(a: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, c_noise: a * x


def check_handed(subject: Subject) -> str | None:
    """Check that D takes one evaluation of the network, under the condition that is given."""
    objective = subject.make()
    x, condition = normal(2, 1, 8), Condition(vector=normal(2, 3))
    for sigma in (0.7, torch.tensor([0.7, 2.0]).double()):
        asked: list[object] = []

        def network(x: Tensor, c_noise: Tensor, told: object, asked: Any = asked) -> Tensor:
            asked.append(told)
            return elementwise(x, c_noise)

        objective.denoise(network, x, sigma, condition)
        require(len(asked) == 1, f"D takes {len(asked)} evaluations of the network")
        require(asked[0] is condition, "the network is told another condition than D")
    return None


def check_precision(subject: Subject) -> str | None:
    """Check that D of float32 equals D of float64 at every sigma, in training and sampling."""
    objective = subject.make()
    x0, noise = pair(objective, 2, 1, 64)
    origin, worst = normal(2, 1, 64, seed=3), 0.0
    for sigma in SIGMAS:
        for level in (sigma, torch.full((2,), sigma, dtype=torch.float64)):
            exact, rough = Recorder(elementwise), Recorder(elementwise)
            x = x0 + sigma * noise
            wanted = objective.denoise(exact, x, level, Condition(), origin)
            single = level.float() if isinstance(level, Tensor) else level
            found = objective.denoise(rough, x.float(), single, Condition(), origin.float())
            pairs = ((found, wanted, "D"), (rough.x, exact.x, "the network's input"))
            for one, other, what in pairs:
                same(one.double(), other, f"{what} at sigma {sigma:.3g} in two precisions", 1e-3)
                worst = max(worst, float((one - other).abs().max() / other.abs().max()))
    return f"differ by {worst:.1e}"


def check_weight(subject: Subject) -> str | None:
    """Check that the weight is positive, finite and equal for floats and tensors."""
    objective = subject.make()
    for sigma in SIGMAS:
        alone = float(objective.weight(sigma))
        require(0 < alone < float("inf"), f"the weight at sigma {sigma:.3g} is {alone:.3g}")
        batch = torch.full((2,), sigma, dtype=torch.float64)
        found = (torch.zeros(2, dtype=torch.float64) + objective.weight(batch))[0]
        require(
            abs(float(found) / alone - 1) < 1e-6,
            f"the weight at sigma {sigma:.3g} is {alone:.5g}, in a tensor {float(found):.5g}",
        )
    return None


def check_shapes(subject: Subject) -> str | None:
    """Check that D has the shape and the dtype of x, for latents with one axis or two."""
    objective = subject.make()
    for shape in ((2, 1, 8), (3, 2, 4, 6)):
        for dtype in (torch.float32, torch.float64):
            x = normal(*shape, dtype=dtype)
            found = objective.denoise(Recorder(elementwise), x, 0.7, Condition())
            require(
                (found.shape, found.dtype) == (x.shape, dtype),
                f"D is {tuple(found.shape)} {found.dtype} for x {shape} {dtype}",
            )
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that D has a gradient with respect to x, for gradient guidances."""
    objective = subject.make()
    x = normal(2, 1, 8).requires_grad_()
    found = objective.denoise(Recorder(elementwise), x, 0.7, Condition())
    require(found.requires_grad, "D has no gradient with respect to x")
    (gradient,) = torch.autograd.grad(found.sum(), x)
    finite(gradient, "the gradient of D")
    require(bool((gradient != 0).any()), "the gradient of D with respect to x is zero")
    return None


def check_device(subject: Subject) -> str | None:
    """Check that D is computed on the device of x, without reading values on the host."""
    objective = subject.make()
    x = torch.empty(3, 2, 8, device="meta")
    with on_meta("denoise"):
        for sigma in (0.7, x.new_empty(3)):
            found = objective.denoise(Recorder(elementwise), x, sigma, Condition())
            require_meta(found, "D")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that it changes no input and draws from no global generator."""
    objective = subject.make()
    x, prediction = normal(2, 1, 8), normal(2, 1, 8, seed=2)
    sigma = torch.ones(2, dtype=torch.float64)
    with (
        generator_untouched("the objective"),
        unchanged(x=x, sigma=sigma, prediction=prediction),
    ):
        for level in (0.7, sigma):
            objective.denoise(Recorder(prediction), x, level, Condition())
    return None


def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""
    x, origin = normal(2, 1, 8), normal(2, 1, 8, seed=4)

    def observe(objective: Objective) -> list[Tensor | float]:
        found: list[Tensor | float] = []
        for sigma in SIGMAS[::3]:
            network = Recorder(elementwise)
            estimate = objective.denoise(network, x, sigma, Condition(), origin)
            found += [estimate, network.x, network.c_noise, float(objective.weight(sigma))]
        return found

    return every_option_acts(subject, observe)


def check_values(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises."""
    every = [
        attrs.evolve(subject, options={**subject.options, name: value})
        for name, values in variations(subject, near=True).items()
        for value in values
    ]
    every += together(subject)
    for each in every:
        holds(
            each,
            target_scale=check_target_scale,
            input_scale=check_input_scale,
            noise_level=check_noise_level,
            inverts=check_inverts,
            training_as_sampling=check_training_as_sampling,
            weight=check_weight,
            path=check_path,
            native=check_native,
            start=check_start,
        )
    return f"{len(every)} settings"


CHECKS = (
    check_target_scale,
    check_input_scale,
    check_noise_level,
    check_inverts,
    check_training_as_sampling,
    check_gaussian,
    check_handed,
    check_precision,
    check_weight,
    check_shapes,
    check_gradient,
    check_device,
    check_pure,
    check_origin,
    check_path,
    check_native,
    check_numbers,
    check_start,
    check_options,
    check_values,
)
