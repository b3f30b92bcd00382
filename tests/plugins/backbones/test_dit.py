"""What is particular to the diffusion transformer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import Condition, ConditionSpec, LatentSpec
from kernel_plugins.backbones import dit
from kernel_plugins.backbones._attention import Rotary, SelfAttention, rotate
from kernel_plugins.backbones._layers import NoiseEmbedding, crop, pad
from kernel_plugins.backbones.dit import Dit

NONE = ConditionSpec()
SMALL: dict[str, Any] = {"width": 32, "depth": 2, "heads": 4, "patch": 2, "patch_2d": (2, 3)}


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def network(latent: LatentSpec, condition: ConditionSpec = NONE, **options: Any) -> Any:
    """Return a small network with random weights, the same for the same options."""
    module = Dit(**{**SMALL, **options}).build(latent, condition).double().eval()
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            parameter.copy_(0.2 * normal(*parameter.shape, seed=index))
    return module


def output(module: Any, size: tuple[int, ...] = (12,)) -> Tensor:
    x, c_noise = normal(2, 3, *size, seed=100), torch.tensor([0.1, 0.7], dtype=torch.float64)
    result: Tensor = module(x, c_noise, module.prepare(Condition()))
    return result.detach()


def test_is_offered() -> None:
    assert dit.backbone() is Dit


def test_defaults_are_small_enough_to_train_on_a_laptop() -> None:
    module = Dit().build(LatentSpec(48, (64,)), ConditionSpec(vector=10))
    assert 3.4e6 < sum(parameter.numel() for parameter in module.parameters()) < 3.9e6


@pytest.mark.parametrize(
    "changed", [{"width": 64}, {"depth": 3}, {"patch": 3}, {"mlp_ratio": 2.0}], ids=str
)
def test_sizes_decide_the_parameters(changed: dict[str, Any]) -> None:
    plain, other = (
        sum(parameter.numel() for parameter in network(LatentSpec(3, (12,)), **o).parameters())
        for o in ({}, changed)
    )
    assert plain != other


@pytest.mark.parametrize(
    "changed", [{"heads": 2}, {"qk_norm": False}, {"rope_base": 10.0}], ids=str
)
def test_other_options_decide_the_output(changed: dict[str, Any]) -> None:
    latent = LatentSpec(3, (12,))
    plain, other = network(latent), network(latent, **changed)
    with torch.no_grad():
        same = dict(plain.named_parameters())
        for name, parameter in other.named_parameters():
            if parameter.shape == same[name].shape:
                parameter.copy_(same[name])
    assert (output(plain) - output(other)).abs().max() > 1e-3


def test_two_dimensional_patches_have_their_own_size() -> None:
    module = network(LatentSpec(3, (4, 6)), patch_2d=(2, 3))
    assert module.embed.in_features == 3 * 2 * 3


@pytest.mark.parametrize(
    "options", [{"width": 100, "heads": 3}, {"width": 36, "heads": 6}], ids=str
)
def test_a_width_that_rotary_positions_cannot_share_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="is not a multiple of 4 x heads"):
        Dit(**options)


def test_patches_are_neighbouring_frames() -> None:
    module = network(LatentSpec(1, (5,)), patch=2)
    x = torch.arange(1.0, 6.0).view(1, 1, 5)
    assert module.patches(x).tolist() == [[[1, 2], [3, 4], [5, 0]]]


def test_patches_of_two_axes_are_rectangles_in_row_major_order() -> None:
    module = network(LatentSpec(1, (4, 6)), patch_2d=(2, 3))
    x = torch.arange(24.0).view(1, 1, 4, 6)
    corners = module.patches(x)[0, :, 0].tolist()
    assert corners == [0, 3, 12, 15]
    assert module.patches(x)[0, 1].tolist() == [3, 4, 5, 9, 10, 11]


@pytest.mark.parametrize("size", [(7,), (5, 8)], ids=str)
def test_patches_can_be_put_together_again(size: tuple[int, ...]) -> None:
    module = network(LatentSpec(3, size))
    x = normal(2, 3, *size)
    assert module._latent(module.patches(x), x.shape).equal(x)


def test_padding_is_appended_and_cropped() -> None:
    x = normal(1, 2, 3, 5)
    padded = pad(x, (2, 4))
    assert padded.shape == (1, 2, 4, 8)
    assert not padded[:, :, 3:].any() and not padded[..., 5:].any()
    assert crop(padded, (3, 5)).equal(x)
    assert pad(x, (3, 5)) is x


def test_rotation_is_a_complex_product() -> None:
    x = normal(2, 6, 1, 3, 8)
    cos, sin = Rotary(8, 1, 100.0).double()((6,))
    frequencies = 100.0 ** (-torch.arange(4) / 4).double()
    angle = torch.arange(6)[:, None, None, None] * frequencies
    expected = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(angle), angle)
    found = rotate(x, cos, sin)
    torch.testing.assert_close(
        torch.complex(found[..., :4], found[..., 4:]), expected, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("size", [(9,), (5, 7)], ids=str)
def test_rotated_products_depend_on_distances_alone(size: tuple[int, ...]) -> None:
    rotary = Rotary(16, len(size), 50.0).double()
    q, k = (
        normal(16, seed=seed).expand(1, *size, 16).flatten(1, -2)[:, :, None, None]
        for seed in (1, 2)
    )
    q, k = (rotate(tensor, *rotary(size))[0, :, 0, 0].view(*size, 16) for tensor in (q, k))

    def product(start: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
        return q[start] @ k[tuple(a + b for a, b in zip(start, step, strict=True))]

    steps = [(2,), (3,)] if len(size) == 1 else [(2, 1), (1, 2)]
    origin, elsewhere = (0,) * len(size), (2,) * len(size)
    for step in steps:
        torch.testing.assert_close(product(origin, step), product(elsewhere, step))
    assert (product(origin, steps[0]) - product(origin, steps[1])).abs() > 1e-3


def test_the_order_of_the_tokens_matters() -> None:
    module = network(LatentSpec(3, (12,)), patch=1)
    x, c_noise = normal(1, 3, 12), torch.zeros(1, dtype=torch.float64)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    prepared = module.prepare(Condition())
    difference = module(x[..., order], c_noise, prepared) - module(x, c_noise, prepared)[..., order]
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("qk_norm", [True, False])
def test_normalised_queries_have_no_scale(qk_norm: bool) -> None:
    attention = SelfAttention(16, 2, qk_norm).double()
    x = normal(1, 6, 16)
    before = attention(x)
    with torch.no_grad():
        attention.qkv.weight[:16] *= 30
        attention.qkv.bias[:16] *= 30
    assert torch.allclose(attention(x), before, atol=1e-3) == qk_norm


def test_noise_levels_are_told_apart_over_both_ranges() -> None:
    """ln(sigma) / 4 in [-2, 2] does not fold over, and t = 0.002 is not 0."""
    embedding = NoiseEmbedding(8)
    angle = torch.linspace(-2, 2, 801)[:, None] * embedding.frequencies
    features = torch.cat([angle.cos(), angle.sin()], dim=1)
    assert 4 * embedding.frequencies[0] < torch.pi
    distance = torch.cdist(features, features) + 10 * torch.eye(801)
    assert distance.min() > 0.2
    assert distance.argmin(1).sub(torch.arange(801)).abs().max() == 1


def test_the_noise_embedding_is_smooth() -> None:
    embedding = NoiseEmbedding(8).double()
    level = torch.tensor([0.3, 0.3 + 1e-6], dtype=torch.float64)
    one, other = embedding(level, None)
    assert 0 < (one - other).abs().max() < 1e-3


def test_the_same_network_takes_longer_latents_than_it_was_built_for() -> None:
    module = network(LatentSpec(3, (12,)))
    assert output(module, (200,)).shape == (2, 3, 200)
