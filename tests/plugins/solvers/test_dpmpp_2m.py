from __future__ import annotations

import math

import torch

from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.unipc import UniPC


def test_matches_algorithm_2(mixture, drive, generator):
    sigmas = EdmSchedule().sigmas(9)
    x = 80 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    steps = drive(DpmPP2M(), mixture.denoise, x, sigmas)
    old, h_old = None, 0.0
    for step, sigma in zip(steps, sigmas, strict=False):
        x0 = mixture.denoise(x, sigma)
        if step.sigma == 0:
            x = x0
        else:
            h = -math.log(step.sigma) + math.log(sigma)
            d = x0
            if old is not None:
                r = h_old / h
                d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * old
            x = step.sigma / sigma * x - math.expm1(-h) * d
            old, h_old = x0, h
        torch.testing.assert_close(step.x, x, rtol=1e-12, atol=1e-12)


def test_is_unipc_2_without_its_corrector(mixture, drive, generator):
    sigmas = EdmSchedule().sigmas(9)
    x = 80 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    unipc = UniPC(predictor_order=2, corrector=False)
    end = drive(DpmPP2M(), mixture.denoise, x, sigmas)[-1].x
    torch.testing.assert_close(
        drive(unipc, mixture.denoise, x, sigmas)[-1].x, end, rtol=1e-12, atol=1e-12
    )
