"""What objectives are held to.

Nothing here reads `precondition`: D is affine in what the network returns, so two constant networks
show its two coefficients, and with them the output at which D is exactly x0, the network's target.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernel.kinds.objective import Objective
from kernel.values import Condition
from kernel_audio_testing._path import check_origin, check_path
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
    """Check that what the network has to predict has about unit variance at every sigma."""
    objective = subject.make()
    x0, noise = pair(objective, 4, 1, 5000)
    scales = [float(_target(objective, x0, x0 + sigma * noise, sigma).std()) for sigma in SIGMAS]
    return _unit(scales, "the network's target")


def check_input_scale(subject: Subject) -> str | None:
    """Check that what the network is given has about unit variance at every sigma."""
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
    """Check that the network is told sigma by a finite number that goes one way."""
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


def check_loss_zero(subject: Subject) -> str | None:
    """Check that the loss is zero for that network: training and sampling want the same output."""
    objective = subject.make()
    x0, noise = pair(objective, len(SIGMAS), 2, 16)
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)
    target = torch.cat(
        [
            _target(objective, x0[i : i + 1], x0[i : i + 1] + s * noise[i : i + 1], s)
            for i, s in enumerate(SIGMAS)
        ]
    )
    perfect = objective.loss(Recorder(target), x0, sigma, noise, Condition())
    poor = objective.loss(Recorder(target + 1), x0, sigma, noise, Condition())
    for s, low, high in zip(SIGMAS, perfect.tolist(), poor.tolist(), strict=True):
        require(high > 0, f"at sigma {s:.3g} the loss of a wrong network is {high:.3g}")
        require(low <= 1e-6 * high, f"at sigma {s:.3g} the loss of a perfect network is {low:.3g}")
    return None


def check_training_as_sampling(subject: Subject) -> str | None:
    """Check that training gives the network the same input and noise level as sampling."""
    objective = subject.make()
    x0, noise = pair(objective, len(SIGMAS), 2, 16)
    training, sampling = Recorder(elementwise), Recorder(elementwise)
    objective.loss(training, x0, torch.tensor(SIGMAS, dtype=torch.float64), noise, Condition())
    for i, sigma in enumerate(SIGMAS):
        x = x0[i : i + 1] + sigma * noise[i : i + 1]
        objective.denoise(sampling, x, sigma, Condition())
        where = f"in training and in sampling at sigma {sigma:.3g}"
        same(training.x[i : i + 1], sampling.x, f"the network's input {where}", 1e-5)
        close = abs(float(training.c_noise[i] - sampling.c_noise[0])) <= 1e-5 * max(
            1.0, abs(float(sampling.c_noise[0]))
        )
        require(
            close, f"c_noise is {training.c_noise[i]:.5g} and {sampling.c_noise[0]:.5g} {where}"
        )
    return None


def check_loss_batch(subject: Subject) -> str | None:
    """Check that an item's loss is finite, not negative, and independent of its batch."""
    objective = subject.make()
    x0, noise = pair(objective, 5, 2, 16)
    sigma = torch.tensor(SIGMAS[::2][:5], dtype=torch.float64)
    together = objective.loss(Recorder(elementwise), x0, sigma, noise, Condition())
    require(together.shape == (5,), f"the loss has the shape {tuple(together.shape)}, not [B]")
    finite(together, "the loss")
    require(bool((together >= 0).all()), "the loss is negative")
    for i in range(5):
        one = slice(i, i + 1)
        alone = objective.loss(Recorder(elementwise), x0[one], sigma[one], noise[one], Condition())
        same(together[one], alone, "the loss of an item in a batch and alone", 1e-6)
    return None


def check_loss_length(subject: Subject) -> str | None:
    """Check that the loss is a mean: repeating a sound does not change it."""
    objective = subject.make()
    x0, noise = pair(objective, 3, 2, 16)
    sigma = torch.tensor(SIGMAS[3:6], dtype=torch.float64)
    once = objective.loss(Recorder(elementwise), x0, sigma, noise, Condition())
    twice = [torch.cat([part, part], -1) for part in (x0, noise)]
    doubled = objective.loss(Recorder(elementwise), twice[0], sigma, twice[1], Condition())
    same(doubled, once, "the loss of a sound twice over and once", 1e-6)
    return None


def check_loss_mask(subject: Subject) -> str | None:
    """Check that what is masked neither counts in the loss nor in what it is divided by."""
    objective = subject.make()
    x0, noise = pair(objective, 3, 2, 16)
    sigma = torch.tensor(SIGMAS[3:6], dtype=torch.float64)
    mask = torch.ones(3, 1, 16, dtype=torch.float64)
    mask[..., 10:] = 0
    garbage = x0 + 100 * (1 - mask)
    masked = objective.loss(Recorder(elementwise), garbage, sigma, noise, Condition(), mask)
    cropped = objective.loss(
        Recorder(elementwise), x0[..., :10], sigma, noise[..., :10], Condition()
    )
    same(masked, cropped, "the loss with the end masked and with the end cut off", 1e-6)
    return None


def check_loss_gradient(subject: Subject) -> str | None:
    """Check that the loss has a finite gradient that reaches the network."""
    objective = subject.make()
    x0, noise = pair(objective, len(SIGMAS), 2, 16)
    x0, noise = x0.float(), noise.float()
    prediction = torch.zeros_like(x0).requires_grad_()
    loss = objective.loss(Recorder(prediction), x0, torch.tensor(SIGMAS), noise, Condition())
    (gradient,) = torch.autograd.grad(loss.sum(), prediction)
    finite(gradient, "the gradient of the loss")
    require(bool((gradient != 0).flatten(1).any(1).all()), "the gradient of the loss is zero")
    return None


def check_gaussian(subject: Subject) -> str | None:
    """Check that the linear network with the least loss on Gaussian data is exact.

    The loss is then quadratic in the one coefficient, so that three values of it tell the best; D
    under that network has to be E[x0 | x] = s^2 / (s^2 + sigma^2) x.
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
            found = objective.loss(Recorder(_linear(a)), x0, level, noise, Condition())
            return float(found)

        low, middle, high = loss(-1.0), loss(0.0), loss(1.0)
        curvature = low - 2 * middle + high
        require(curvature > 0, f"at sigma {sigma:.3g} the loss has no least value")
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


def check_weight(subject: Subject) -> str | None:
    """Check that the weight is positive and finite, and the same for a float and in a tensor."""
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
            loss = objective.loss(
                Recorder(elementwise), x, x.new_ones(shape[0]), torch.ones_like(x), Condition()
            )
            require(loss.shape == shape[:1], f"the loss is {tuple(loss.shape)} for x {shape}")
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that D can be differentiated with respect to x, as gradient guidances do."""
    objective = subject.make()
    x = normal(2, 1, 8).requires_grad_()
    found = objective.denoise(Recorder(elementwise), x, 0.7, Condition())
    require(found.requires_grad, "D has no gradient with respect to x")
    (gradient,) = torch.autograd.grad(found.sum(), x)
    finite(gradient, "the gradient of D")
    require(bool((gradient != 0).any()), "the gradient of D with respect to x is zero")
    return None


def check_device(subject: Subject) -> str | None:
    """Check that D and the loss are computed where x is, without looking at values."""
    objective = subject.make()
    x = torch.empty(3, 2, 8, device="meta")
    with on_meta("denoise"):
        found = objective.denoise(Recorder(elementwise), x, 0.7, Condition())
        require_meta(found, "D")
    with on_meta("loss"):
        sigma, mask = x.new_empty(3), x.new_empty(3, 1, 8)
        for given in (None, mask):
            loss = objective.loss(Recorder(elementwise), x, sigma, x, Condition(), given)
            require_meta(loss, "the loss")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that nothing is changed in place and nothing is drawn from a global generator."""
    objective = subject.make()
    x0, noise = pair(objective, 2, 1, 8)
    sigma, prediction = torch.ones(2, dtype=torch.float64), normal(2, 1, 8, seed=2)
    with generator_untouched("the objective"):
        with unchanged(x=x0, prediction=prediction):
            objective.denoise(Recorder(prediction), x0, 0.7, Condition())
        mask = torch.ones_like(x0)
        with unchanged(x0=x0, sigma=sigma, noise=noise, prediction=prediction, mask=mask):
            objective.loss(Recorder(prediction), x0, sigma, noise, Condition(), mask)
    return None


CHECKS = (
    check_target_scale,
    check_input_scale,
    check_noise_level,
    check_inverts,
    check_loss_zero,
    check_training_as_sampling,
    check_loss_batch,
    check_loss_length,
    check_loss_mask,
    check_loss_gradient,
    check_gaussian,
    check_weight,
    check_shapes,
    check_gradient,
    check_device,
    check_pure,
    check_origin,
    check_path,
)
