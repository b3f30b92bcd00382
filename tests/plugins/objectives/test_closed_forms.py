"""Every objective against its paper's own process: what goes in, what is predicted, and when."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from kernel import Objective
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.eps import Eps
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.rf import Rf
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.objectives.v import V
from kernel_plugins.objectives.ve import Ve
from kernel_plugins.objectives.vp import Vp
from kernel_plugins.objectives.x0 import X0

Scales = tuple[float, float, float]
"""a, b and s of the network's input a x0 + b y + s n."""


@attrs.frozen
class Paper:
    """A process in its own time, and what the network predicts, as the paper writes them.

    scales: from t to a, b, s. target: from a, s, x0, n to the network's output.
    """

    objective: Objective
    scales: Callable[[float], Scales]
    target: Callable[[float, float, Tensor, Tensor], Tensor]
    times: tuple[float, ...] = (0.01, 0.2, 0.5, 0.9)
    told: Callable[[float], float] = lambda t: t


def ornstein_uhlenbeck(t: float) -> Scales:
    """Integrate the variance ds^2/dt = g^2 - 2 theta s^2 of SGMSE+, eq. 1, by Simpson's rule."""
    theta, low, high = 1.5, 0.05, 0.5
    growth = math.log(high / low)
    count = 400
    total = 0.0
    for k in range(count + 1):
        u = t * k / count
        g = low * (high / low) ** u * math.sqrt(2 * growth)
        weight = 1 if k in (0, count) else 4 if k % 2 else 2
        total += weight * math.exp(-2 * theta * (t - u)) * g**2
    return math.exp(-theta * t), 1 - math.exp(-theta * t), math.sqrt(total * t / count / 3)


def bridge(t: float) -> Scales:
    """Return the marginal of Jukic et al. 2024, Table 1, column VE."""
    k, c = 2.6, 0.4
    now, end = (c * (k ** (2 * u) - 1) / (2 * math.log(k)) for u in (t, 1.0))
    return (end - now) / end, now / end, math.sqrt(now * (end - now) / end)


def beta(t: float) -> Scales:
    share = math.exp(-0.1 * t - 19.9 * t**2 / 2)
    return math.sqrt(share), 0.0, math.sqrt(1 - share)


def circle(t: float) -> Scales:
    return math.cos(math.pi * t / 2), 0.0, math.sin(math.pi * t / 2)


def noise(a: float, s: float, x0: Tensor, n: Tensor) -> Tensor:
    return n


def quarter_log(scales: Callable[[float], Scales]) -> Callable[[float], float]:
    return lambda t: math.log(scales(t)[2] / scales(t)[0]) / 4


PAPERS = {
    "ve": Paper(
        Ve(),
        lambda s: (1.0, 0.0, s),
        lambda a, s, x0, n: -n,
        told=lambda s: math.log(s / 2),
    ),
    "vp": Paper(Vp(), beta, noise),
    "eps": Paper(Eps(), circle, noise, told=quarter_log(circle)),
    "x0": Paper(X0(), circle, lambda a, s, x0, n: x0, told=quarter_log(circle)),
    "v": Paper(V(), circle, lambda a, s, x0, n: a * n - s * x0),
    "rf": Paper(Rf(), lambda t: (1 - t, 0.0, t), lambda a, s, x0, n: n - x0),
    "ouve": Paper(Ouve(), ornstein_uhlenbeck, noise),
    "sb-ve": Paper(SbVe(), bridge, lambda a, s, x0, n: x0),
}
every = pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


class Oracle:
    """Predicts exactly the target; remembers what it was given."""

    def __init__(self, target: Tensor) -> None:
        self._target = target

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        self.x, self.c_noise = x, c_noise
        return self._target


def triple(dtype: torch.dtype) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 8, generator=draws, dtype=torch.float64).to(dtype) for _ in range(3)]


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    tolerance = 2e-5 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@types
@every
def test_sampling_speaks_the_papers_language(paper: Paper, dtype: torch.dtype) -> None:
    x0, n, y = triple(dtype)
    for t in paper.times:
        a, b, s = paper.scales(t)
        network = Oracle(paper.target(a, s, x0, n))
        found = paper.objective.denoise(network, x0 + s / a * n, s / a, None, y)
        close(network.x, a * x0 + b * y + s * n, dtype)
        close(network.c_noise, torch.full((2,), paper.told(t), dtype=dtype), dtype)
        # A rounding of the target is s / a as large in x0.
        close(found / max(1.0, s / a), x0 / max(1.0, s / a), dtype)


def loss(
    objective: Objective, network: Oracle, x0: Tensor, sigma: Tensor, n: Tensor, y: Tensor
) -> Tensor:
    """Return the weighted error of the estimate of x0, [B]."""
    x = x0 + sigma.view(-1, *[1] * (x0.ndim - 1)) * n
    error = objective.denoise(network, x, sigma, None, y) - x0
    return objective.weight(sigma) * error.square().flatten(1).mean(1)


@types
@every
def test_training_speaks_the_papers_language(paper: Paper, dtype: torch.dtype) -> None:
    x0, n, y = triple(dtype)
    for t in paper.times:
        a, b, s = paper.scales(t)
        target = paper.target(a, s, x0, n)
        sigma = torch.full((2,), s / a, dtype=dtype)
        network = Oracle(target)
        exact = loss(paper.objective, network, x0, sigma, n, y)
        close(network.x, a * x0 + b * y + s * n, dtype)
        close(network.c_noise, torch.full((2,), paper.told(t), dtype=dtype), dtype)
        assert float(exact.max()) < 1e-6
        # The weighted error is the mean squared error of the network's output.
        off = Oracle(target + 0.5)
        close(
            loss(paper.objective, off, x0, sigma, n, y),
            torch.full((2,), 0.25, dtype=dtype),
            torch.float32,
        )


@types
def test_the_mixture_of_edm_has_unit_variance_in_and_out(dtype: torch.dtype) -> None:
    data, sigma = 0.5, torch.logspace(-3, 3, 13, dtype=dtype)
    scale = Edm().precondition(sigma)
    close(scale.c_in**2 * (sigma**2 + data**2), torch.ones_like(sigma), dtype)
    # Var[(x0 - c_skip x) / c_out], with x = x0 + sigma n.
    variance = ((1 - scale.c_skip) ** 2 * data**2 + scale.c_skip**2 * sigma**2) / scale.c_out**2
    close(variance, torch.ones_like(sigma), dtype)


@pytest.mark.parametrize("objective", [V(sigma_data=0.5), Rf(sigma_data=0.5)], ids=["v", "rf"])
def test_sigma_data_rescales_the_data_and_nothing_else(objective: Objective) -> None:
    x0, n, _ = triple(torch.float64)
    unit = type(objective)()
    network = [Oracle(torch.full_like(n, 0.3)) for _ in range(2)]
    found = objective.denoise(network[0], 0.5 * x0 + 0.5 * 0.7 * n, 0.5 * 0.7, None)
    wanted = unit.denoise(network[1], x0 + 0.7 * n, 0.7, None)
    close(network[0].x, network[1].x, torch.float64)
    close(found, 0.5 * wanted, torch.float64)


@pytest.mark.parametrize(
    ("objective", "sigma"),
    [
        (Vp(), lambda t: math.sqrt(math.expm1(0.1 * t + 19.9 * t**2 / 2))),
        (Vp(beta_min=0.5, beta_max=8.0), lambda t: math.sqrt(math.expm1(0.5 * t + 7.5 * t**2 / 2))),
        (V(), lambda t: math.tan(math.pi / 2 * t)),
        (Rf(), lambda t: t / (1 - t)),
    ],
    ids=["vp", "vp, gentler", "v", "rf"],
)
def test_the_time_that_is_told_leads_back_to_sigma(
    objective: Objective, sigma: Callable[[float], float]
) -> None:
    for t in (1e-6, 1e-3, 0.1, 0.5, 0.99):
        assert objective.precondition(sigma(t)).c_noise == pytest.approx(t, rel=1e-12)
        single = torch.tensor([sigma(t)])
        assert float(objective.precondition(single).c_noise) == pytest.approx(t, rel=1e-5)


def test_the_angle_of_v_turns_signal_and_noise() -> None:
    """Recover both x0 and n from x and v: Salimans and Ho 2022, appendix D."""
    x0, n, _ = triple(torch.float64)
    for phi in (0.1, 0.8, 1.5):
        z, velocity = (
            math.cos(phi) * x0 + math.sin(phi) * n,
            math.cos(phi) * n - math.sin(phi) * x0,
        )
        network = Oracle(velocity)
        found = V().denoise(network, z / math.cos(phi), math.tan(phi), None)
        close(found, math.cos(phi) * z - math.sin(phi) * velocity, torch.float64)
        close(network.x, z, torch.float64)


def test_noise_and_data_prediction_are_two_names_of_one_estimate() -> None:
    x0, n, guess = triple(torch.float64)
    for sigma in (0.01, 1.0, 30.0):
        x = x0 + sigma * n
        by_data = X0().denoise(Oracle(guess), x, sigma, None)
        by_noise = Eps().denoise(Oracle((x - guess) / sigma), x, sigma, None)
        close(by_noise, by_data, torch.float64)


NATIVE = [
    Bbed(),
    Bbed(k=4.0, theta=0.2),
    Ouve(),
    Ouve(theta=2.0, sigma_low=0.1, sigma_high=1.0),
    SbVe(),
    SbVe(k=3.0, c=0.1),
]


@pytest.mark.parametrize("objective", NATIVE, ids=repr)
def test_a_path_is_the_process_that_the_network_sees(objective: Bbed | Ouve | SbVe) -> None:
    path = objective.path
    assert path.sigma(0.0) == path.time(0.0) == 0
    for t in (1e-4, 0.03, 0.3, 0.6, 0.99):
        sigma = path.sigma(t)
        assert path.time(sigma) == pytest.approx(t, rel=1e-10)
        scale = objective.precondition(sigma)
        assert path.coefficients(t) == pytest.approx((scale.c_in, scale.c_origin), rel=1e-10)
        step = 1e-5
        late, early = ((*path.coefficients(u), path.sigma(u) ** 2) for u in (t + step, t - step))
        slopes = [(one - other) / (2 * step) for one, other in zip(late, early, strict=True)]
        assert path.rates(t) == pytest.approx(slopes, rel=1e-5)
