"""What every solver promises, measured for every solver and every kind of option."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kernel import Solver, UsageError
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
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
FEW = [Euler(), Heun(), DpmPP2M(), UniPC(), UniPC(predictor_order=4, prediction="noise")]
DETERMINISTIC = [Euler(), Heun(), DpmPP2M(), *UNIPC]
MODULES = ["dpmpp_2m", "euler", "heun", "unipc"]


def name(value: object) -> str:
    if not isinstance(value, Solver):
        return str(value)
    options = [str(option) for _, option in value]
    return "-".join([type(value).__name__.lower(), *options])


def geometric(start: float, end: float, steps: int) -> list[float]:
    return [start * (end / start) ** (index / steps) for index in range(steps + 1)] + [0.0]


few = pytest.mark.parametrize("solver", FEW, ids=name)
deterministic = pytest.mark.parametrize("solver", DETERMINISTIC, ids=name)


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
    assert math.log2(errors[0] / errors[1]) == pytest.approx(solver.order, abs=0.2)


@few
def test_finds_the_data_from_the_largest_sigma(solver, mixture, drive, generator):
    noisy = mixture.sample(8, generator)
    noisy += 80 * torch.randn(noisy.shape, generator=generator, dtype=noisy.dtype)
    end = drive(solver, mixture.denoise, noisy, EdmSchedule().sigmas(100))[-1].x
    error = (end - mixture.flow(noisy, 80.0, 0.0, tolerance=1e-8)).square().mean().sqrt()
    assert error < (0.1 if solver.order == 1 else 0.005)


@deterministic
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_evaluates_as_often_as_it_says_and_ends_at_zero(solver, steps, gaussian, drive):
    seen: list[float] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return gaussian.denoise(x, sigma)

    sigmas = EdmSchedule().sigmas(steps)
    taken = drive(solver, denoise, torch.ones(1, 2, 3, dtype=torch.float64), sigmas)
    assert len(seen) == solver.nfe(steps)
    assert [step.index for step in taken] == list(range(steps))
    assert [step.sigma for step in taken] == sigmas[1:]
    assert all(type(sigma) is float and sigma > 0 for sigma in seen)
    assert torch.isfinite(taken[-1].x).all()


@deterministic
def test_ends_with_what_the_denoiser_sees_last(solver, gaussian, drive):
    last = drive(
        solver, gaussian.denoise, torch.ones(1, 2, 3, dtype=torch.float64), RfSchedule().sigmas(6)
    )[-1]
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
    end = drive(solver, lambda x, sigma: x / (1 + sigma**2), x, EdmSchedule().sigmas(8))[-1].x
    assert end.shape == shape
    assert end.dtype == dtype
    assert torch.isfinite(end).all()


@few
def test_items_do_not_mix(solver, mixture, drive, generator):
    x = mixture.sample(3, generator) * 30
    sigmas = EdmSchedule(sigma_max=30).sigmas(6)
    together = drive(solver, mixture.denoise, x, sigmas)[-1].x
    alone = drive(solver, mixture.denoise, x[1:2], sigmas)[-1].x
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)


@few
def test_changes_neither_its_input_nor_what_the_denoiser_returns(solver, gaussian, drive):
    returned: list[tuple[Tensor, Tensor]] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        x0 = gaussian.denoise(x, sigma)
        returned.append((x0, x0.clone()))
        return x0

    x = torch.full((1, 2, 3), 5.0, dtype=torch.float64)
    drive(solver, denoise, x, EdmSchedule().sigmas(6))
    assert (x == 5).all()
    assert all(torch.equal(now, then) for now, then in returned)


@few
def test_interleaved_runs_do_not_disturb_each_other(solver, gaussian, drive):
    sigmas = EdmSchedule().sigmas(6)
    starts = [torch.full((1, 2, 3), value, dtype=torch.float64) for value in (80.0, -30.0)]
    alone = [drive(solver, gaussian.denoise, x, sigmas) for x in starts]
    runs = [solver.trajectory(gaussian.denoise, x, sigmas, None) for x in starts]
    steps = [next(run) for run in runs]
    for index in range(6):
        for one, step in zip(alone, steps, strict=True):
            assert torch.equal(one[index].x, step.x)
        if index < 5:
            steps = [run.send(step.x) for run, step in zip(runs, steps, strict=True)]


@few
def test_goes_on_from_the_state_that_is_sent_back(solver, drive):
    """Keep x0, or the noise, constant: a step then is exact from any state."""
    sigmas = [10.0, 6.0, 3.0, 1.0, 0.0]
    c = torch.full((1, 1, 4), 2.0, dtype=torch.float64)
    constant_noise = getattr(solver, "prediction", "x0") == "noise"

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x - sigma * c if constant_noise else c

    steps = drive(solver, denoise, 7 * c, sigmas, constrain=torch.zeros_like)
    for step, sigma in zip(steps[1:], sigmas[1:], strict=False):
        share = step.sigma - sigma if constant_noise else 1 - step.sigma / sigma
        torch.testing.assert_close(step.x, share * c)


@pytest.mark.parametrize(
    ("solver", "operations"),
    [
        (Euler(), 1),
        (Heun(), 3),
        (DpmPP2M(), 2),
        (UniPC(predictor_order=2), 4),
        (UniPC(predictor_order=3), 5),
        (UniPC(predictor_order=3, prediction="noise"), 7),
    ],
    ids=name,
)
def test_a_step_is_a_few_tensor_operations_and_never_waits(solver, operations, drive):
    class Record(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            seen.append(function.__name__)
            return function(*args, **(kwargs or {}))

    counts = []
    for steps in (20, 30):
        seen: list[str] = []
        trajectory = solver.trajectory(
            lambda x, sigma: x, torch.ones(1, 2, 4), EdmSchedule().sigmas(steps), None
        )
        with Record():
            step = next(trajectory)
            while step.sigma > 0:
                step = trajectory.send(step.x)
        assert not {"item", "tolist", "cpu", "to", "__float__", "__bool__"}.intersection(seen)
        counts.append(len(seen))
    assert (counts[1] - counts[0]) / 10 == operations


@pytest.mark.parametrize("module", MODULES)
def test_is_offered_under_its_hook(module):
    offered = import_module(f"kernel_plugins.solvers.{module}").solver()
    assert issubclass(offered, Solver)
    assert offered().stochastic is False
    assert all(field.description for field in offered.model_fields.values())


def test_importing_the_plugins_does_not_import_torch():
    imports = "; ".join(f"import kernel_plugins.solvers.{module}" for module in MODULES)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("schedule", [EdmSchedule(), RfSchedule()], ids=["edm", "rf"])
def test_a_grid_without_steps_is_refused_before_a_solver_sees_it(schedule):
    with pytest.raises(UsageError, match="at least 1"):
        schedule.sigmas(0)
