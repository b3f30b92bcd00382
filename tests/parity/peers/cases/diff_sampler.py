"""The samplers of diff-sampler, without the thresholding that its `dpm_pp` always does."""

from __future__ import annotations

from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_2s import Dpm2S
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.unipc import UniPC
from peers.case import Case
from peers.reasons import FITTED, PARENTHESIS, RAMP, RIEMANN, SECOND_STEP

DIFF_SAMPLER = [
    Case(Euler(), "diff-sampler", "euler denoise_to_zero"),
    Case(Heun(), "diff-sampler", "heun denoise_to_zero"),
    Case(Dpm2S(), "diff-sampler", "dpm_2 denoise_to_zero"),
    Case(Pndm(), "diff-sampler", "ipndm max_order=4 denoise_to_zero"),
]
DIFF_SAMPLER += [
    Case(solver, "diff-sampler", name, to_zero=False)
    for solver, name in (
        (Pndm(slopes=2), "ipndm max_order=2"),
        (Pndm(slopes=3), "ipndm max_order=3"),
        (Pndm(), "ipndm max_order=4"),
        (Lms(slopes=2), "ipndm_v max_order=2"),
        (Lms(slopes=2), "deis rhoab max_order=1"),
        (Lms(slopes=3), "deis rhoab max_order=2"),
        (Lms(), "deis rhoab max_order=3"),
    )
]
DIFF_SAMPLER += [
    Case(solver, "diff-sampler", f"dpm_pp {name} lower_order_final=False", to_zero=False)
    for solver, name in (
        (Euler(), "max_order=1 predict_x0=True"),
        (Euler(), "max_order=1 predict_x0=False"),
        (DpmPP2M(), "max_order=2 predict_x0=True"),
        (Dpm2M(), "max_order=2 predict_x0=False"),
    )
]
DIFF_SAMPLER += [
    Case(
        UniPC(
            predictor_order=order,
            variant=variant,
            prediction="x0" if x0 else "noise",
            lower_order_final=False,
        ),
        "diff-sampler",
        f"unipc max_order={order} variant={variant} predict_x0={x0} lower_order_final=False",
        to_zero=False,
    )
    for order, variant in ((1, "bh2"), (2, "bh1"), (2, "bh2"), (3, "bh1"), (3, "bh2"))
    for x0 in (True, False)
]
DIFF_SAMPLER += [
    Case(solver, "diff-sampler", name, to_zero=False, differs=differs, reason=reason)
    for solver, name, differs, reason in (
        (Lms(slopes=3), "ipndm_v max_order=3", 8.2e-2, PARENTHESIS),
        (Lms(), "ipndm_v max_order=4", 7.9e-2, PARENTHESIS),
        (Deis(variable="vp-time"), "deis tab max_order=3", 3.6e-4, FITTED),
        (Deis(variable="vp-time"), "deis tab max_order=3 N=10000 beta 0.1 to 20", 1.6e-5, RIEMANN),
        (
            Deis(variable="vp-time"),
            "deis tab max_order=3 N=10000000 beta 0.1 to 20",
            1.6e-8,
            RIEMANN,
        ),
        (
            DpmPP3M(published=True),
            "dpm_pp max_order=3 predict_x0=True lower_order_final=False",
            7e-6,
            SECOND_STEP,
        ),
        (
            Dpm3M(published=True),
            "dpm_pp max_order=3 predict_x0=False lower_order_final=False",
            5.8e-6,
            SECOND_STEP,
        ),
        (
            DpmPP3M(published=True, lower_order_final=True),
            "dpm_pp max_order=3 predict_x0=True",
            0.15,
            RAMP,
        ),
        (UniPC(predictor_order=3), "unipc max_order=3 variant=bh2 predict_x0=True", 0.26, RAMP),
    )
]
