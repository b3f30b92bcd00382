"""The samplers of EDM and the restart sampler, which is built on them."""

from __future__ import annotations

from kernel_plugins.solvers.alpha import Alpha
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.restart import Restart
from peers.case import OWN, Case
from peers.reasons import NATIVE, SINGLE

EDM = [
    Case(solver, "edm", name)
    for solver, name in (
        (Heun(), "edm_sampler"),
        (
            Heun(s_churn=8.0, s_min=0.05, s_max=50.0, s_noise=1.003),
            "edm_sampler S_churn=8 S_min=0.05 S_max=50 S_noise=1.003",
        ),
        (Heun(s_churn=40.0), "edm_sampler S_churn=40"),
        (Euler(), "ablation_sampler solver=euler"),
        (Alpha(), "ablation_sampler alpha=0.5"),
        (Alpha(alpha=2 / 3), "ablation_sampler alpha=0.667"),
        (Alpha(alpha=1.0), "ablation_sampler alpha=1"),
    )
]
EDM += [
    Case(solver, "edm", f"ablation_sampler {name}", grid=OWN)
    for solver, name in (
        (Euler(), "solver=euler discretization=vp"),
        (Euler(), "solver=euler discretization=ve"),
        (Heun(), "discretization=vp"),
        (Heun(), "discretization=ve"),
        (Heun(), "discretization=iddpm"),
    )
]
EDM += [
    Case(solver, "edm", f"ablation_sampler {name}", grid=OWN, differs=differs, reason=NATIVE)
    for solver, name, differs in (
        (Euler(), "solver=euler discretization=vp schedule=vp scaling=vp", 0.27),
        (Heun(), "discretization=vp schedule=vp scaling=vp", 3.3e-2),
        (Heun(), "discretization=ve schedule=ve", 1.7),
    )
]


def restart(inner_steps: int, restarts: int, low: float, high: float) -> Restart:
    return Restart(inner_steps=inner_steps, restarts=restarts, sigma_low=low, sigma_high=high)


RESTART = [
    Case(solver, "restart", f"restart_sampler {name} inner grid in float64")
    for solver, name in (
        (restart(3, 2, 0.14, 2.0), "[4, 2, 0.14, 2.0]"),
        (restart(3, 2, 0.3, 2.0), "[4, 2, 0.3, 2.0]"),
        (restart(1, 3, 1.2, 40.0), "[2, 3, 1.2, 40.0]"),
    )
]
RESTART += [
    Case(
        restart(3, 2, 0.14, 2.0),
        "restart",
        "restart_sampler [4, 2, 0.14, 2.0]",
        differs=4.3e-8,
        reason=SINGLE,
    )
]
