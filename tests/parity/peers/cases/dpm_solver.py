"""The samplers of DPM-Solver and of UniPC, which is built on it."""

from __future__ import annotations

from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpm_3s import Dpm3S
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_2s import DpmPP2S
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.dpmpp_3s import DpmPP3S
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.unipc import UniPC
from peers.case import OWN, Case
from peers.reasons import RAMP, SECOND_STEP, THREE_POINTS, TIME_NODES, VARY, VARY_1

DPM_SOLVER = [
    Case(solver, "dpm-solver", name, grid=OWN, to_zero=False)
    for solver, name in (
        (Euler(), "dpmsolver multistep order=1 solver_type=dpmsolver"),
        (Dpm2M(), "dpmsolver multistep order=2 solver_type=dpmsolver"),
        (Dpm2M(exact=True), "dpmsolver multistep order=2 solver_type=taylor"),
        (Dpm3M(published=True), "dpmsolver multistep order=3 solver_type=taylor"),
        (Dpm2S(), "dpmsolver singlestep_fixed order=2 solver_type=dpmsolver"),
        (Dpm2S(exact=True), "dpmsolver singlestep_fixed order=2 solver_type=taylor"),
        (Dpm3S(), "dpmsolver singlestep_fixed order=3 solver_type=dpmsolver"),
        (Euler(), "dpmsolver++ multistep order=1 solver_type=dpmsolver"),
        (DpmPP2M(), "dpmsolver++ multistep order=2 solver_type=dpmsolver"),
        (DpmPP2M(exact=True), "dpmsolver++ multistep order=2 solver_type=taylor"),
        (DpmPP3M(published=True), "dpmsolver++ multistep order=3 solver_type=taylor"),
        (DpmPP2S(), "dpmsolver++ singlestep_fixed order=2 solver_type=dpmsolver"),
        (DpmPP2S(exact=True), "dpmsolver++ singlestep_fixed order=2 solver_type=taylor"),
        (DpmPP3S(), "dpmsolver++ singlestep_fixed order=3 solver_type=dpmsolver"),
    )
]
DPM_SOLVER += [
    Case(
        DpmPP3M(published=True),
        "dpm-solver",
        "dpmsolver++ multistep order=3 solver_type=taylor time_uniform denoise_to_zero",
        grid=OWN,
    ),
    Case(
        DpmPP2M(),
        "dpm-solver",
        "dpmsolver++ multistep order=2 steps=8 lower_order_final denoise_to_zero",
        grid=OWN,
        differs=1.7e-2,
        reason=RAMP,
    ),
]
DPM_SOLVER += [
    Case(
        solver,
        "dpm-solver",
        name,
        grid=OWN,
        to_zero=False,
        differs=differs,
        reason=reason,
    )
    for solver, name, differs, reason in (
        (
            Dpm3M(published=True),
            "dpmsolver multistep order=3 solver_type=dpmsolver",
            6.7e-6,
            SECOND_STEP,
        ),
        (
            DpmPP3M(published=True),
            "dpmsolver++ multistep order=3 solver_type=dpmsolver",
            9.7e-6,
            SECOND_STEP,
        ),
        (Dpm3S(), "dpmsolver singlestep_fixed order=3 solver_type=taylor", 0.13, THREE_POINTS),
        (DpmPP3S(), "dpmsolver++ singlestep_fixed order=3 solver_type=taylor", 0.037, THREE_POINTS),
        (Dpm2S(), "dpmsolver singlestep_fixed order=2 time_uniform", 4.6e-2, TIME_NODES),
    )
]

UNIPC = [
    Case(
        UniPC(
            predictor_order=order,
            variant=variant,
            prediction=prediction,
            lower_order_final=False,
        ),
        "unipc",
        f"{kind}_prediction variant={variant} order={order} lower_order_final=False",
        grid=OWN,
        to_zero=False,
    )
    for prediction, kind in (("x0", "data"), ("noise", "noise"))
    for variant in ("bh1", "bh2")
    for order in (1, 2, 3, 4)
]
UNIPC += [
    Case(
        UniPC(predictor_order=3, lower_order_final=False),
        "unipc",
        "data_prediction variant=bh2 order=3 time_uniform lower_order_final=False denoise_to_zero",
        grid=OWN,
    ),
    Case(
        UniPC(predictor_order=3),
        "unipc",
        "data_prediction variant=bh2 order=3",
        grid=OWN,
        to_zero=False,
        differs=1.9e-2,
        reason=RAMP,
    ),
]
UNIPC += [
    Case(
        UniPC(predictor_order=order, lower_order_final=False),
        "unipc",
        f"data_prediction variant=vary_coeff order={order} lower_order_final=False",
        grid=OWN,
        to_zero=False,
        differs=differs,
        reason=reason,
    )
    for order, differs, reason in ((1, 1.1e-2, VARY_1), (2, 1.5e-2, VARY), (3, 5.9e-2, VARY))
]
