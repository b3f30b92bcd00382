"""The samplers of k-diffusion."""

from __future__ import annotations

from kernel_plugins.solvers.alpha import Alpha
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_sde import DpmPPSde
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from peers.case import Case
from peers.reasons import CURVATURE

K_DIFFUSION = [
    Case(solver, "k-diffusion", name, options)
    for solver, name, options in (
        (Euler(), "euler", {}),
        (Euler(eta=1.0), "euler_ancestral", {}),
        (Euler(eta=0.6), "euler_ancestral", {"eta": 0.6}),
        (Heun(), "heun", {}),
        (Alpha(alpha=1.0), "heun", {}),
        (
            Heun(s_churn=8.0, s_min=0.05, s_max=50.0, s_noise=1.003),
            "heun",
            {"s_churn": 8.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003},
        ),
        (Dpm2S(), "dpm_2", {}),
        (Dpm2S(eta=1.0), "dpm_2_ancestral", {}),
        (Dpm2S(eta=0.5), "dpm_2_ancestral", {"eta": 0.5}),
        (DpmPP2S(), "dpmpp_2s_ancestral", {"eta": 0.0}),
        (DpmPP2S(eta=1.0), "dpmpp_2s_ancestral", {}),
        (DpmPPSde(), "dpmpp_sde", {}),
        (DpmPPSde(eta=0.5, node=0.4), "dpmpp_sde", {"eta": 0.5, "r": 0.4}),
        (Lms(slopes=2), "lms", {"order": 2}),
        (Lms(), "lms", {}),
        (DpmPP2M(), "dpmpp_2m", {}),
        (DpmPP2M(eta=1.0), "dpmpp_2m_sde", {}),
        (DpmPP2M(eta=0.5, exact=True), "dpmpp_2m_sde", {"eta": 0.5, "solver_type": "heun"}),
        (DpmPP3M(published=True), "dpmpp_3m_sde", {"eta": 0.0}),
        (DpmPP3M(published=True, eta=1.0), "dpmpp_3m_sde", {}),
    )
]
K_DIFFUSION += [
    Case(solver, "k-diffusion", name, options, grid=grid)
    for grid in ("edm, 20 steps", "rf, 12 steps", "ve, 12 steps")
    for solver, name, options in (
        (Lms(), "lms", {}),
        (DpmPP2S(eta=1.0), "dpmpp_2s_ancestral", {}),
        (DpmPP2M(), "dpmpp_2m", {}),
        (DpmPP3M(published=True), "dpmpp_3m_sde", {"eta": 0.0}),
    )
]
K_DIFFUSION += [
    Case(DpmPP3M(), "k-diffusion", "dpmpp_3m_sde", {"eta": 0.0}, differs=0.16, reason=CURVATURE)
]
