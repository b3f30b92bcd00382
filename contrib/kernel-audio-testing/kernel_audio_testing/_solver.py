"""What solvers are held to, on distributions whose probability flow is known."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from kernel.kinds.solver import Solver
from kernel.values import Step
from kernel_audio_testing._following import (
    CHURN,
    END,
    ROUNDING,
    START,
    Draws,
    Exploding,
    flow,
    grid,
    made,
    mixture_of,
    run,
    start,
    steps_of,
    uneven,
)
from kernel_audio_testing._options import choices, every_option_acts, holds, numbers, together
from kernel_audio_testing._solver_flow import (
    check_drift,
    check_leaps,
    check_moved,
    check_precision,
    check_seen,
    check_smooth,
    check_units,
    check_worth,
)
from kernel_audio_testing._solver_noise import (
    check_bounds,
    check_law,
    check_noise_off,
    check_noise_steps,
    check_variance,
)
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)
from kernel_audio_testing.exact import Gaussian

__all__ = ["CHECKS"]


def check_order(subject: Subject) -> str | None:
    """Check that the error falls with the step as fast as `order` claims."""
    solver = made(subject)
    if solver.stochastic:
        raise Inapplicable("the solver is stochastic; see `distribution`")
    mixture, x = mixture_of(), start()
    wanted = flow()
    errors = []
    for count in (24, 48, 96):
        steps = run(solver, mixture.denoise, x, uneven(count))
        found = next((step for step in steps if step.sigma == END), None)
        if found is None:
            raise Violation("no step reaches the last sigma above 0")
        errors.append(float((found.x - wanted).abs().max()))
    measured = math.log2(errors[1] / max(errors[2], 1e-300))
    fact = f"measured {measured:.2f}, claimed {solver.order}, error {errors[2]:.1e} at 96 steps"
    require(measured > solver.order - 0.3 or errors[2] < 1e-11, fact)
    return fact


def check_distribution(subject: Subject) -> str | None:
    """Check that many small steps end at the mean and the variance of the data."""
    solver = made(subject)
    data = Gaussian(torch.full((1, 256), 0.3).double(), torch.full((1, 256), 0.7).double())
    x = 0.3 + math.hypot(20, 0.7) * normal(16, 1, 256)
    x = 0.3 + (x - x.mean()) * (math.hypot(20, 0.7) / float(x.std()))
    final = run(solver, data.denoise, x, grid(200, 20.0, 0.01))[-1].x
    mean, std = float(final.mean()), float(final.std())
    fact = f"mean {mean:.3f} (0.3), standard deviation {std:.3f} (0.7) after 200 steps"
    require(abs(mean - 0.3) < 0.06 and abs(std / 0.7 - 1) < 0.08, fact)
    return fact


def check_steps(subject: Subject) -> str | None:
    """Check that it yields one step for each pair of sigmas, in order, with the right sigma."""
    solver, mixture, x = made(subject), mixture_of(), start()
    for count in (1, 2, 3, 7):
        sigmas = grid(count)
        steps = run(solver, mixture.denoise, x, sigmas)
        found = [(step.index, step.sigma) for step in steps]
        wanted = [(index, following) for index, (_, following) in enumerate(pairwise(sigmas))]
        require(
            found == wanted,
            f"with {count} steps it reaches {[round(s, 4) for _, s in found]}, not "
            f"{[round(s, 4) for _, s in wanted]}",
        )
    return None


def check_reaches_zero(subject: Subject) -> str | None:
    """Check that for data of one point it ends at that point, without noise."""
    solver = made(subject)
    point = normal(1, 3, seed=5)
    data = Gaussian(point, torch.zeros(1, 3).double())
    for count in (1, 2, 5, 20):
        final = run(solver, data.denoise, point + start(), grid(count))[-1].x
        same(final, point.expand_as(final), f"after {count} steps the state and the data", 1e-8)
    return None


def check_nfe(subject: Subject) -> str | None:
    """Check that it evaluates the denoiser as often as `nfe` says, at sigmas inside the grid."""
    solver, mixture, x = made(subject), mixture_of(), start()
    for count in (1, 2, 3, 10):
        seen: list[float] = []

        def denoise(x: Tensor, sigma: float, seen: list[float] = seen) -> Tensor:
            seen.append(sigma)
            return mixture.denoise(x, sigma)

        run(solver, denoise, x, grid(count))
        strange = [sigma for sigma in seen if type(sigma) is not float or not 0 < sigma < math.inf]
        require(not strange, f"the denoiser is called with sigma {strange[:1]}")
        floor, ceiling = grid(count)[-2] * (1 - ROUNDING), START * (1 + ROUNDING)
        ceiling *= CHURN if solver.stochastic else 1
        wild = [sigma for sigma in seen if not floor <= sigma <= ceiling]
        require(not wild, f"the denoiser is called at sigma {wild[:1]}, outside the grid")
        require(
            len(seen) == solver.nfe(count),
            f"{count} steps take {len(seen)} evaluations and nfe says {solver.nfe(count)}",
        )
    return f"{solver.nfe(10)} evaluations for 10 steps"


def check_shapes(subject: Subject) -> str | None:
    """Check that states with two, three or four axes give the same numbers."""
    solver = made(subject)
    data = Gaussian(torch.tensor(0.2).double(), torch.tensor(0.7).double())
    flat = start(2).repeat(1, 1, 8)
    wanted = run(solver, data.denoise, flat, grid(6), [0, 1])[-1].x
    for shape in ((2, 24), (2, 4, 6), (2, 2, 3, 4)):
        found = run(solver, data.denoise, flat.reshape(shape), grid(6), [0, 1])[-1].x
        require(found.shape == shape, f"a state {shape} becomes {tuple(found.shape)}")
        same(found.reshape(flat.shape), wanted, f"the result for {shape} and {tuple(flat.shape)}")
    return None


def check_dtypes(subject: Subject) -> str | None:
    """Check that the state keeps its floating dtype."""
    solver = made(subject)
    data = Gaussian(torch.tensor(0.2), torch.tensor(0.7))
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for step in run(solver, data.denoise, start().to(dtype), grid(5)):
            require(step.x.dtype == dtype, f"a {dtype} state becomes {step.x.dtype}")
            finite(step.x, f"the state in {dtype}")
    return None


def check_device(subject: Subject) -> str | None:
    """Check that a step is computed on the device of x and never waits for it."""
    solver = made(subject)
    x = torch.empty(2, 3, 8, device="meta")

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x / (1 + sigma**2)

    def noise(sigma: float, following: float) -> Tensor:
        return torch.empty_like(x)

    with on_meta("a step"):
        for step in run(solver, denoise, x, grid(5), noise=noise):
            require_meta(step.x, "the state")
            require_meta(step.x0, "the x0 of a step")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that it changes no input and draws from no global generator."""
    solver, mixture, x = made(subject), mixture_of(), start()
    returned: list[tuple[Tensor, Tensor]] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        with unchanged(**{"the denoiser's input": x}):
            x0 = mixture.denoise(x, sigma)
        returned.append((x0, x0.clone()))
        return x0

    sigmas = list(grid(6))
    with generator_untouched("the solver"), unchanged(x=x):
        run(solver, denoise, x, sigmas)
    require(sigmas == list(grid(6)), "the list of sigmas is changed in place")
    for found, before in returned:
        require(torch.equal(found, before), "what the denoiser returned is changed in place")
    return None


def check_repeatable(subject: Subject) -> str | None:
    """Check that the same noise gives the same result, in interleaved runs too."""
    solver, mixture = made(subject), mixture_of()
    first, second = start(), normal(3, 1, 3, seed=9) * START
    wanted = [run(solver, mixture.denoise, x, grid(6))[-1].x for x in (first, second)]
    again = run(solver, mixture.denoise, first, grid(6))[-1].x
    require(torch.equal(again, wanted[0]), "a second run of the same gives another result")
    runs = zip(
        steps_of(solver, mixture.denoise, first, grid(6)),
        steps_of(solver, mixture.denoise, second, grid(6)),
        strict=True,
    )
    *_, last = runs
    for step, alone in zip(last, wanted, strict=True):
        require(torch.equal(step.x, alone), "two interleaved runs disturb each other")
    return None


def check_batch(subject: Subject) -> str | None:
    """Check that an item's result does not depend on its batch."""
    solver, mixture, x = made(subject), mixture_of(), start()
    together = run(solver, mixture.denoise, x, grid(6))[-1].x
    for item in range(len(x)):
        one = slice(item, item + 1)
        alone = run(solver, mixture.denoise, x[one], grid(6), [item])[-1].x
        same(together[one], alone, "the result of an item in a batch and alone")
    return None


def check_send(subject: Subject) -> str | None:
    """Check that it continues from the state that is sent back, not from its own."""
    solver, mixture, x = made(subject), mixture_of(), start()

    def moved(step: Step) -> Tensor:
        return step.x + 1.0 if step.index == 4 else step.x

    kept = run(solver, mixture.denoise, x, grid(8))
    corrected = run(solver, mixture.denoise, x, grid(8), correct=moved)
    require(torch.equal(kept[4].x, corrected[4].x), "a step depends on what is sent after it")
    change = float((kept[5].x - corrected[5].x).abs().min())
    require(change > 1e-3, "a state that is sent back makes no difference to the next step")
    return None


def check_noise(subject: Subject) -> str | None:
    """Check that it draws noise exactly if `stochastic` is true."""
    solver, mixture, x = made(subject), mixture_of(), start()
    draws = Draws(solver, x)
    trajectory = solver.trajectory(mixture.denoise, x, grid(8), draws)
    step = next(trajectory)
    for _ in range(7):
        step = trajectory.send(step.x)
    trajectory.close()
    if solver.stochastic:
        require(draws.count > 0, "it says that it is stochastic and draws no noise")
        return f"{draws.count} draws in 8 steps"
    return None


def check_loop(subject: Subject) -> str | None:
    """Check that a plain loop over a trajectory makes the steps that `send` makes."""
    solver, mixture, sigmas = made(subject), mixture_of(), grid(4)
    x = start()
    sent = run(solver, mixture.denoise, x, sigmas)
    for index, step in enumerate(solver.trajectory(mixture.denoise, x, sigmas, Draws(solver, x))):
        same(step.x, sent[index].x, f"step {index} of a loop and of one that sends the state back")
    return None


def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""
    x, mixture = start(), mixture_of()
    leap = (*grid(40)[:5], *grid(4)[1:])  # some options are for grids that leap

    def observe(solver: Solver) -> list[Tensor | float]:
        found: list[Tensor | float] = []
        for sigmas in (grid(2), grid(8), uneven(9), leap):
            steps = run(solver.along(Exploding(), None), mixture.denoise, x, sigmas)
            found += [steps[-1].x, float(solver.nfe(len(sigmas) - 1))]
        return found

    return every_option_acts(subject, observe)


def check_choices(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises about numbers.

    Orders and evaluations are measured under each choice, boolean and whole number: another number
    may be meant to change them.
    """
    every = list(choices(subject, whole=True))
    for each in every:
        holds(each, order=check_order, law=check_law, noise_steps=check_noise_steps, nfe=check_nfe)
    for each in choices(subject):
        holds(
            each,
            variance=check_variance,
            worth=check_worth,
            smooth=check_smooth,
        )
    near = [*every, *numbers(subject), *together(subject)]
    for each in near:
        holds(
            each,
            steps=check_steps,
            reaches_zero=check_reaches_zero,
            seen=check_seen,
            moved=check_moved,
            batch=check_batch,
        )
    return f"{len(near)} others"


CHECKS = (
    check_order,
    check_smooth,
    check_distribution,
    check_steps,
    check_reaches_zero,
    check_nfe,
    check_shapes,
    check_dtypes,
    check_device,
    check_pure,
    check_repeatable,
    check_batch,
    check_send,
    check_loop,
    check_noise,
    check_law,
    check_variance,
    check_noise_off,
    check_bounds,
    check_noise_steps,
    check_seen,
    check_moved,
    check_worth,
    check_leaps,
    check_units,
    check_precision,
    check_drift,
    check_options,
    check_choices,
)
