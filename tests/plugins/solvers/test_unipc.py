from __future__ import annotations

import itertools
import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Denoise
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.rf import RfSchedule
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.unipc import UniPC


def reference(options: UniPC, denoise: Denoise, x: Tensor, sigmas: list[float]) -> list[Tensor]:
    """Return the predicted states by the formulas of the paper, one line of it at a time."""
    lam = [-math.log(sigma) for sigma in sigmas[:-1]]
    x0_form = options.prediction == "x0"

    def evaluate(state: Tensor, index: int) -> Tensor:
        x0 = denoise(state, sigmas[index])
        return x0 if x0_form else (state - x0) / sigmas[index]

    states, m = [], [evaluate(x, 0)]
    steps = len(sigmas) - 1
    for i in range(steps - 1):
        p = min(i + 1, options.predictor_order)
        if options.lower_order_final:
            p = min(p, steps - i)
        h = lam[i + 1] - lam[i]
        z = -h if x0_form else h
        big_b = z if options.variant == "bh1" else math.expm1(z)
        if x0_form:
            a, base = 1.0, sigmas[i + 1] / sigmas[i] * x - math.expm1(-h) * m[i]
        else:
            a, base = sigmas[i + 1], x - sigmas[i + 1] * math.expm1(h) * m[i]
        r = [(lam[i - k] - lam[i]) / h for k in range(1, p)] + [1.0]
        d1 = [(m[i - k] - m[i]) / r[k - 1] for k in range(1, p)]
        rows = torch.tensor([[rk**j for rk in r] for j in range(p)], dtype=torch.float64)
        phi, b = math.expm1(z) / z, []
        for j in range(1, p + 1):
            phi = (phi - 1 / math.factorial(j)) / z
            b.append(math.factorial(j) * z * phi / big_b)
        right = torch.tensor(b, dtype=torch.float64)
        if p == 2:
            rho_p = [0.5]
        else:
            rho_p = torch.linalg.solve(rows[:-1, :-1], right[:-1]).tolist() if p > 2 else []
        predicted = base - a * big_b * sum(rho * d for rho, d in zip(rho_p, d1, strict=True))
        states.append(predicted)
        m.append(evaluate(predicted, i + 1))
        x = predicted
        if options.corrector:
            *rho_c, last = [0.5] if p == 1 else torch.linalg.solve(rows, right).tolist()
            total = sum(rho * d for rho, d in zip(rho_c, d1, strict=True))
            x = base - a * big_b * (total + last * (m[i + 1] - m[i]))
    return [*states, denoise(states[-1], sigmas[-2])]


OPTIONS = [
    UniPC(
        predictor_order=order,
        corrector=corrector,
        variant=variant,
        prediction=prediction,
        lower_order_final=lower,
        leap_ratio=None,
    )
    for order, corrector, variant, prediction, lower in itertools.product(
        (1, 2, 3, 4), (True, False), ("bh1", "bh2"), ("x0", "noise"), (True, False)
    )
]


@pytest.mark.parametrize("solver", OPTIONS, ids=lambda s: "-".join(str(v) for _, v in s))
@pytest.mark.parametrize("schedule", [EdmSchedule(sigma_max=20), RfSchedule()], ids=["edm", "rf"])
def test_matches_the_formulas_of_the_paper(solver, schedule, mixture, drive, generator):
    sigmas = schedule.sigmas(9)
    x = sigmas[0] * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    expected = reference(solver, mixture.denoise, x, sigmas)
    steps = drive(solver, mixture.denoise, x, sigmas)
    for step, state in zip(steps, expected, strict=True):
        torch.testing.assert_close(step.x, state, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("corrector", [True, False], ids=["corrected", "uncorrected"])
@pytest.mark.parametrize("prediction", ["x0", "noise"])
def test_steps_with_a_full_past_have_the_order_of_the_paper(
    order, corrector, prediction, gaussian, drive, generator
):
    """Start with steps so short that their lower order does not show, and double them."""
    solver = UniPC(
        predictor_order=order,
        corrector=corrector,
        prediction=prediction,
        lower_order_final=False,
        leap_ratio=None,
    )
    x = gaussian.sample(4, generator)
    errors = []
    for steps, doublings in ((32, 12), (64, 15)):
        h = 2 / steps
        start = [h / 2**k for k in range(doublings, 0, -1)]
        lam = [0.0, *itertools.accumulate([*start, *[h] * steps])]
        sigmas = [math.exp(-value) for value in lam]
        state = drive(solver, gaussian.denoise, x, [*sigmas, 0.0])[-2].x
        errors.append(float((state - gaussian.flow(x, 1.0, sigmas[-1])).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order + corrector, abs=0.2)


def test_both_predictions_agree_in_the_limit(mixture, drive, generator):
    x = mixture.sample(4, generator)
    sigmas = [*(0.05 ** (index / 100) for index in range(101)), 0.0]
    ends = [
        drive(UniPC(predictor_order=3, prediction=prediction), mixture.denoise, x, sigmas)[-1].x
        for prediction in ("x0", "noise")
    ]
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction", ["x0", "noise"])
def test_order_1_without_corrector_is_euler(prediction, mixture, drive, generator):
    sigmas = EdmSchedule().sigmas(8)
    x = 80 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    solver = UniPC(predictor_order=1, corrector=False, prediction=prediction)
    end = drive(solver, mixture.denoise, x, sigmas)[-1].x
    torch.testing.assert_close(
        end, drive(Euler(), mixture.denoise, x, sigmas)[-1].x, rtol=1e-11, atol=1e-11
    )


def test_x0_prediction_is_exact_for_a_denoiser_cubic_in_ln_sigma(drive):
    def denoise(x: Tensor, sigma: float) -> Tensor:
        lam = -math.log(sigma)
        return x.new_full(x.shape, 1 + lam - 2 * lam**2 + lam**3)

    def particular(sigma: float) -> float:
        """Return the polynomial solution of dx/dlam = D - x."""
        lam = -math.log(sigma)
        return -10 + 11 * lam - 5 * lam**2 + lam**3

    sigmas = [math.exp(-lam) for lam in (0.0, 0.1, 0.35, 0.5, 0.8, 1.0, 1.4)]
    solver = UniPC(predictor_order=4, lower_order_final=False, leap_ratio=None)
    x = torch.ones(1, 1, 1, dtype=torch.float64)
    states = [float(step.x) for step in drive(solver, denoise, x, [*sigmas, 0.0])]
    # What the shorter start got wrong is a solution of dx/dlam = -x and shrinks like sigma.
    for index in (4, 5):
        before = states[index - 1] - particular(sigmas[index])
        after = states[index] - particular(sigmas[index + 1])
        assert after == pytest.approx(before * sigmas[index + 1] / sigmas[index], rel=1e-11)


def test_lower_order_final_helps_where_ln_sigma_leaps(mixture, drive, generator):
    sigmas = RfSchedule(sigma_max=20).sigmas(16)
    x = mixture.sample(8, generator)
    x += sigmas[0] * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    truth = mixture.flow(x, sigmas[0], 0.0)
    plain, lowered = (
        float((drive(solver, mixture.denoise, x, sigmas)[-1].x - truth).norm())
        for solver in (
            UniPC(predictor_order=4, lower_order_final=lower, leap_ratio=None)
            for lower in (False, True)
        )
    )
    assert lowered < plain / 1.5


@pytest.mark.parametrize(
    "options",
    [{"predictor_order": 0}, {"predictor_order": 5}, {"variant": "bh3"}, {"prediction": "v"}],
    ids=str,
)
def test_refuses_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        UniPC(**options)
