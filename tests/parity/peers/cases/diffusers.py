"""The schedulers of diffusers."""

from __future__ import annotations

import math

from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_3s import DpmPP3S
from kernel_plugins.solvers.dpmpp_sde import DpmPPSde
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.ping_pong import PingPong
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.unipc import UniPC
from peers.case import OWN, Case
from peers.reasons import (
    CURVATURE,
    INFINITY,
    INNER_HALF,
    NATIVE,
    SECOND_STEP,
    SIGN,
    THREE_POINTS,
    WARM_UP,
)

LATE = {"lower_order_final": False}
EARLY = {"lower_order_final": True}
TO_MIN = {"final_sigmas_type": "sigma_min"}
SDE = {"algorithm_type": "sde-dpmsolver++"}
NOISE = {"algorithm_type": "dpmsolver", **TO_MIN}
MULTI, SINGLE_STEP, UNIPC = "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep"

DIFFUSERS = [
    Case(solver, "diffusers", name, options)
    for solver, name, options in (
        (Euler(), "EulerDiscrete", {}),
        (Euler(), "EDMEuler", {}),
        (Euler(), "FlowMatchEulerDiscrete", {}),
        (Euler(eta=1.0), "EulerAncestralDiscrete", {}),
        (Heun(), "HeunDiscrete", {}),
        (Dpm2S(), "KDPM2Discrete", {}),
        (Dpm2S(eta=1.0), "KDPM2AncestralDiscrete", {}),
        (Lms(), "LMSDiscrete", {}),
        (Lms(slopes=3), "LMSDiscrete", {"order": 3}),
        (PingPong(), "FlowMatchEulerDiscrete", {"stochastic_sampling": True}),
        (DpmPPSde(), "DPMSolverSDE", {}),
        (PredictorCorrector(corrector="langevin", snr=0.15), "ScoreSdeVe", {}),
        (
            PredictorCorrector(corrector="langevin", snr=0.2, corrections=2),
            "ScoreSdeVe",
            {"snr": 0.2, "correct_steps": 2},
        ),
        (DpmPP2M(eta=1.0), "CosineDPMSolverMultistep", {}),
        (Euler(), MULTI, {"solver_order": 1}),
        (DpmPP2M(), MULTI, LATE),
        (DpmPP2M(exact=True), MULTI, {"solver_type": "heun"}),
        (DpmPP2M(eta=1.0), MULTI, SDE),
        (DpmPP2M(eta=1.0, exact=True), MULTI, {**SDE, "solver_type": "heun"}),
        (DpmPP3M(published=True), MULTI, {"solver_order": 3, "solver_type": "heun", **LATE}),
        (
            DpmPP3M(published=True, lower_order_final=True),
            MULTI,
            {"solver_order": 3, "solver_type": "heun"},
        ),
        (DpmPP2M(), "EDMDPMSolverMultistep", {}),
        (
            DpmPP3M(published=True),
            "EDMDPMSolverMultistep",
            {"solver_order": 3, "solver_type": "heun", **LATE},
        ),
        (UniPC(predictor_order=1), UNIPC, {"solver_order": 1}),
        (UniPC(), UNIPC, {}),
        (UniPC(predictor_order=3), UNIPC, {"solver_order": 3}),
        (UniPC(predictor_order=4), UNIPC, {"solver_order": 4}),
    )
]
DIFFUSERS += [
    Case(solver, "diffusers", name, options, grid=OWN)
    for solver, name, options in (
        (Euler(), "DDIM", {}),
        (Euler(eta=0.5), "DDIM", {"eta": 0.5}),
        (Euler(eta=1.0), "DDIM", {"eta": 1.0}),
        (Euler(eta=1.0), "DDPM", {}),
        (Ddpm(), "DDPM", {}),
        (Ddpm(variance="data"), "DDPM", {"variance_type": "fixed_large"}),
    )
]
DIFFUSERS += [
    Case(solver, "diffusers", name, options, to_zero=False)
    for solver, name, options in (
        (Pndm(), "IPNDM", {}),
        (Deis(points=1), "DEISMultistep", {"solver_order": 1, **LATE}),
        (Deis(points=2), "DEISMultistep", LATE),
        (Deis(), "DEISMultistep", {"solver_order": 3, **LATE}),
        (Dpm2M(), MULTI, {**NOISE, **LATE}),
        (Dpm2M(exact=True), MULTI, {**NOISE, "solver_type": "heun", **LATE}),
        (
            Dpm3M(published=True),
            MULTI,
            {**NOISE, "solver_order": 3, "solver_type": "heun", **LATE},
        ),
        (UniPC(variant="bh1", **LATE), UNIPC, {"solver_type": "bh1", **LATE}),
        (UniPC(prediction="noise", **LATE), UNIPC, {"predict_x0": False, **LATE}),
        (
            UniPC(predictor_order=4, prediction="noise", **LATE),
            UNIPC,
            {"predict_x0": False, "solver_order": 4, **LATE},
        ),
    )
]
DIFFUSERS += [
    Case(DpmPP2S(), "diffusers", SINGLE_STEP, EARLY, grid="edm, 7 steps", parts=2),
    Case(
        Dpm2S(),
        "diffusers",
        SINGLE_STEP,
        {**NOISE, **LATE},
        grid="edm, 7 steps",
        parts=2,
        to_zero=False,
    ),
    Case(
        DpmPP3S(),
        "diffusers",
        SINGLE_STEP,
        {"solver_order": 3, **EARLY},
        grid="edm, 7 steps",
        parts=3,
        differs=1.4e-2,
        reason=INNER_HALF,
    ),
    Case(
        DpmPP3S(),
        "diffusers",
        SINGLE_STEP,
        {"solver_order": 3, "solver_type": "heun", **EARLY},
        grid="edm, 7 steps",
        parts=3,
        differs=2.1e-2,
        reason=THREE_POINTS,
    ),
    *(
        Case(solver, "diffusers", name, options, differs=differs, reason=reason)
        for solver, name, options, differs, reason in (
            (DpmPP3M(published=True), MULTI, {"solver_order": 3, **LATE}, 7e-6, SECOND_STEP),
            (DpmPP3M(), MULTI, {"solver_order": 3, **LATE}, 0.16, CURVATURE),
            (
                DpmPP3M(published=True, eta=1.0),
                MULTI,
                {**SDE, "solver_order": 3, "solver_type": "heun", **LATE},
                0.77,
                SIGN,
            ),
            (Heun(), "FlowMatchHeunDiscrete", {}, 9.7e-2, NATIVE),
            (Deis(), "DEISMultistep", {"solver_order": 3, **LATE}, math.nan, INFINITY),
            (UniPC(variant="bh1"), UNIPC, {"solver_type": "bh1"}, math.nan, INFINITY),
            (UniPC(prediction="noise"), UNIPC, {"predict_x0": False}, math.nan, INFINITY),
        )
    ),
    Case(Pndm(), "diffusers", "PNDM", {}, grid=OWN, differs=4.8e-3, reason=WARM_UP),
]
