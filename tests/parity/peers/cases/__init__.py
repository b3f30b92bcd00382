"""Which of our solvers is which sampler elsewhere, and where the two differ."""

from peers.cases.diff_sampler import DIFF_SAMPLER
from peers.cases.diffusers import DIFFUSERS
from peers.cases.dpm_solver import DPM_SOLVER, UNIPC
from peers.cases.edm import EDM, RESTART
from peers.cases.k_diffusion import K_DIFFUSION

CASES = [
    *K_DIFFUSION,
    *DIFFUSERS,
    *DIFF_SAMPLER,
    *DPM_SOLVER,
    *EDM,
    *RESTART,
    *UNIPC,
]

LEFT_OUT = {
    "k-diffusion `dpm_fast`, `dpm_adaptive`": "they choose their own grid; `dpm-2s` and `dpm-3s` "
    "are their steps, `rk45` is our adaptive solver",
    "k-diffusion `s_churn` of `euler` and `dpm_2`": "here only `heun`, as published, has churn",
    "diffusers `SASolver`, `TCD`, `DPMSolverMultistep` as `sde-dpmsolver`": "no solver of ours",
    "diffusers `LCM`, `CMStochasticIterative`": "`ping-pong` with a boundary condition of their "
    "own in place of D",
}
"""Samplers without a row, and why."""
