"""What every schedule promises of its grid and of its draws, held against closed forms.

Each schedule has a coordinate, the inverse of its map written down from the paper: grids take equal
steps of it, and training draws it uniformly.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable
from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch
from pydantic import ValidationError

import kernel_plugins.schedules
from kernel import LatentSpec, Schedule, UsageError
from kernel_plugins.schedules.bbed import BbedSchedule
from kernel_plugins.schedules.cosine import CosineSchedule
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.linear import LinearSchedule
from kernel_plugins.schedules.optimised import OptimisedSchedule
from kernel_plugins.schedules.ouve import OuveSchedule
from kernel_plugins.schedules.quadratic import QuadraticSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.schedules.sb_ve import SbVeSchedule
from kernel_plugins.schedules.sigmoid import SigmoidSchedule
from kernel_plugins.schedules.ve import VeSchedule
from kernel_plugins.schedules.vp import VpSchedule

Coordinate = Callable[[np.ndarray], np.ndarray]


def normal(mean: float, std: float) -> Coordinate:
    """Return the distribution function of a log-normal sigma."""
    erf = np.vectorize(math.erf)
    return lambda sigma: (1 + erf((np.log(sigma) - mean) / (std * math.sqrt(2)))) / 2


def sigmoid_time(sigma: np.ndarray, start: float, end: float, tau: float) -> np.ndarray:
    first, last = (1 / (1 + math.exp(-each / tau)) for each in (start, end))
    level = last - (last - first) / (1 + sigma**2)
    return (tau * np.log(level / (1 - level)) - start) / (end - start)


def vp_time(sigma: np.ndarray, low: float, high: float) -> np.ndarray:
    slope = high - low
    return (-low + np.sqrt(low**2 + 2 * slope * np.log1p(sigma**2))) / slope


def ouve_time(sigma: np.ndarray, theta: float, low: float, high: float) -> np.ndarray:
    """Invert std^2 / mean^2 of SGMSE+, eq. 11 and 12."""
    growth = math.log(high / low)
    return np.log1p(sigma**2 * (theta + growth) / (growth * low**2)) / (2 * (theta + growth))


def sb_ve_time(sigma: np.ndarray, k: float, c: float) -> np.ndarray:
    """Invert 1 / sigma^2 = 1 / sigma_t^2 - 1 / sigma_1^2 of the bridge's marginals."""
    rate = 2 * math.log(k)
    whole = c * math.expm1(rate) / rate
    return np.log1p(rate / c / (1 / sigma**2 + 1 / whole)) / rate


def bbed_time(sigma: np.ndarray) -> np.ndarray:
    """Interpolate the integral of theta k^(2t) / (1 - t)^2, in logarithms of 1 - t."""
    fine = np.linspace(0, 8, 400_001)
    rate = 0.52 * 2.6 ** (-2 * np.expm1(-fine)) * np.exp(fine)
    areas = (rate[1:] + rate[:-1]) / 2 * np.diff(fine)
    variances = np.concatenate([[0], np.cumsum(areas)])
    return -np.expm1(-np.interp(sigma**2, variances, fine))


@attrs.frozen
class Case:
    """A schedule, what its grid is linear in, and what its draws are uniform in."""

    schedule: Schedule
    grid: Coordinate
    drawn: Coordinate | None = None

    def uniform(self, sigma: np.ndarray) -> np.ndarray:
        """Return draws as what should be uniform in [0, 1]."""
        if self.drawn:
            return self.drawn(sigma)
        ends = np.array([self.schedule.sigma_min, self.schedule.sigma_max])
        low, high = self.grid(ends)
        return (self.grid(sigma) - low) / (high - low)


WIDE = {"sigma_min": 1e-6, "sigma_max": 1e5}
CASES = {
    "bbed": Case(BbedSchedule(), bbed_time),
    "cosine": Case(CosineSchedule(), np.arctan),
    "cosine, shifted": Case(CosineSchedule(shift=2.5), lambda sigma: np.arctan(sigma / 2.5)),
    "edm": Case(EdmSchedule(**WIDE), lambda sigma: sigma ** (1 / 7), normal(-1.2, 1.2)),
    "edm, rho 3": Case(
        EdmSchedule(**WIDE, rho=3, mean=0.4, std=1.4),
        lambda sigma: sigma ** (1 / 3),
        normal(0.4, 1.4),
    ),
    "linear": Case(LinearSchedule(), lambda sigma: sigma),
    "optimised": Case(OptimisedSchedule(**WIDE), lambda sigma: sigma ** (1 / 7), normal(-1.2, 1.2)),
    "ouve": Case(OuveSchedule(), lambda sigma: ouve_time(sigma, 1.5, 0.05, 0.5)),
    "quadratic": Case(QuadraticSchedule(), np.sqrt),
    "rf": Case(RfSchedule(**WIDE), lambda sigma: sigma / (1 + sigma), normal(0, 1)),
    "rf, shifted": Case(
        RfSchedule(**WIDE, shift=3, mean=-0.5, std=0.8),
        lambda sigma: sigma / (3 + sigma),
        normal(-0.5 + math.log(3), 0.8),
    ),
    "sb-ve": Case(SbVeSchedule(), lambda sigma: sb_ve_time(sigma, 2.6, 0.4)),
    "sigmoid": Case(SigmoidSchedule(), lambda sigma: sigmoid_time(sigma, -3, 3, 1)),
    "sigmoid, cooler": Case(
        SigmoidSchedule(start=0, end=3, tau=0.7), lambda sigma: sigmoid_time(sigma, 0, 3, 0.7)
    ),
    "ve": Case(VeSchedule(), np.log),
    "vp": Case(VpSchedule(), lambda sigma: vp_time(sigma, 0.1, 20)),
    "vp, gentler": Case(
        VpSchedule(beta_min=0.5, beta_max=12, t_max=0.9),
        lambda sigma: vp_time(sigma, 0.5, 12),
    ),
}
CURVES = {
    name: case for name, case in CASES.items() if not name.startswith(("edm", "rf", "optimised"))
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
curves = pytest.mark.parametrize("case", CURVES.values(), ids=CURVES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(values: np.ndarray) -> float:
    """Return Kolmogorov and Smirnov's distance from the uniform distribution, times sqrt(n)."""
    count = len(values)
    ranks = np.arange(count + 1) / count
    ordered = np.sort(values)
    gap = max(np.abs(ordered - ranks[1:]).max(), np.abs(ordered - ranks[:-1]).max())
    return float(gap * math.sqrt(count))


def stratified(schedule: Schedule) -> Schedule:
    return schedule.model_copy(update={"stratified": True})


def test_every_schedule_is_here():
    modules = {found.name for found in pkgutil.iter_modules(kernel_plugins.schedules.__path__)}
    names = {name.split(",")[0].replace("-", "_") for name in CASES} | {"discrete"}
    assert names == {module for module in modules if not module.startswith("_")}


@every
@pytest.mark.parametrize("steps", [2, 3, 8, 50])
def test_a_grid_takes_equal_steps_of_its_coordinate(case, steps):
    sigmas = np.array(case.schedule.sigmas(steps))
    if isinstance(case.schedule, RfSchedule):
        places = case.grid(sigmas)  # the step to 0 is as long as all others
    else:
        assert sigmas[-2] == pytest.approx(case.schedule.sigma_min, rel=1e-12)
        places = case.grid(sigmas[:-1])
    whole = places[-1] - places[0]
    assert np.diff(places) == pytest.approx(whole / (len(places) - 1), rel=1e-8)


@every
def test_a_grid_starts_at_the_largest_sigma_and_ends_at_zero(case):
    for steps in (1, 2, 3, 1000):
        sigmas = case.schedule.sigmas(steps)
        assert len(sigmas) == steps + 1
        assert (sigmas[0], sigmas[-1]) == (case.schedule.sigma_max, 0.0)
        assert all(type(sigma) is float for sigma in sigmas)
        assert all(sigma > following for sigma, following in pairwise(sigmas))


@every
@pytest.mark.parametrize("steps", [0, -3])
def test_a_grid_without_steps_is_refused(case, steps):
    with pytest.raises(UsageError, match=f"grid of {steps} steps; ask for at least 1"):
        case.schedule.sigmas(steps)


@every
def test_draws_are_distributed_as_the_paper_says(case):
    drawn = case.schedule.draw(5000, generator())
    # 1.63 is exceeded by one sample of a hundred; a mean off by 0.05 std gives 1.4 more.
    assert distance(case.uniform(drawn.double().numpy())) < 1.63


@every
def test_stratified_draws_fall_once_into_each_stratum(case):
    count = 64
    drawn = stratified(case.schedule).draw(count, generator())
    places = case.uniform(drawn.double().numpy()) * count
    slack = 1e-3  # draws are float32
    index = np.arange(count)
    assert (np.sort(places) > index - slack).all()
    assert (np.sort(places) < index + 1 + slack).all()
    assert (np.diff(places) < 0).any()
    assert (np.diff(places) > 0).any()


@every
def test_one_of_a_stratified_batch_is_distributed_like_any_draw(case):
    chosen = stratified(case.schedule)
    first = torch.stack([chosen.draw(4, generator(seed))[0] for seed in range(400)])
    assert distance(case.uniform(first.double().numpy())) < 1.63


@every
def test_draws_stay_in_the_range(case):
    narrow = case.schedule
    if {"sigma_min", "sigma_max"} <= type(narrow).model_fields.keys():
        narrow = narrow.model_copy(update={"sigma_min": 0.3, "sigma_max": 0.4})
    drawn = narrow.draw(2000, generator())
    assert drawn.dtype == torch.float32
    assert drawn.min() >= np.float32(narrow.sigma_min)
    assert drawn.max() <= np.float32(narrow.sigma_max)


@curves
def test_a_tensor_of_parts_has_the_sigmas_of_floats(case):
    """At part 1 sigma is 4 or 5 orders below its largest, where differences cancel."""
    parts = [0.0, 0.25, 0.5, 0.9, 0.999, 1.0]
    floats = [case.schedule.sigma(part) for part in parts]
    exact = case.schedule.sigma(torch.tensor(parts, dtype=torch.float64))
    assert exact.tolist() == pytest.approx(floats, rel=1e-11)
    assert floats[-1] == pytest.approx(case.schedule.sigma_min, rel=1e-9)
    assert floats[0] == pytest.approx(case.schedule.sigma_max, rel=1e-9)


@curves
def test_sigmas_of_drawn_parts_keep_the_digits_of_float32(case):
    parts = torch.rand(500, generator=generator(), dtype=torch.float64)
    floats = torch.tensor([case.schedule.sigma(part) for part in parts.tolist()])
    torch.testing.assert_close(
        case.schedule.draw(500, generator()), floats, rtol=3e-7, atol=0, check_dtype=False
    )


def test_the_polynomial_grid_is_equation_5():
    expected = [
        (80 ** (1 / 7) + index / 9 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for index in range(10)
    ]
    assert EdmSchedule().sigmas(10) == pytest.approx([*expected, 0.0], rel=1e-13)


@pytest.mark.parametrize(("rho", "same"), [(1.0, LinearSchedule()), (2.0, QuadraticSchedule())])
def test_polynomial_grids_of_low_exponents_have_names(rho, same):
    assert EdmSchedule(rho=rho).sigmas(20) == pytest.approx(same.sigmas(20), rel=1e-9)


def test_vp_starts_where_time_is_one_and_ends_at_a_thousandth():
    ends = np.array([VpSchedule().sigma_max, VpSchedule().sigma_min])
    assert vp_time(ends, 0.1, 20) == pytest.approx([1.0, 0.001], rel=1e-9)


def test_a_shift_of_the_flow_is_that_of_its_time():
    plain = np.array(RfSchedule(sigma_max=20).sigmas(8))
    time = plain / (1 + plain)
    shifted = 4 * time / (1 + 3 * time)
    assert RfSchedule(sigma_max=80, shift=4).sigmas(8) == pytest.approx(
        shifted / (1 - shifted), rel=1e-12
    )


def test_a_shift_of_the_cosine_is_that_of_its_log_snr():
    plain = CosineSchedule(sigma_min=0.01, sigma_max=10).sigmas(9)
    shifted = CosineSchedule(sigma_min=0.03, sigma_max=30, shift=3).sigmas(9)
    assert shifted == pytest.approx([3 * sigma for sigma in plain], rel=1e-12)


def test_a_sigmoid_without_a_way_from_data_to_noise_is_refused():
    with pytest.raises(ValidationError, match=r"start 3.0 is not below end 3.0"):
        SigmoidSchedule(start=3.0)


def test_a_slope_that_leaves_no_shift_is_refused():
    schedule = RfSchedule(shift_slope=1.0)
    with pytest.raises(UsageError, match=r"shift exp\(4096\) for 4096 positions; set a slope like"):
        schedule.sized(LatentSpec(2, (4096,)))


def test_many_steps_of_the_flow_stay_in_the_range():
    *_, before, last, zero = RfSchedule(sigma_min=0.1).sigmas(50)
    assert last == pytest.approx(0.1) and before > last and zero == 0


@pytest.mark.parametrize(
    ("schedule", "options", "said"),
    [
        (EdmSchedule, {"sigma_max": 0.001}, "sigma_max 0.001 is not above sigma_min 0.002"),
        (RfSchedule, {"sigma_min": 80}, "sigma_max 80 is not above sigma_min 80"),
        (CosineSchedule, {"sigma_min": 200}, "sigma_max 100 is not above sigma_min 200"),
        (VpSchedule, {"t_max": 0.0005}, "t_max 0.0005 is not above t_min 0.001"),
    ],
)
def test_ends_that_do_not_fall_are_refused(schedule, options, said):
    with pytest.raises(ValidationError, match=said):
        schedule(**options)
