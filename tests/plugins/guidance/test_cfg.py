"""Classifier-free guidance on Gaussians whose mean is the condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Condition, Context, GuidedDenoise, UsageError
from kernel.denoiser import Denoiser
from kernel_plugins.guidance import cfg
from kernel_plugins.guidance.cfg import Cfg
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.solvers.euler import Euler

BATCH, CHANNELS = 3, 4
SIZES: Sequence[tuple[int, ...]] = [(5,), (2, 3)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Exact:
    """x0 ~ N(vector, 1) for each channel: D = mean + (x - mean) / (1 + sigma^2)."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Condition]] = []

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        self.calls.append((len(x), condition))
        assert condition.vector is not None
        mean = condition.vector.view(*condition.vector.shape, *[1] * (x.ndim - 2))
        return mean + (x - mean) / (1 + sigma**2)


class Recording(torch.nn.Module):
    """A network that adds its vector, and counts how often a condition was prepared."""

    prepared = 0

    def prepare(self, condition: Condition) -> Tensor:
        assert condition.vector is not None
        self.prepared += 1
        return condition.vector[..., None]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        return x * c_noise.view(-1, 1, 1) + condition


def given(batch: int = BATCH) -> Condition:
    return Condition(vector=normal(batch, CHANNELS, seed=7))


def wrap(denoise: GuidedDenoise, condition: Condition, **options: Any) -> GuidedDenoise:
    return Cfg(**options).wrap(denoise, Context(condition, (1.0, 0.0)))


def test_is_offered() -> None:
    assert cfg.guidance() is Cfg


def test_needs_a_network_that_knows_the_null_condition() -> None:
    assert Cfg().needs == {"null-condition"}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 2.0, 7.5])
def test_equals_the_formula(size: tuple[int, ...], scale: float) -> None:
    denoise, condition, x, sigma = Exact(), given(), normal(BATCH, CHANNELS, *size), 0.7
    guided = wrap(denoise, condition, guidance_scale=scale)(x, sigma, condition)
    mean = scale * condition.vector.view(BATCH, CHANNELS, *[1] * len(size))  # type: ignore[union-attr]
    shrink = 1 / (1 + sigma**2)
    torch.testing.assert_close(guided, (1 - shrink) * mean + shrink * x)


def test_the_default_moves_away_from_the_null_condition() -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    plain, null = denoise(x, 0.7, condition), denoise(x, 0.7, condition.dropped())
    torch.testing.assert_close(wrap(denoise, condition)(x, 0.7, condition), 2 * plain - null)


def test_both_branches_are_one_evaluation() -> None:
    denoise, condition = Exact(), given()
    wrap(denoise, condition)(normal(BATCH, CHANNELS, 5), 0.7, condition)
    ((items, both),) = denoise.calls
    assert items == 2 * BATCH
    assert condition.vector is not None and both.vector is not None
    assert both.vector[:BATCH].equal(condition.vector)
    assert not both.vector[BATCH:].any()


def test_all_parts_are_dropped_but_the_origin() -> None:
    whole = Condition(
        vector=normal(1, CHANNELS),
        sequence=normal(1, 2, 3),
        mask=torch.ones(1, 2, dtype=torch.bool),
        aligned=normal(1, 2, 5),
        origin=normal(1, CHANNELS, 5),
    )
    denoise = Exact()
    wrap(denoise, whole)(normal(1, CHANNELS, 5), 0.7, whole)
    both = denoise.calls[0][1]
    for name in ("vector", "sequence", "mask", "aligned"):
        part = getattr(both, name)
        assert part[0].any() and not part[1].any()
    assert both.origin is not None and both.origin[0].equal(both.origin[1])


def test_items_do_not_depend_on_their_place_in_the_batch() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    guided = wrap(Exact(), condition, rescale=0.5)(x, 0.7, condition)
    order = torch.tensor([2, 0])
    some = condition.map(lambda part: part[order])
    torch.testing.assert_close(wrap(Exact(), some, rescale=0.5)(x[order], 0.7, some), guided[order])


def test_scale_one_is_the_denoiser_itself() -> None:
    denoise, condition = Exact(), given()
    assert wrap(denoise, condition, guidance_scale=1.0) is denoise


@pytest.mark.parametrize(
    "sigma, inside", [(0.1, False), (0.2, False), (0.21, True), (2.0, True), (2.1, False)]
)
def test_outside_the_interval_the_condition_alone_decides(sigma: float, inside: bool) -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    guided = wrap(denoise, condition, sigma_low=0.2, sigma_high=2.0)(x, sigma, condition)
    assert [items for items, _ in denoise.calls] == [BATCH * (1 + inside)]
    assert guided.equal(denoise(x, sigma, condition)) == (not inside)


def test_without_bounds_every_sigma_is_guided() -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    guided = wrap(denoise, condition)
    for sigma in (1e-6, 1.0, 1e4):
        guided(x, sigma, condition)
    assert [items for items, _ in denoise.calls] == [2 * BATCH] * 3


def test_full_rescaling_restores_the_deviation_of_each_item() -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    options = {"guidance_scale": 6.0}
    full = wrap(denoise, condition, rescale=1.0, **options)(x, 0.7, condition)
    plain = wrap(denoise, condition, **options)(x, 0.7, condition)
    conditional = denoise(x, 0.7, condition)
    torch.testing.assert_close(full.std((1, 2)), conditional.std((1, 2)))
    ratio = full / plain
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    assert (plain.std((1, 2)) > 1.5 * conditional.std((1, 2))).all()


def test_part_rescaling_lies_between() -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    none, part, full = (
        wrap(denoise, condition, rescale=rescale)(x, 0.7, condition) for rescale in (0.0, 0.7, 1.0)
    )
    torch.testing.assert_close(part, 0.7 * full + 0.3 * none)


def test_rescaling_leaves_a_constant_item_finite() -> None:
    condition = Condition(vector=torch.zeros(1, CHANNELS, dtype=torch.float64))
    x = torch.zeros(1, CHANNELS, 5, dtype=torch.float64)
    assert not wrap(Exact(), condition, rescale=1.0)(x, 0.7, condition).any()


def test_a_condition_is_prepared_once_in_a_run() -> None:
    network, condition = Recording(), given()
    denoise = Denoiser(Edm(), network)
    guided = wrap(denoise, condition, sigma_low=0.1)
    x = normal(BATCH, CHANNELS, 5)
    for sigma in (3.0, 1.0, 0.5, 0.2):
        guided(x, sigma, condition)
    assert (network.prepared, denoise.evaluations, denoise.items) == (1, 4, 4 * 2 * BATCH)
    for sigma in (0.1, 0.05):
        guided(x, sigma, condition)
    assert (network.prepared, denoise.evaluations, denoise.items) == (2, 6, 10 * BATCH)


def test_another_condition_is_not_mistaken_for_the_first() -> None:
    denoise, x = Exact(), normal(BATCH, CHANNELS, 5)
    guided = wrap(denoise, given(), guidance_scale=3.0)
    for seed in range(20):
        condition = Condition(vector=normal(BATCH, CHANNELS, seed=seed))
        expected = 3 * denoise(x, 0.7, condition) - 2 * denoise(x, 0.7, condition.dropped())
        torch.testing.assert_close(guided(x, 0.7, condition), expected)


def test_nested_scales_multiply() -> None:
    """D_u + s (D_u + r (D_c - D_u) - D_u): the inner one's null branch is null already."""
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    inner = wrap(denoise, condition, guidance_scale=2.0)
    outer = wrap(inner, condition, guidance_scale=3.0)
    for _ in range(2):
        nested = outer(x, 0.7, condition)
    assert [items for items, _ in denoise.calls] == [4 * BATCH] * 2
    assert denoise.calls[0][1] is denoise.calls[1][1]
    single = wrap(denoise, condition, guidance_scale=6.0)(x, 0.7, condition)
    torch.testing.assert_close(nested, single)


def test_works_around_another_guidance() -> None:
    """What is inside sees both branches; what is outside sees the guided answer."""
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    denoise = Exact()

    def shifted(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return denoise(x, sigma, condition) + 1

    plain = wrap(denoise, condition)(x, 0.7, condition)
    torch.testing.assert_close(wrap(shifted, condition)(x, 0.7, condition), plain + 1)


def test_gradients_pass_through_both_branches() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5).requires_grad_()
    wrap(Exact(), condition, guidance_scale=3.0)(x, 0.7, condition).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 1.49))


def test_nothing_given_is_changed() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    copies = x.clone(), condition.map(torch.clone)
    wrap(Exact(), condition, rescale=1.0)(x, 0.7, condition)
    assert x.equal(copies[0])
    assert condition.vector is not None and copies[1].vector is not None
    assert condition.vector.equal(copies[1].vector)


SIGMAS = (5.0, 2.0, 0.7, 0.2, 0.0)


def word(name: str) -> Condition:
    """Return what a word stands for: a vector of its length, or what no network here takes."""
    if name == "sequence":
        return Condition(sequence=torch.ones(1, 2, 3))
    return Condition(vector=torch.full((1, CHANNELS), float(len(name)), dtype=torch.float64))


def worded(denoise: GuidedDenoise, condition: Condition, **options: Any) -> GuidedDenoise:
    return Cfg(**options).wrap(denoise, Context(condition, SIGMAS, named=word))


def under(name: str, x: Tensor, sigma: float) -> Tensor:
    return Exact()(x, sigma, word(name).map(lambda part: part.expand(len(x), -1)))


def test_a_negative_word_takes_the_place_of_the_null_condition() -> None:
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    found = worded(denoise, condition, guidance_scale=3.0, negative="snare")(x, 0.7, condition)
    conditional, negative = Exact()(x, 0.7, condition), under("snare", x, 0.7)
    torch.testing.assert_close(found, negative + 3 * (conditional - negative))
    assert [items for items, _ in denoise.calls] == [2 * BATCH]


def test_words_are_composed_in_one_evaluation() -> None:
    """Liu et al. 2022, eq. 11, with the run's own condition among the words."""
    denoise, condition, x = Exact(), given(), normal(BATCH, CHANNELS, 5)
    options: dict[str, Any] = {"guidance_scale": 1.5, "compose": {"kick": 2.0, "snare": -0.5}}
    found = worded(denoise, condition, **options)(x, 0.7, condition)
    conditional = Exact()(x, 0.7, condition)
    null = Exact()(x, 0.7, condition.dropped())
    expected = null + 1.5 * (conditional - null)
    expected += 2 * (under("kick", x, 0.7) - null) - 0.5 * (under("snare", x, 0.7) - null)
    torch.testing.assert_close(found, expected)
    assert [items for items, _ in denoise.calls] == [4 * BATCH]


def test_composing_acts_at_the_scale_that_is_no_guidance() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    options: dict[str, Any] = {"guidance_scale": 1.0, "compose": {"kick": 1.0}}
    found = worded(Exact(), condition, **options)(x, 0.7, condition)
    assert not torch.allclose(found, Exact()(x, 0.7, condition))


def test_a_word_keeps_the_origin_and_the_parts_that_it_leaves_open_are_null() -> None:
    whole = Condition(
        vector=normal(BATCH, CHANNELS),
        aligned=normal(BATCH, 2, 5),
        origin=normal(BATCH, CHANNELS, 5, seed=3),
    )
    denoise = Exact()
    worded(denoise, whole, negative="snare")(normal(BATCH, CHANNELS, 5), 0.7, whole)
    told = denoise.calls[0][1].map(lambda part: part[BATCH:])
    assert told.vector is not None and (told.vector == 5).all()
    assert told.aligned is not None and not told.aligned.any()
    assert told.origin is not None and whole.origin is not None and told.origin.equal(whole.origin)


def test_a_part_that_the_run_has_not_is_left_out() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    found = worded(Exact(), condition, negative="sequence")(x, 0.7, condition)
    torch.testing.assert_close(found, wrap(Exact(), condition)(x, 0.7, condition))


def sentence(length: int, value: float, masked: bool = True) -> Condition:
    """Return what a prompt of `length` words stands for."""
    mask = torch.ones(1, length, dtype=torch.bool) if masked else None
    return Condition(sequence=torch.full((1, length, 3), value), mask=mask)


@pytest.mark.parametrize("lengths", [(2, 5), (5, 2)])
@pytest.mark.parametrize("masked", [True, False])
def test_prompts_of_any_lengths_stand_beside_each_other(
    lengths: tuple[int, int], masked: bool
) -> None:
    prompts = {"rain": sentence(lengths[0], 2.0, masked), "wind": sentence(lengths[1], 3.0)}
    prompt = Condition.cat([sentence(3, 1.0), sentence(1, 1.0)])
    condition, denoise = attrs.evolve(prompt, vector=normal(2, CHANNELS)), Exact()
    context = Context(condition, SIGMAS, named=prompts.__getitem__)
    guided = Cfg(negative="rain", compose={"wind": 1.0}).wrap(denoise, context)
    guided(normal(2, CHANNELS, 5), 0.7, condition)
    ((_, told),) = denoise.calls
    assert told.sequence is not None and told.mask is not None
    assert told.mask.sum(1).tolist() == [3, 1, lengths[0], lengths[0], lengths[1], lengths[1]]
    wanted = torch.tensor([1.0, 1, 2, 2, 3, 3])[:, None] * told.mask
    assert told.sequence.equal(wanted[..., None].expand(-1, -1, 3))


def test_a_word_of_another_width_is_refused() -> None:
    context = Context(given(), SIGMAS, named=lambda _: Condition(vector=torch.ones(1, 7)))
    guided = Cfg(negative="rain").wrap(Exact(), context)
    with pytest.raises(UsageError, match="vector part has width 7, the run's has 4; use words of"):
        guided(normal(BATCH, CHANNELS, 5), 0.7, given())


def test_a_task_without_words_is_named_before_the_first_step() -> None:
    with pytest.raises(UsageError, match="word 'kick' and the run has no task with words; leave"):
        wrap(Exact(), given(), compose={"kick": 1.0})


def test_the_cosine_profile_fades_all_guidance_in() -> None:
    """Gao et al. 2023: the scale is 1 at the start; here u = 0, 1/4, 1/2, 3/4."""
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    options: dict[str, Any] = {"guidance_scale": 5.0, "compose": {"kick": 2.0}}
    guided = worded(Exact(), condition, profile="cosine", power=2.0, **options)
    for index, sigma in enumerate(SIGMAS[:-1]):
        share = (1 - math.cos(math.pi * (index / 4) ** 2)) / 2
        conditional = Exact()(x, sigma, condition)
        null = Exact()(x, sigma, condition.dropped())
        expected = null + (1 + 4 * share) * (conditional - null)
        expected += 2 * share * (under("kick", x, sigma) - null)
        torch.testing.assert_close(guided(x, sigma, condition), expected)
        assert torch.allclose(expected, conditional) == (index == 0)


@pytest.mark.parametrize("rescale", [0.0, 0.5])
def test_plus_plus_with_euler_renoises_with_the_unconditional_estimate(rescale: float) -> None:
    """Chung et al. 2024, algorithm 2, in our coordinates: x' = D_g + sigma' (x - D_u) / sigma."""
    condition, x = given(), 5 * normal(BATCH, CHANNELS, 5)
    options = {"guidance_scale": 0.6, "rescale": rescale}
    guided = worded(Exact(), condition, plus_plus=True, **options)
    usual = worded(Exact(), condition, **options)
    steps = Euler().trajectory(
        lambda x, sigma: guided(x, sigma, condition), x, SIGMAS, lambda *_: x
    )
    step = next(steps)
    for sigma, following in pairwise(SIGMAS):
        null = Exact()(x, sigma, condition.dropped())
        x = usual(x, sigma, condition) + following * (x - null) / sigma
        torch.testing.assert_close(step.x, x)
        if following:
            step = steps.send(step.x)


def test_plus_plus_is_not_the_usual_guidance() -> None:
    condition, x = given(), normal(BATCH, CHANNELS, 5)
    for scale in (0.6, 1.0):
        one, other = (
            worded(Exact(), condition, guidance_scale=scale, plus_plus=plus)(x, 0.7, condition)
            for plus in (True, False)
        )
        assert not torch.allclose(one, other)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_run_without_a_condition_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="needs a condition and this run has none; choose a task"):
        wrap(Exact(), Condition(origin=normal(1, CHANNELS, 5)), guidance_scale=scale)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"guidance_scale": -1.0}, "greater than or equal to 0"),
        ({"rescale": 1.5}, "less than or equal to 1"),
        ({"sigma_low": 2.0, "sigma_high": 1.0}, "sigma_low 2.0 is not below sigma_high 1.0"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Cfg(**options)
