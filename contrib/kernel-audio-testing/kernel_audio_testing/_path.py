"""What the process of an objective is held to: its origin and its native time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernel.values import Condition, NativePath
from kernel_audio_testing._recorder import SIGMAS, Recorder, elementwise, pair
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal, same, unchanged

__all__ = ["check_origin", "check_path"]


def check_origin(subject: Subject) -> str | None:
    """Check that the origin enters the network's input, the same in training and in sampling."""
    objective = subject.make()
    if "origin" not in objective.needs:
        raise Inapplicable("the process has no origin")
    x0, noise = pair(objective, len(SIGMAS), 2, 16)
    origin = normal(len(SIGMAS), 2, 16, seed=2)
    training, sampling, without = (Recorder(elementwise) for _ in range(3))
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)
    x = x0 + sigma.view(-1, 1, 1) * noise
    objective.denoise(training, x, sigma, Condition(), origin)
    seen = False
    for i, level in enumerate(SIGMAS):
        one = slice(i, i + 1)
        with unchanged(origin=origin):
            objective.denoise(sampling, x[one], level, Condition(), origin[one])
        objective.denoise(without, x[one], level, Condition())
        where = f"in training and in sampling at sigma {level:.3g}"
        same(training.x[one], sampling.x, f"the network's input {where}", 1e-5)
        seen = seen or not torch.equal(sampling.x, without.x)
    require(seen, "it needs an origin and makes no use of it")
    return None


def check_path(subject: Subject) -> str | None:
    """Check that native time leads to sigma and back, and that its rates are derivatives.

    It has a name, its numbers are the objective's options, and it takes tensors as it takes floats.
    """
    objective = subject.make()
    path = objective.path
    if path is None:
        raise Inapplicable("the objective has no native time")
    require(bool(path.name), "the path has no name")
    for name, number in path.numbers.items():
        option = getattr(objective, name, None)
        require(
            option == number, f"the path's number {name} is {number}, but the option is {option}"
        )
    before = 0.0
    for sigma in SIGMAS:
        time = path.time(sigma)
        where = f"at sigma {sigma:.3g}"
        require(before < time < math.inf, f"the time {where} is {time:.5g}, after {before:.5g}")
        before = time
        back = path.sigma(time)
        require(abs(back / sigma - 1) < 1e-6, f"the time {where} is that of the sigma {back:.7g}")
        require(path.coefficients(time)[0] > 0, f"the scale of x0 {where} is not positive")
        early, late = path.time(sigma * (1 - 1e-4)), path.time(sigma * (1 + 1e-4))
        ends = ((*path.coefficients(each), path.sigma(each) ** 2) for each in (early, late))
        for name, rate, first, last in zip(
            ("a", "b", "sigma^2"), path.rates(time), *ends, strict=True
        ):
            slope = (last - first) / (late - early)
            require(
                abs(rate - slope) <= 1e-3 * abs(slope) + 1e-5,
                f"the rate of {name} {where} is {rate:.5g}, but it changes by {slope:.5g}",
            )
    _check_tensors(path)
    return None


def _check_tensors(path: NativePath) -> None:
    times = path.time(torch.tensor(SIGMAS, dtype=torch.float64))
    require(isinstance(times, Tensor), f"the time of a tensor is a {type(times).__name__}")
    ways: list[tuple[str, Any, Sequence[float]]] = [
        ("time", times, [path.time(sigma) for sigma in SIGMAS]),
        ("sigma", path.sigma(times), [path.sigma(t) for t in times.tolist()]),
    ]
    for method in (path.coefficients, path.rates):
        each = zip(*(method(t) for t in times.tolist()), strict=True)
        ways += [(method.__name__, *pair) for pair in zip(method(times), each, strict=True)]
    for name, found, floats in ways:
        # What is constant may be a float.
        spread = torch.as_tensor(found, dtype=torch.float64).expand(len(SIGMAS))
        wanted = torch.tensor(floats, dtype=torch.float64)
        same(spread, wanted, f"the path's {name} of a tensor and of floats", 1e-9)
