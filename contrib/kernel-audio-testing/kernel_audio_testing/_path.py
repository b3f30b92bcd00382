"""What the process of an objective is held to: its origin and its native time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernel.values import Condition, NativePath
from kernel_audio_testing._options import variations
from kernel_audio_testing._recorder import SIGMAS, Recorder, elementwise, pair
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal, same, unchanged

__all__ = ["check_native", "check_numbers", "check_origin", "check_path", "check_start"]


def check_origin(subject: Subject) -> str | None:
    """Check that the origin enters the network's input, the same in training and in sampling."""
    objective = subject.make()
    if "origin" not in objective.needs:
        network = Recorder(elementwise)
        silence = torch.zeros(1, 1, 4).double()
        objective.denoise(network, silence, 0.7, Condition(), torch.ones_like(silence))
        require(not network.x.any(), "the network is given the origin, which it does not need")
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
    """Check that native time and sigma are inverse, and `rates` are the derivatives.

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
        step = path.time(sigma * (1 + 1e-4)) - time
        ends = (
            (*path.coefficients(each), path.sigma(each) ** 2) for each in (time - step, time + step)
        )
        for name, rate, first, last in zip(
            ("a", "b", "sigma^2"), path.rates(time), *ends, strict=True
        ):
            slope = (last - first) / (2 * step)
            lost = 1e-13 * max(abs(first), 1.0) / step  # to rounding, in the subtraction
            require(
                abs(rate - slope) <= 1e-4 * abs(slope) + lost,
                f"the rate of {name} {where} is {rate:.7g}, but it changes by {slope:.7g}",
            )
    _check_tensors(path)
    return None


def check_native(subject: Subject) -> str | None:
    """Check that the network is given the state of the path, a x + b y, and told its time.

    Its input may be that state times one constant, and c_noise any line in the time.
    """
    objective = subject.make()
    path = objective.path
    if path is None:
        raise Inapplicable("the objective has no native time")
    network = Recorder(elementwise)
    zero, one = torch.zeros(1, 1, 4).double(), torch.ones(1, 1, 4).double()
    factor = None
    told = []
    for sigma in SIGMAS:
        time = path.time(sigma)
        given = []
        for x, origin in ((one, zero), (zero, one)):
            objective.denoise(network, x, sigma, Condition(), origin)
            given.append(float(network.x.mean()))
        told.append((time, float(network.c_noise[0])))
        a, b = path.coefficients(time)
        factor = given[0] / a if factor is None else factor
        for name, found, wanted in zip("xy", given, (factor * a, factor * b), strict=True):
            require(
                abs(found - wanted) <= 1e-6 * max(abs(wanted), abs(factor * a)),
                f"at sigma {sigma:.3g} the weight of {name} in the network's input is "
                f"{found:.6g}, and on the path {wanted:.6g}",
            )
    (first, low), (last, high) = told[0], told[-1]
    for (time, level), sigma in zip(told, SIGMAS, strict=True):
        wanted = low + (high - low) * (time - first) / (last - first)
        require(
            abs(level - wanted) <= 1e-5 * abs(high - low),
            f"at sigma {sigma:.3g} c_noise is {level:.6g}, and a line in the time {wanted:.6g}",
        )
    return f"the state of the path times {factor:.3g}"


def check_numbers(subject: Subject) -> str | None:
    """Check that every option that changes the path is among its `numbers`, but `sigma_data`."""
    objective = subject.make()
    path = objective.path
    if path is None:
        raise Inapplicable("the objective has no native time")
    missing = set()
    for name, values in variations(subject, near=True).items():
        for value in values if name not in (*path.numbers, "sigma_data") else ():
            other = subject.make(**{name: value}).path
            if other is None or _traced(other) != _traced(path):
                missing.add(name)
    require(
        not missing,
        f"the option {', '.join(sorted(missing))} changes the path and is not among its numbers, "
        "so that no schedule can be told that it contradicts it",
    )
    return ", ".join(sorted(path.numbers))


def _traced(path: NativePath) -> list[float]:
    times = [path.time(sigma) for sigma in SIGMAS]
    return [*times, *(value for time in times for value in path.coefficients(time))]


def check_start(subject: Subject) -> str | None:
    """Check that a run starts from the end of the process: noise, or noise plus data variance.

    Where the variance is preserved, the network's input has then the variance 1.
    """
    objective = subject.make()
    for sigma in SIGMAS:
        found = objective.start(sigma)
        network = Recorder(elementwise)
        objective.denoise(network, torch.ones(1, 1, 4).double(), sigma, Condition())
        c_in = float(network.x.mean())
        if objective.preserves_variance:
            require(
                abs(c_in * found - 1) < 1e-6,
                f"it preserves the variance, and a run that starts at sigma {sigma:.3g} gives the "
                f"network values of the standard deviation {c_in * found:.4g}, not 1",
            )
        else:
            require(
                abs(found / sigma - 1) < 1e-9,
                f"its variance explodes, and a run at sigma {sigma:.3g} starts at {found:.4g}",
            )
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
