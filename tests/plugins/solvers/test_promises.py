"""What every solver promises, measured for every solver and every kind of option."""

from __future__ import annotations

import itertools
import math
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import kernel_plugins.solvers
from kernel import Noise, Solver, UsageError
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.solvers._linear import _updates
from kernel_plugins.solvers.alpha import Alpha
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpm_3s import Dpm3S
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_3s import DpmPP3S
from kernel_plugins.solvers.dpmpp_sde import DpmPPSde
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.ping_pong import PingPong
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.restart import Restart
from kernel_plugins.solvers.rk45 import Rk45
from kernel_plugins.solvers.unipc import UniPC

UNIPC = [
    UniPC(
        predictor_order=order,
        corrector=corrector,
        variant=variant,
        prediction=prediction,
        lower_order_final=lower,
    )
    for order, corrector, variant, prediction, lower in itertools.product(
        (1, 2, 3, 4), (True, False), ("bh1", "bh2"), ("x0", "noise"), (True, False)
    )
]
DETERMINISTIC = [
    Euler(),
    Heun(),
    *(Alpha(alpha=alpha) for alpha in (0.5, 2 / 3, 1.0)),
    *(kind(node=node) for kind in (Dpm2S, DpmPP2S) for node in (0.5, 0.3, 1.0)),
    *(kind(exact=True) for kind in (Dpm2S, DpmPP2S)),
    Dpm3S(),
    DpmPP3S(),
    *(kind(exact=exact) for kind in (Dpm2M, DpmPP2M) for exact in (False, True)),
    *(kind(published=published) for kind in (Dpm3M, DpmPP3M) for published in (False, True)),
    *(kind(lower_order_final=True) for kind in (Dpm3M, DpmPP3M)),
    *(DpmPPSde(eta=0.0, node=node) for node in (0.5, 0.3, 1.0)),
    *(Lms(slopes=slopes) for slopes in (1, 2, 3, 4)),
    *(Pndm(slopes=slopes) for slopes in (1, 2, 3, 4)),
    *(
        Deis(points=points, variable=variable)
        for points in (1, 2, 3, 4)
        for variable in ("log-sigma", "vp-time")
    ),
    *UNIPC,
]
STOCHASTIC = [
    Euler(eta=1.0),
    Euler(eta=0.3),
    Heun(s_churn=10.0),
    *(kind(eta=1.0) for kind in (Dpm2S, Dpm3S, DpmPP2S, DpmPP3S)),
    *(kind(eta=eta) for kind in (DpmPP2M, DpmPP3M) for eta in (0.5, 1.0)),
    DpmPP3M(eta=1.0, published=True),
    *(DpmPPSde(node=node) for node in (0.5, 0.3, 1.0)),
    DpmPPSde(eta=0.5),
    Ddpm(),
    Ddpm(variance="data"),
    EulerMaruyama(),
    EulerMaruyama(form="euler"),
    PingPong(),
    PredictorCorrector(),
    PredictorCorrector(predictor="euler-maruyama", corrector="langevin", corrections=2, snr=0.1),
    PredictorCorrector(predictor="ode", snr=0.2),
    Restart(),
]
ALL = [*DETERMINISTIC, *STOCHASTIC]
FEW = list({type(solver): solver for solver in reversed(ALL)}.values())
FEW += [UniPC(predictor_order=4, prediction="noise"), Restart(sigma_low=1.0, sigma_high=10.0)]
MODULES = [
    module.name
    for module in pkgutil.iter_modules(kernel_plugins.solvers.__path__)
    if not module.name.startswith("_")
]


def name(value: object) -> str:
    if not isinstance(value, Solver):
        return str(value)
    options = [str(option) for _, option in value]
    return "-".join([type(value).__name__.lower(), *options])


def geometric(start: float, end: float, steps: int) -> list[float]:
    return [start * (end / start) ** (index / steps) for index in range(steps + 1)] + [0.0]


def draws(x: Tensor) -> Noise:
    """Return noise whose items, and whose calls, have seeds of their own."""
    seeds: Iterator[int] = itertools.count()

    def noise(sigma: float, following: float) -> Tensor:
        generator = torch.Generator().manual_seed(next(seeds))
        item = torch.randn(x.shape[1:], generator=generator, dtype=torch.float64)
        return item.to(x.dtype).expand(x.shape).clone()

    return noise


def supply(solver: Solver, x: Tensor) -> dict[str, Noise]:
    """Return the noise for a stochastic solver; others get one that fails when it is drawn from."""
    return {"noise": draws(x)} if solver.stochastic else {}


def test_every_solver_is_held_to_these_promises():
    modules = {type(solver).__module__.rpartition(".")[2] for solver in [*ALL, Rk45()]}
    assert modules == set(MODULES)


few = pytest.mark.parametrize("solver", FEW, ids=name)
deterministic = pytest.mark.parametrize("solver", DETERMINISTIC, ids=name)
every = pytest.mark.parametrize("solver", ALL, ids=name)


@deterministic
@pytest.mark.parametrize("problem", ["gaussian", "mixture"])
def test_converges_with_the_order_it_claims(solver, problem, request, drive, generator):
    exact = request.getfixturevalue(problem)
    start, end = 1.0, 0.2
    x = exact.sample(4, generator)
    x += start * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    truth = exact.flow(x, start, end)
    errors = []
    for steps in (40, 80):
        # The step to 0 has no order: it is as wrong as D is at the last sigma.
        state = drive(solver, exact.denoise, x, geometric(start, end, steps))[-2].x
        errors.append(float((state - truth).norm()))
    measured = math.log2(errors[0] / errors[1])
    if problem == "gaussian":  # where the midpoint rule happens to be of order 3
        assert measured > solver.order - 0.2
    else:
        assert measured == pytest.approx(solver.order, abs=0.2)


@pytest.mark.parametrize("solver", [s for s in FEW if not s.stochastic], ids=name)
def test_finds_the_data_from_the_largest_sigma(solver, mixture, drive, generator):
    noisy = mixture.sample(8, generator)
    noisy += 80 * torch.randn(noisy.shape, generator=generator, dtype=noisy.dtype)
    end = drive(solver, mixture.denoise, noisy, EdmSchedule().sigmas(100))[-1].x
    error = (end - mixture.flow(noisy, 80.0, 0.0, tolerance=1e-8)).square().mean().sqrt()
    assert error < (0.1 if solver.order == 1 else 0.005)


@every
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_evaluates_as_often_as_it_says_and_ends_at_zero(solver, steps, gaussian, drive):
    seen: list[float] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return gaussian.denoise(x, sigma)

    sigmas = EdmSchedule().sigmas(steps)
    x = torch.ones(1, 2, 3, dtype=torch.float64)
    taken = drive(solver, denoise, x, sigmas, **supply(solver, x))
    assert len(seen) == solver.nfe(steps)
    assert [step.index for step in taken] == list(range(steps))
    assert [step.sigma for step in taken] == sigmas[1:]
    assert all(type(sigma) is float and sigma > 0 for sigma in seen)
    assert torch.isfinite(taken[-1].x).all()


@pytest.mark.parametrize("solver", [s for s in ALL if not isinstance(s, Lms)], ids=name)
def test_ends_with_what_the_denoiser_sees_last(solver, gaussian, drive):
    x = torch.ones(1, 2, 3, dtype=torch.float64)
    last = drive(solver, gaussian.denoise, x, RfSchedule().sigmas(6), **supply(solver, x))[-1]
    torch.testing.assert_close(last.x, last.x0, rtol=1e-14, atol=0)


@deterministic
def test_yields_the_x0_of_the_start_of_the_step(solver, gaussian, drive):
    x = torch.ones(1, 2, 3, dtype=torch.float64)
    sigmas = EdmSchedule().sigmas(4)
    states = [x]
    for step, sigma in zip(drive(solver, gaussian.denoise, x, sigmas), sigmas, strict=False):
        torch.testing.assert_close(step.x0, gaussian.denoise(states[-1], sigma))
        states.append(step.x)


@few
@pytest.mark.parametrize("shape", [(3, 5), (2, 1, 7), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_takes_any_shape_and_dtype(solver, shape, dtype, drive, generator):
    x = 80 * torch.randn(shape, generator=generator).to(dtype)
    sigmas = EdmSchedule().sigmas(8)
    end = drive(solver, lambda x, sigma: x / (1 + sigma**2), x, sigmas, **supply(solver, x))[-1].x
    assert end.shape == shape
    assert end.dtype == dtype
    assert torch.isfinite(end).all()


@few
def test_items_do_not_mix(solver, mixture, drive, generator):
    x = mixture.sample(3, generator) * 30
    sigmas = EdmSchedule(sigma_max=30).sigmas(6)
    together = drive(solver, mixture.denoise, x, sigmas, **supply(solver, x))[-1].x
    alone = drive(solver, mixture.denoise, x[1:2], sigmas, **supply(solver, x[1:2]))[-1].x
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)


@few
def test_changes_neither_its_input_nor_what_the_denoiser_returns(solver, gaussian, drive):
    returned: list[tuple[Tensor, Tensor]] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        x0 = gaussian.denoise(x, sigma)
        returned.append((x0, x0.clone()))
        return x0

    x = torch.full((1, 2, 3), 5.0, dtype=torch.float64)
    sigmas = EdmSchedule().sigmas(6)
    drive(solver, denoise, x, sigmas, **supply(solver, x))
    assert sigmas == EdmSchedule().sigmas(6)
    assert (x == 5).all()
    assert all(torch.equal(now, then) for now, then in returned)


@few
def test_interleaved_runs_do_not_disturb_each_other(solver, gaussian, drive):
    sigmas = EdmSchedule().sigmas(6)
    starts = [torch.full((1, 2, 3), value, dtype=torch.float64) for value in (80.0, -30.0)]
    alone = [drive(solver, gaussian.denoise, x, sigmas, draws(x)) for x in starts]
    runs = [solver.trajectory(gaussian.denoise, x, sigmas, draws(x)) for x in starts]
    steps = [next(run) for run in runs]
    for index in range(6):
        for one, step in zip(alone, steps, strict=True):
            assert torch.equal(one[index].x, step.x)
        if index < 5:
            steps = [run.send(step.x) for run, step in zip(runs, steps, strict=True)]


@few
def test_a_loop_follows_the_solver_where_nothing_is_sent(solver, gaussian, drive):
    x, sigmas = torch.full((1, 2, 3), 5.0, dtype=torch.float64), EdmSchedule().sigmas(6)
    sent = drive(solver, gaussian.denoise, x, sigmas, draws(x))
    followed = solver.trajectory(gaussian.denoise, x, sigmas, draws(x))
    for step, other in zip(followed, sent, strict=True):
        assert (step.index, step.sigma) == (other.index, other.sigma)
        assert torch.equal(step.x, other.x)
        assert torch.equal(step.x0, other.x0)


@pytest.mark.parametrize("solver", [DpmPP2M(), DpmPP3M(), Lms(), UniPC()], ids=name)
def test_what_is_known_of_one_grid_is_not_taken_for_another(solver, gaussian, drive):
    x = torch.full((1, 2, 3), 5.0, dtype=torch.float64)
    for sigmas in (EdmSchedule().sigmas(6), EdmSchedule(rho=3).sigmas(6)):
        fresh = type(solver)()
        first = drive(solver, gaussian.denoise, x, sigmas, draws(x))[-1].x
        assert torch.equal(first, drive(fresh, gaussian.denoise, x, sigmas, draws(x))[-1].x)
        _updates.cache_clear()
        assert torch.equal(first, drive(solver, gaussian.denoise, x, sigmas, draws(x))[-1].x)


@deterministic
def test_goes_on_from_the_state_that_is_sent_back(solver, drive):
    """Keep x0, or the noise, constant: a step then is exact from any state."""
    sigmas = [10.0, 6.0, 3.0, 1.0, 0.0]
    c = torch.full((1, 1, 4), 2.0, dtype=torch.float64)
    constant_noise = getattr(solver, "prediction", "noise") == "noise"

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x - sigma * c if constant_noise else c

    steps = drive(solver, denoise, 7 * c, sigmas, constrain=torch.zeros_like)
    for step, sigma in zip(steps[1:], sigmas[1:], strict=False):
        share = step.sigma - sigma if constant_noise else 1 - step.sigma / sigma
        torch.testing.assert_close(step.x, share * c)


@pytest.mark.parametrize("solver", STOCHASTIC, ids=name)
def test_goes_on_with_noise_from_the_state_that_is_sent_back(solver, drive):
    """Send back the data, a point: without noise the state stays there."""
    sigmas = [10.0, 6.0, 3.0, 1.0, 0.0]
    c = torch.full((1, 1, 4), 2.0, dtype=torch.float64)
    steps = drive(
        solver,
        lambda x, sigma: c,
        7 * c,
        sigmas,
        lambda sigma, following: torch.zeros_like(c),
        constrain=lambda x: c,
    )
    for step in steps[1:]:
        torch.testing.assert_close(step.x, c, rtol=1e-13, atol=0)


class Record(TorchFunctionMode):
    """Note the names of the tensor functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


def operations(solver: Solver, steps: int) -> list[str]:
    x = torch.ones(1, 2, 4)
    trajectory = solver.trajectory(
        lambda x, sigma: x, x, EdmSchedule().sigmas(steps), lambda sigma, following: x
    )
    with Record() as record:
        step = next(trajectory)
        while step.sigma > 0:
            step = trajectory.send(step.x)
    return record.names


WAITING = {"item", "tolist", "cpu", "to", "__float__", "__int__", "__bool__", "is_nonzero"}


@every
def test_never_waits_for_the_device(solver):
    assert not WAITING.intersection(operations(solver, 12))


@pytest.mark.parametrize(
    ("solver", "count"),
    [
        (Euler(), 1),
        (Euler(eta=1.0), 2),
        (Heun(), 3),
        (DpmPP2M(), 3),
        (DpmPP3M(), 4),
        (DpmPP3M(eta=1.0), 5),
        (Dpm3M(), 5),
        (Deis(points=4), 6),
        (Lms(slopes=4), 6),
        (Pndm(slopes=4), 6),
        (UniPC(predictor_order=2), 4),
        (UniPC(predictor_order=3), 5),
        (UniPC(predictor_order=3, prediction="noise"), 6),
    ],
    ids=name,
)
def test_a_step_is_a_few_tensor_operations(solver, count):
    assert (len(operations(solver, 40)) - len(operations(solver, 30))) / 10 == count


@pytest.mark.parametrize("module", MODULES)
def test_is_offered_under_its_hook(module):
    offered = import_module(f"kernel_plugins.solvers.{module}").solver()
    assert offered.__module__ == f"kernel_plugins.solvers.{module}"
    assert issubclass(offered, Solver)
    assert all(field.description for field in offered.model_fields.values())


@every
def test_draws_noise_exactly_when_it_says_so(solver, gaussian, drive):
    drawn = []

    def noise(sigma: float, following: float) -> Tensor:
        drawn.append((sigma, following))
        return torch.zeros(1, 2, 3, dtype=torch.float64)

    x = torch.ones(1, 2, 3, dtype=torch.float64)
    sigmas = EdmSchedule().sigmas(8)
    drive(solver, gaussian.denoise, x, sigmas, noise)
    assert bool(drawn) is solver.stochastic
    assert all(sigma > 0 and following >= 0 for sigma, following in drawn)


def test_importing_the_plugins_does_not_import_torch():
    imports = "; ".join(f"import kernel_plugins.solvers.{module}" for module in MODULES)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("schedule", [EdmSchedule(), RfSchedule()], ids=["edm", "rf"])
def test_a_grid_without_steps_is_refused_before_a_solver_sees_it(schedule):
    with pytest.raises(UsageError, match="at least 1"):
        schedule.sigmas(0)
