"""Our samples beside those of diffusers and k-diffusion, on the same denoiser and grid.

Needs benchmarks/requirements.txt; skipped without. Measured: k-diffusion agrees to 1e-15. diffusers
keeps its coefficients in float32 whatever the state is, which leaves 1e-6 with x0-prediction and up
to 2e-4 with noise prediction, whose small linear systems are worse conditioned. With float64 as the
default dtype it agrees to 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from kernel import Solver
from kernel.testing.exact import Mixture
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.unipc import UniPC

STEPS = 12


@pytest.fixture
def mixture() -> Mixture:
    generator = torch.Generator().manual_seed(0)
    return Mixture(
        torch.randn(5, 2, 8, generator=generator, dtype=torch.float64),
        0.3 + torch.rand(5, generator=generator, dtype=torch.float64) / 2,
        torch.ones(5, dtype=torch.float64),
    )


@pytest.fixture
def noise() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 2, 8, generator=generator, dtype=torch.float64)


def states(solver: Solver, mixture: Mixture, x: Tensor, sigmas: list[float]) -> list[Tensor]:
    trajectory = solver.trajectory(mixture.denoise, x, sigmas, None)
    step = next(trajectory)
    reached = [step.x]
    while step.sigma > 0:
        step = trajectory.send(step.x)
        reached.append(step.x)
    return reached


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize(
    ("solver", "name"), [(Euler(), "euler"), (Heun(), "heun"), (DpmPP2M(), "dpmpp_2m")]
)
def test_equals_k_diffusion(solver, name, mixture, noise):
    pytest.importorskip("k_diffusion.external", exc_type=ImportError)
    from k_diffusion import sampling

    sigmas = EdmSchedule().sigmas(STEPS)
    theirs = getattr(sampling, f"sample_{name}")(
        lambda x, sigma: mixture.denoise(x, float(sigma[0])),
        sigmas[0] * noise,
        torch.tensor(sigmas, dtype=torch.float64),
        disable=True,
    )
    assert difference(states(solver, mixture, sigmas[0] * noise, sigmas)[-1], theirs) < 1e-9


def diffusers_states(
    scheduler: Any, mixture: Mixture, noise: Tensor, grid: torch.dtype = torch.float32
) -> tuple[list[Tensor], list[float]]:
    """Return the states of a scheduler in our coordinates, and the grid it took.

    Its states are x / sqrt(1 + sigma^2).
    """
    scheduler.set_timesteps(STEPS)
    scheduler.sigmas = scheduler.sigmas.to(grid)
    sigmas = scheduler.sigmas.tolist()
    x = sigmas[0] * noise / math.sqrt(1 + sigmas[0] ** 2)
    reached = []
    for t, sigma, following in zip(scheduler.timesteps, sigmas, sigmas[1:], strict=False):
        x0 = mixture.denoise(x * math.sqrt(1 + sigma**2), sigma)
        x = scheduler.step(x0, t, x, return_dict=False)[0]
        reached.append(x * math.sqrt(1 + following**2))
    return reached, sigmas


OPTIONS = {"prediction_type": "sample", "use_karras_sigmas": True, "final_sigmas_type": "zero"}


@pytest.fixture
def double() -> Iterator[None]:
    """Let diffusers compute its coefficients in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("prediction", ["x0", "noise"])
def test_unipc_equals_diffusers(order, variant, prediction, mixture, noise, double):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.UniPCMultistepScheduler(
        solver_order=order, solver_type=variant, predict_x0=prediction == "x0", **OPTIONS
    )
    theirs, sigmas = diffusers_states(scheduler, mixture, noise, torch.float64)
    solver = UniPC(predictor_order=order, variant=variant, prediction=prediction)
    ours = states(solver, mixture, sigmas[0] * noise, sigmas)
    for mine, other in zip(ours[:-1], theirs[:-1], strict=True):
        assert difference(mine, other) < 1e-10
    if variant == "bh2" and prediction == "x0":
        assert difference(ours[-1], theirs[-1]) < 1e-10
    else:
        # diffusers multiplies 0 by an infinity in these forms of its step to sigma 0.
        assert theirs[-1].isnan().all()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_unipc_equals_diffusers_as_it_is(order, mixture, noise):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.UniPCMultistepScheduler(solver_order=order, **OPTIONS)
    theirs, sigmas = diffusers_states(scheduler, mixture, noise)
    ours = states(UniPC(predictor_order=order), mixture, sigmas[0] * noise, sigmas)
    assert difference(ours[-1], theirs[-1]) < 1e-5


def test_dpmpp_2m_equals_diffusers(mixture, noise):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_order=2, solver_type="midpoint", **OPTIONS
    )
    theirs, sigmas = diffusers_states(scheduler, mixture, noise)
    ours = states(DpmPP2M(), mixture, sigmas[0] * noise, sigmas)
    assert difference(ours[-1], theirs[-1]) < 1e-5
