from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from kernel import AudioSpec, Item, LatentSpace, LatentSpec, Measurement, UsageError, resample
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.mathematics.losses import l1, l2
from kernel_plugins.tasks._edit import Edit, Edited
from kernel_plugins.tasks._filters import (
    Filter,
    LowPass,
    Resample,
    RoomResponse,
    StftMagnitude,
    Whitened,
    low_pass_taps,
)
from kernel_plugins.tasks._measure import measure
from kernel_plugins.tasks._operators import (
    Clip,
    Linear,
    Mask,
    MonoFromStereo,
    Operator,
    Quantise,
    SumOfSources,
)

ITEMS, CHANNELS, SAMPLES = 4, 2, 96


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def each(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


KEEP = draw(ITEMS, 1, SAMPLES, seed=1) > 0
ROOM = draw(1, 1, 20, seed=2) * torch.exp(-torch.arange(20) / 4) * 0.3
ROOM[..., 3] = 1.0
CUTOFFS = each(0.1, 0.33, 0.5, 1.0)

EXACT: dict[str, Operator] = {
    "mask": Mask(KEEP),
    "low-pass": LowPass(CUTOFFS),
    "clip": Clip(each(-0.3, -0.5, -math.inf, -1), each(0.5, 0.3, 0.2, math.inf)),
    "quantise": Quantise(each(0.1, 0.5, 1.0, 2.0)),
    "mono": MonoFromStereo(),
    "sum": SumOfSources(2),
}
LINEAR: dict[str, Linear] = {
    **{name: each for name, each in EXACT.items() if isinstance(each, Linear)},
    "filter": Filter(low_pass_taps(0.4, 31), 15),
    "room": RoomResponse(ROOM, 3),
    "room heard in part": RoomResponse(ROOM, 3, KEEP),
    "half rate": Resample(8000, 4000),
    "two thirds": Resample(24000, 16000),
    "double rate": Resample(4000, 8000),
    "whitened": Whitened(draw(ITEMS, 1, 17, seed=4).abs()),
}
EVERY: dict[str, Operator] = {**EXACT, **LINEAR, "magnitude": StftMagnitude(16, 4)}


@pytest.mark.parametrize("name", LINEAR)
def test_the_adjoint_of_a_linear_operator_gives_the_same_products(name: str) -> None:
    operator, x = LINEAR[name], draw(ITEMS, CHANNELS, SAMPLES)
    y = draw(*operator(x).shape, seed=3)
    there, back = (operator(x) * y).sum(), (x * operator.adjoint(y, SAMPLES)).sum()
    torch.testing.assert_close(there, back, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_operator_is_linear(name: str) -> None:
    operator = LINEAR[name]
    x, z = draw(ITEMS, CHANNELS, SAMPLES), draw(ITEMS, CHANNELS, SAMPLES, seed=5)
    torch.testing.assert_close(operator(x - 2 * z), operator(x) - 2 * operator(z))


@pytest.mark.parametrize("name", EXACT)
def test_what_is_projected_measures_as_the_target_and_stays_when_projected_again(name: str) -> None:
    operator = EXACT[name]
    target = operator(draw(ITEMS, CHANNELS, SAMPLES))
    nearest = operator.project(draw(ITEMS, CHANNELS, SAMPLES, seed=6), target)
    torch.testing.assert_close(operator(nearest), target, rtol=0, atol=1e-13)
    torch.testing.assert_close(operator.project(nearest, target), nearest, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", EXACT)
def test_projecting_moves_no_further_than_to_the_true_sound_and_nearer_to_it(name: str) -> None:
    operator, truth = EXACT[name], draw(ITEMS, CHANNELS, SAMPLES)
    guess = draw(ITEMS, CHANNELS, SAMPLES, seed=6)
    nearest = operator.project(guess, operator(truth))
    # Pythagoras for a projection onto a convex set, of which the truth is a member.
    moved, left = (guess - nearest).square().sum(), (nearest - truth).square().sum()
    slack = operator.step.max() * 1e-4 * guess.numel() if isinstance(operator, Quantise) else 1e-9
    assert moved + left <= (guess - truth).square().sum() + slack


@pytest.mark.parametrize("name", ["mask", "low-pass", "mono", "sum"])
def test_an_orthogonal_projection_changes_as_little_as_conjugate_gradients_do(name: str) -> None:
    operator = LINEAR[name]
    x, target = draw(ITEMS, CHANNELS, SAMPLES), operator(draw(ITEMS, CHANNELS, SAMPLES, seed=6))
    torch.testing.assert_close(
        Linear.project(operator, x, target), operator.project(x, target), rtol=0, atol=1e-2
    )


def test_a_filter_is_undone_up_to_its_stop_band() -> None:
    truth = LowPass(each(0.3))(draw(1, 1, 512))
    operator = Filter(low_pass_taps(0.5, 101), 50)
    guess = operator.project(torch.zeros_like(truth), operator(truth))
    inner = slice(100, -100)
    torch.testing.assert_close(guess[..., inner], truth[..., inner], rtol=0, atol=2e-2)


def test_resampling_is_undone_up_to_its_stop_band() -> None:
    truth = LowPass(each(0.4))(draw(1, 1, 512))
    operator = Resample(8000, 4000)
    target = operator(truth)
    guess = operator.project(draw(1, 1, 512, seed=7), target)
    before = (operator(draw(1, 1, 512, seed=7)) - target).norm()
    assert (operator(guess) - target).norm() < 0.02 * before
    assert torch.equal(target, resample(truth, 8000, 4000))


def test_a_room_is_undone_about_as_far_as_it_passes_sound() -> None:
    truth, operator = draw(1, 1, 256), RoomResponse(ROOM, 3)
    target = operator(truth)
    guess = operator.project(torch.zeros_like(truth), target)
    assert (guess - truth).norm() < 0.2 * (target - truth).norm()
    assert (operator(guess) - target).norm() < 0.01 * target.norm()


def test_a_room_that_is_heard_in_part_leaves_the_rest_alone() -> None:
    keep = torch.arange(200)[None, None] < 100
    operator = RoomResponse(ROOM, 3, keep)
    x = draw(1, 1, 200)
    nearest = operator.project(x, operator(draw(1, 1, 200, seed=8)))
    change = (nearest - x).abs()
    assert change[..., 100 + 3 + 1 :].max() < 1e-12 < 0.1 < change[..., :100].max()


def test_a_room_is_a_convolution_from_the_direct_sound_on() -> None:
    click = torch.zeros(1, 1, 40, dtype=torch.float64)
    click[..., 10] = 1
    heard = RoomResponse(ROOM, 3)(click)
    expected = torch.zeros(40, dtype=torch.float64)
    expected[7:27] = ROOM[0, 0]
    torch.testing.assert_close(heard[0, 0], expected, rtol=0, atol=1e-14)
    assert int(heard.argmax()) == 10


def test_a_low_pass_keeps_tones_below_its_cutoff_and_removes_those_above() -> None:
    time = torch.arange(800, dtype=torch.float64) / 8000
    low, high = (torch.sin(2 * torch.pi * f * time)[None, None] for f in (1000, 2010))
    torch.testing.assert_close(LowPass(each(0.5))(low + high), low, rtol=0, atol=1e-12)
    torch.testing.assert_close(LowPass(each(0.51))(low + high), low + high, rtol=0, atol=1e-12)


def test_whitening_gives_noise_of_its_spectrum_the_same_power_everywhere() -> None:
    spectrum = torch.linspace(0.5, 4, 65, dtype=torch.float64)
    white = draw(200, 1, 128)
    noise = torch.fft.irfft(torch.fft.rfft(white) * spectrum.sqrt(), 128)
    found = Whitened(spectrum.rsqrt()[None, None])(noise)
    torch.testing.assert_close(found, white)


@pytest.mark.parametrize("name", sorted({*EVERY} - {"quantise"}))
def test_gradients_are_those_of_differences(name: str) -> None:
    operator = EVERY[name]
    x = draw(ITEMS, CHANNELS, 24 if name == "magnitude" else SAMPLES).requires_grad_()
    direction = draw(*x.shape, seed=9)
    step, weight = 1e-6, draw(*operator(x).shape, seed=10)
    (gradient,) = torch.autograd.grad((operator(x) * weight).sum(), x)
    up, down = (operator(x.detach() + s * step * direction) for s in (1, -1))
    numeric = ((up - down) * weight).sum() / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-6, atol=1e-6)
    assert operator.differentiable


def test_magnitudes_have_a_finite_gradient_at_silence() -> None:
    x = torch.zeros(1, 1, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(StftMagnitude(16, 4)(x).sum(), x)
    assert gradient.isfinite().all()


def test_quantising_has_no_gradient() -> None:
    operator, x = Quantise(each(0.5)), draw(1, 1, 8).requires_grad_()
    assert not operator(x).requires_grad
    assert not operator.differentiable


def test_magnitudes_that_a_sound_has_are_reached_from_its_own_phases_at_once() -> None:
    truth, operator = draw(2, 2, 64), StftMagnitude(16, 4)
    torch.testing.assert_close(operator.project(3 * truth, operator(truth)), truth)


def test_projecting_magnitudes_comes_nearer_to_them() -> None:
    operator = StftMagnitude(16, 4)
    target, guess = operator(draw(1, 1, 64)), draw(1, 1, 64, seed=11)
    distances = []
    for _ in range(4):
        distances.append(float(l2(operator(guess), target)))
        guess = operator.project(guess, target)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.7 * distances[0]


def test_a_clipped_sample_keeps_what_lies_beyond_the_bound() -> None:
    clip = Clip(each(-1), each(1))
    target, guess = torch.tensor([[[1.0, 1, -1, -1, 0.5]]]), torch.tensor([[[2.0, 0, -3, 0, 9]]])
    expected = torch.tensor([[[2.0, 1, -3, -1, 0.5]]])
    assert torch.equal(clip.project(guess, target), expected)


def test_the_likelihood_of_a_mixture_is_counted_once() -> None:
    sources, noise = draw(6, 1, 50), 0.3
    mixture = draw(2, 1, 50, seed=12)
    exact = (sources.view(2, 3, 1, 50).sum(1) - mixture).square().sum() / noise**2
    target = (mixture / 3).repeat_interleave(3, 0)
    found = (SumOfSources(3)(sources) - target).square().sum() / (noise**2 / 3)
    torch.testing.assert_close(found, exact)


def space(gain: float, copies: int = 1) -> LatentSpace:
    """Return a space of audio repeated `copies` times, `gain` softer, as a latent."""
    return LatentSpace(
        AudioSpec(8000, CHANNELS),
        SAMPLES,
        LatentSpec(CHANNELS * copies, (SAMPLES,)),
        lambda audio: audio.double().repeat(1, copies, 1) / gain,
        lambda x0, samples: x0.view(len(x0), copies, CHANNELS, -1).mean(1)[..., :samples] * gain,
        lambda _: lambda audio, rate: audio.mean(2),
        torch.float64,
        torch.device("cpu"),
    )


@pytest.mark.parametrize("gain", [0.05, 3.0])
def test_a_measurement_is_in_the_units_of_the_latent(gain: float) -> None:
    known = measure(space(gain), Mask(KEEP), draw(ITEMS, CHANNELS, SAMPLES) * gain, noise=0.1)
    x0 = draw(ITEMS, CHANNELS, SAMPLES, seed=1).requires_grad_()
    torch.testing.assert_close(known.operator(x0), x0 * KEEP)
    torch.testing.assert_close(known.target, draw(ITEMS, CHANNELS, SAMPLES))
    assert known.noise == pytest.approx(0.1 / gain)
    assert known.project is not None
    torch.testing.assert_close(known.project(x0), torch.where(KEEP, known.target, x0))


def test_a_measurement_goes_through_a_codec_whose_latent_is_larger() -> None:
    truth = draw(ITEMS, CHANNELS, SAMPLES)
    known = measure(space(0.1, copies=2), LowPass(CUTOFFS), LowPass(CUTOFFS)(truth))
    assert known.project is not None
    nearest = known.project(draw(ITEMS, 2 * CHANNELS, SAMPLES, seed=1))
    torch.testing.assert_close(known.operator(nearest), known.target)


def test_a_measurement_has_the_noise_of_each_item() -> None:
    levels = torch.tensor([0.1, 0.2, 0.3, 0.4])
    known = measure(space(0.5), Mask(KEEP), draw(ITEMS, CHANNELS, SAMPLES), noise=levels)
    assert isinstance(known.noise, Tensor)
    torch.testing.assert_close(known.noise, levels.double().view(-1, 1, 1) / 0.5)


def test_what_cannot_be_projected_gives_a_measurement_without_a_projection() -> None:
    weight = torch.ones(1, 1, 9)
    assert (
        measure(space(1), Whitened(weight), torch.zeros(ITEMS, CHANNELS, SAMPLES)).project is None
    )


def test_distances_are_those_of_each_item() -> None:
    a, b = torch.zeros(2, 1, 2), torch.tensor([[[3.0, -4.0]], [[0.0, 1.0]]])
    assert l1(a, b).tolist() == [7, 1]
    assert l2(a, b).tolist() == [5, 1]


@pytest.mark.parametrize("name", ["filter", "half rate", "room"])
def test_noise_in_the_target_is_not_blown_up(name: str) -> None:
    operator = LINEAR[name]
    silence = torch.zeros(ITEMS, CHANNELS, SAMPLES, dtype=torch.float64)
    noise = draw(*operator(silence).shape)
    assert operator.project(silence, noise).norm() < 16 * noise.norm()


def test_a_sound_that_agrees_already_is_not_changed_by_rounding() -> None:
    x = torch.randn(2, 1, 200, generator=torch.Generator().manual_seed(0))
    operator = RoomResponse(ROOM.float(), 3)
    torch.testing.assert_close(operator.project(x, operator(x)), x, rtol=0, atol=1e-5)
    assert torch.equal(operator.project(torch.zeros_like(x), torch.zeros_like(x)), 0 * x)


class Measured(Edit):
    """An edit of which an operator and the length of its target are given."""

    short: bool = False
    operator: ClassVar[Operator] = Quantise(torch.full((1, 1, 1), 0.1))

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"measurement"})

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement:
        target = torch.zeros(len(items), 1, space.samples - 100 * self.short)
        return measure(space, self.operator, target)


def test_an_operator_without_a_gradient_is_refused_under_a_guidance_that_follows_one(
    save: Callable[..., Path], run: Callable[..., list[Tensor]]
) -> None:
    task = Measured(sample_rate=8000, seconds=0.1)
    path = save(0.1 * draw(1, 800).float())
    with pytest.raises(
        UsageError, match=r"dps follows a gradient, but .* has none .* that projects"
    ):
        run(task, [path], guidance=Dps())
    (found,) = run(task, [path], guidance=Projection())
    request = task.requests([path], 1)[0]
    assert isinstance(request, Edited)
    assert (found * request.gain).abs().max() <= 0.051


def test_a_target_of_another_length_is_refused(
    save: Callable[..., Path], run: Callable[..., list[Tensor]]
) -> None:
    path = save(0.1 * draw(1, 800).float())
    message = r"measures \(1, 800\) values .* target has \(1, 700\); both have to be of the same"
    with pytest.raises(UsageError, match=message):
        run(Measured(sample_rate=8000, seconds=0.1, short=True), [path], guidance=Projection())
