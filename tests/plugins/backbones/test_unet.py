"""What is particular to the U-Net."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Condition, ConditionSpec, LatentSpec, UsageError
from kernel_plugins.backbones import unet
from kernel_plugins.backbones._unet import Attention, Residual, Up
from kernel_plugins.backbones.unet import Unet

NONE = ConditionSpec()
SMALL: dict[str, Any] = {
    "width": 16,
    "multipliers": (1, 2, 2),
    "blocks": 1,
    "attention_levels": (1,),
    "heads": 2,
    "groups": 4,
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(size: tuple[int, ...], condition: ConditionSpec = NONE, **options: Any) -> Any:
    module = Unet(**{**SMALL, **options}).build(LatentSpec(3, size), condition).eval()
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            parameter.copy_(0.4 * normal(*parameter.shape, seed=index))
    return module


def test_is_offered() -> None:
    assert unet.backbone() is Unet


def test_defaults_build_for_both_kinds_of_latents() -> None:
    sizes = [
        sum(p.numel() for p in Unet().build(LatentSpec(2, size), ConditionSpec()).parameters())
        for size in ((64,), (32, 32))
    ]
    assert 2e6 < sizes[0] < sizes[1] < 8e6


@pytest.mark.parametrize(
    "changed",
    [{"width": 32}, {"multipliers": (1, 2)}, {"blocks": 2}, {"attention_levels": (0, 1)}],
    ids=str,
)
def test_sizes_decide_the_parameters(changed: dict[str, Any]) -> None:
    plain, other = (sum(p.numel() for p in build((8,), **o).parameters()) for o in ({}, changed))
    assert plain != other


@pytest.mark.parametrize("changed", [{"heads": 4}, {"groups": 2}], ids=str)
def test_other_options_decide_the_output(changed: dict[str, Any]) -> None:
    x, c_noise = normal(1, 3, 16), torch.zeros(1)
    plain, other = (
        module(x, c_noise, module.prepare(Condition()))
        for module in (build((16,)), build((16,), **changed))
    )
    assert (plain - other).abs().max() > 1e-5


@pytest.mark.parametrize("levels, count", [((), 0), ((0,), 2), ((1, 2), 6), ((2,), 4)])
def test_attention_follows_the_blocks_of_its_levels(levels: tuple[int, ...], count: int) -> None:
    module = build((8,), attention_levels=levels)
    assert sum(isinstance(part, Attention) for part in module.modules()) == count


@pytest.mark.parametrize("size, inside", [((13,), (4,)), ((9, 13), (3, 4))], ids=str)
def test_the_latent_is_padded_to_whole_positions_of_the_deepest_level(
    size: tuple[int, ...], inside: tuple[int, ...]
) -> None:
    module = build(size)
    seen: list[torch.Size] = []
    module.middle[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2:]))
    module(normal(1, 3, *size), torch.zeros(1), module.prepare(Condition()))
    assert seen == [torch.Size(inside)]


def test_a_skip_leads_around_the_deeper_levels() -> None:
    module = build((16,), attention_levels=())
    prepared = module.prepare(Condition())
    with torch.no_grad():
        for parameter in module.grow.parameters():
            parameter.zero_()
    one, other = (module(normal(1, 3, 16, seed=seed), torch.zeros(1), prepared) for seed in (1, 2))
    assert (one - other).abs().max() > 1e-5


def test_the_deepest_level_reaches_the_output() -> None:
    module = build((16,), attention_levels=())
    prepared = module.prepare(Condition())
    x, c_noise = normal(1, 3, 16), torch.zeros(1)
    before = module(x, c_noise, prepared)
    with torch.no_grad():
        module.middle[1].block.second.bias.add_(normal(32))
    assert (module(x, c_noise, prepared) - before).abs().max() > 1e-5


def test_a_residual_block_starts_as_its_shortcut() -> None:
    options = Unet(**SMALL)
    same, wider = Residual(options, 1, 8, 16, 16), Residual(options, 1, 8, 16, 32)
    x, embedded = normal(2, 16, 5), normal(2, 8)
    assert same(x, embedded).equal(x)
    assert wider.shortcut is not None
    assert wider(x, embedded).equal(wider.shortcut(x))


@pytest.mark.parametrize("size", [(5,), (3, 4)], ids=str)
def test_growing_repeats_each_position(size: tuple[int, ...]) -> None:
    up = Up(len(size), 2)
    with torch.no_grad():
        up.convolution.weight.zero_()
        up.convolution.bias.zero_()  # type: ignore[union-attr]
        centre = (slice(None), slice(None), *[1] * len(size))
        up.convolution.weight[centre] = torch.eye(2)
    x = normal(1, 2, *size)
    expected = x
    for axis in range(2, x.ndim):
        expected = expected.repeat_interleave(2, axis)
    torch.testing.assert_close(up(x), expected)


def test_a_sequence_needs_a_level_that_attends() -> None:
    with pytest.raises(UsageError, match="attention_levels is empty; name at least one"):
        build((8,), ConditionSpec(sequence=4), attention_levels=())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 20, "groups": 8}, "width 20 is not a multiple of groups = 8"),
        ({"attention_levels": (3,)}, "names level 3; the multipliers give levels 0 to 2"),
        ({"heads": 5}, "the 32 channels of level 1 are not a multiple of heads = 5"),
        ({"multipliers": ()}, "at least 1 item"),
        ({"multipliers": (1, 0)}, "greater than or equal to 1"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Unet(**{**SMALL, **options})
