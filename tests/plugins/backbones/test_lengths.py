"""What the backbones hear of padding, of an origin, and of two times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from kernel import Backbone, Condition, ConditionSpec, LatentSpec, UsageError
from kernel_plugins.backbones._layers import PaddedGroupNorm
from kernel_plugins.backbones.dit import Dit
from kernel_plugins.backbones.unet import Unet

BATCH, CHANNELS = 3, 3
SPEC = ConditionSpec(vector=4, sequence=6, aligned=2, origin=CHANNELS)
LENGTHS = (5, 9, 14)

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "dit": lambda **options: Dit(**{"width": 32, "depth": 2, "heads": 4, "patch": 2, **options}),
    "unet": lambda **options: Unet(
        **{"width": 16, "multipliers": (1, 2), "blocks": 1, "heads": 2, "groups": 4, **options}
        | {"attention_levels": (0, 1)}
    ),
}
each_backbone = pytest.mark.parametrize("backbone", BACKBONES)
each_latent = pytest.mark.parametrize("bins", [(), (9,)], ids=["1d", "2d"])


def normal(*shape: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def build(backbone: str, size: tuple[int, ...], spec: ConditionSpec, **options: Any) -> nn.Module:
    """Return a network in float64 with no weight at zero, as after some training."""
    network = BACKBONES[backbone](**options).build(LatentSpec(CHANNELS, size), spec)
    for index, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, 0, 0.2, generator=torch.Generator().manual_seed(index))
    return network.double().eval()


def call(network: nn.Module, x: Tensor, c_noise: Tensor, given: Condition) -> Tensor:
    output: Tensor = network(x, c_noise, network.prepare(given))
    return output


def padded(bins: tuple[int, ...], frames: int) -> tuple[Tensor, Tensor, Condition]:
    """Return items of `LENGTHS` in a batch of `frames`, with garbage in the padding."""
    valid = torch.arange(frames) < torch.tensor(LENGTHS)[:, None]
    shown = valid.view(BATCH, *[1] * len(bins), 1, frames)

    def cut(channels: int, garbage: float, seed: int) -> Tensor:
        whole = normal(BATCH, channels, *bins, LENGTHS[-1], seed=seed)
        longer = nn.functional.pad(whole, (0, frames - LENGTHS[-1]))
        return torch.where(shown, longer, garbage)

    given = Condition(
        vector=normal(BATCH, 4),
        sequence=normal(BATCH, 5, 6),
        mask=torch.arange(5) < torch.tensor([[5], [3], [1]]),
        aligned=cut(2, torch.nan, 3),
        origin=cut(CHANNELS, torch.inf, 4),
        valid=valid,
    )
    return cut(CHANNELS, 1e3, 5), torch.linspace(-1, 1, BATCH).double(), given


def alone(given: Condition, item: int, length: int) -> Condition:
    """Return the condition of one item at its own length."""
    one = given.map(lambda part: part[item, None])
    assert one.aligned is not None and one.origin is not None and one.valid is not None
    return attrs.evolve(
        one,
        aligned=one.aligned[..., :length],
        origin=one.origin[..., :length],
        valid=one.valid[:, :length],
    )


@each_backbone
@each_latent
@pytest.mark.parametrize("options", [{}, {"patch": 3, "patch_2d": (4, 3)}], ids=["fine", "coarse"])
def test_an_item_depends_neither_on_its_padding_nor_on_the_others(
    backbone: str, bins: tuple[int, ...], options: dict[str, Any]
) -> None:
    options = options if backbone == "dit" else {"patch": options.get("patch", 1)}
    network = build(backbone, (*bins, 14), SPEC, **options)
    x, c_noise, given = padded(bins, 14)
    found = call(network, x, c_noise, given)
    more, _, told = padded(bins, 23)
    longer = call(network, more, c_noise, told)
    for item, length in enumerate(LENGTHS):
        x_alone = x[item, None, ..., :length]
        wanted = call(network, x_alone, c_noise[item, None], alone(given, item, length))[0]
        assert wanted.isfinite().all()
        torch.testing.assert_close(found[item, ..., :length], wanted)
        torch.testing.assert_close(longer[item, ..., :length], wanted)


@each_backbone
@each_latent
@pytest.mark.parametrize("length", [14, 13])
def test_whatever_holds_something_everywhere_is_as_without_a_mask(
    backbone: str, bins: tuple[int, ...], length: int
) -> None:
    network = build(backbone, (*bins, 14), SPEC)
    x, c_noise, padded_ones = padded(bins, 14)
    item = alone(padded_ones, 2, length)
    found = call(network, x[2:, ..., :length], c_noise[2:], item)
    plain = call(network, x[2:, ..., :length], c_noise[2:], attrs.evolve(item, valid=None))
    torch.testing.assert_close(found, plain)


@each_backbone
def test_an_origin_is_seen_beside_x(backbone: str) -> None:
    spec = ConditionSpec(origin=CHANNELS)
    network, x = build(backbone, (8,), spec), normal(BATCH, CHANNELS, 8)
    c_noise = torch.zeros(BATCH).double()
    origin = normal(BATCH, CHANNELS, 8, seed=4)
    found = call(network, x, c_noise, Condition(origin=origin))
    other = call(network, x, c_noise, Condition(origin=2 * origin))
    assert (found - other).abs().flatten(1).amax(1).gt(1e-3).all()


@each_backbone
def test_a_network_that_is_not_shown_the_origin_does_not_see_it(backbone: str) -> None:
    network, x = build(backbone, (8,), ConditionSpec()), normal(BATCH, CHANNELS, 8)
    c_noise = torch.zeros(BATCH).double()
    found = call(network, x, c_noise, Condition(origin=x))
    assert found.equal(call(network, x, c_noise, Condition()))


@each_backbone
def test_a_network_of_two_times_hears_both(backbone: str) -> None:
    network = build(backbone, (8,), ConditionSpec(), times=2)
    assert BACKBONES[backbone](times=2).offers == {"two-times"}
    x, times = normal(1, CHANNELS, 8), torch.tensor([[0.3, 0.0]]).double()
    found = call(network, x, times, Condition())
    for change in ([[0.1, 0.0]], [[0.0, 0.1]]):
        other = call(network, x, times + torch.tensor(change), Condition())
        assert not torch.allclose(found, other)


@each_backbone
def test_a_network_of_one_time_keeps_its_state_dict(backbone: str) -> None:
    spec = ConditionSpec(vector=4)
    one, two = (build(backbone, (8,), spec, times=times).state_dict() for times in (1, 2))
    assert BACKBONES[backbone]().offers == frozenset()
    differ = {name for name in one if one[name].shape != two[name].shape}
    assert one.keys() == two.keys() and differ == {"noise.first.weight"}
    assert not any("origin" in name for name in one)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bins", [(), (6,)])
def test_a_norm_counts_what_is_not_padding(affine: bool, bins: tuple[int, ...]) -> None:
    norm = PaddedGroupNorm(2, 4, affine=affine).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    x = normal(2, 4, *bins, 10)
    padding = torch.arange(10).view(1, *[1] * len(bins), 1, 10) >= torch.tensor([10, 7]).view(
        2, *[1] * len(bins), 1, 1
    )
    found = norm(x, padding)
    torch.testing.assert_close(found[0], norm(x)[0])
    torch.testing.assert_close(found[1, ..., :7], norm(x[1, None, ..., :7])[0])


def test_an_origin_of_another_width_is_refused() -> None:
    network = BACKBONES["dit"]().build(LatentSpec(CHANNELS, (8,)), ConditionSpec(origin=CHANNELS))
    with pytest.raises(UsageError, match="origin part of width 3 and got width 0; use"):
        network.prepare(Condition())
