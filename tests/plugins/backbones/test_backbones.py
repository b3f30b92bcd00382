"""What every backbone promises, for 1-D and 2-D latents and each part of a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import Backbone, Condition, ConditionSpec, LatentSpec, UsageError
from kernel_plugins.backbones.dit import Dit
from kernel_plugins.backbones.unet import Unet

CHANNELS = 3
BATCH = 3
LENGTH = 5

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "dit": lambda **options: Dit(
        **{"width": 32, "depth": 2, "heads": 4, "patch": 2, "patch_2d": (4, 2), **options}
    ),
    "unet": lambda **options: Unet(
        **{"width": 16, "multipliers": (1, 2), "blocks": 1, "heads": 2, "groups": 4, **options}
        | {"attention_levels": (0, 1)}
    ),
}
SPECS = {
    "none": ConditionSpec(),
    "vector": ConditionSpec(vector=4),
    "sequence": ConditionSpec(sequence=6),
    "aligned": ConditionSpec(aligned=2),
    "all": ConditionSpec(vector=4, sequence=6, aligned=2),
}
SIZES = {"1d": (37,), "2d": (9, 13)}

each_backbone = pytest.mark.parametrize("backbone", BACKBONES)
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
each_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def fresh(backbone: str, size: tuple[int, ...], spec: ConditionSpec, **options: Any) -> nn.Module:
    """Return a new network in float64, initialised from seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BACKBONES[backbone](**options).build(LatentSpec(CHANNELS, size), spec)
    return network.double().eval()


def build(backbone: str, size: tuple[int, ...], spec: ConditionSpec, **options: Any) -> nn.Module:
    """Return a network with no weight at zero, as after some training."""
    network = fresh(backbone, size, spec, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )
    return network


def normal(*shape: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def inputs(size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return normal(BATCH, CHANNELS, *size), torch.linspace(-1, 1, BATCH, dtype=torch.float64)


def condition(size: tuple[int, ...], spec: ConditionSpec, seed: int = 3) -> Condition:
    mask = torch.arange(LENGTH) < torch.tensor([[LENGTH], [3], [1]])
    return Condition(
        vector=normal(BATCH, spec.vector, seed=seed) if spec.vector else None,
        sequence=normal(BATCH, LENGTH, spec.sequence, seed=seed) if spec.sequence else None,
        mask=mask if spec.sequence else None,
        aligned=normal(BATCH, spec.aligned, *size, seed=seed) if spec.aligned else None,
    )


def select(whole: Condition, index: Any) -> Condition:
    return whole.map(lambda part: part[index])


def call(network: nn.Module, x: Tensor, c_noise: Tensor, given: Condition) -> Tensor:
    output: Tensor = network(x, c_noise, network.prepare(given))
    return output


@each_backbone
@each_spec
@pytest.mark.parametrize("size", [(1,), (2,), (37,), (64,), (1, 1), (9, 13), (8, 16)], ids=str)
def test_any_length_comes_back(backbone: str, spec: ConditionSpec, size: tuple[int, ...]) -> None:
    network = build(backbone, SIZES["1d"] if len(size) == 1 else SIZES["2d"], spec)
    x, c_noise = inputs(size)
    output = call(network, x, c_noise, condition(size, spec))
    assert output.shape == x.shape
    assert output.isfinite().all()
    assert output.std() > 0.01


@each_backbone
@each_size
def test_a_new_network_returns_zero(backbone: str, size: tuple[int, ...]) -> None:
    spec = SPECS["all"]
    assert not call(fresh(backbone, size, spec), *inputs(size), condition(size, spec)).any()


@each_backbone
@each_size
@each_spec
def test_items_do_not_mix(backbone: str, size: tuple[int, ...], spec: ConditionSpec) -> None:
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    together = call(network, x, c_noise, given)
    order = torch.tensor([2, 0])
    apart = call(network, x[order], c_noise[order], select(given, order))
    torch.testing.assert_close(apart, together[order], rtol=0, atol=1e-12)


@each_backbone
@each_size
@each_spec
def test_gradient_reaches_every_parameter(
    backbone: str, size: tuple[int, ...], spec: ConditionSpec
) -> None:
    network = build(backbone, size, spec)
    call(network, *inputs(size), condition(size, spec)).square().sum().backward()
    unreached = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 1e-9
    ]
    assert unreached == []


@each_backbone
@each_size
def test_training_moves_every_parameter_from_the_start(
    backbone: str, size: tuple[int, ...]
) -> None:
    spec = SPECS["all"]
    network, (x, c_noise), given = fresh(backbone, size, spec), inputs(size), condition(size, spec)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = (call(network, x, c_noise, given) - x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    still = [name for name, value in network.named_parameters() if value.equal(before[name])]
    assert still == []


@each_backbone
@each_size
def test_gradient_reaches_the_input(backbone: str, size: tuple[int, ...]) -> None:
    x, c_noise = inputs(size)
    x.requires_grad_()
    spec = SPECS["all"]
    call(build(backbone, size, spec), x, c_noise, condition(size, spec)).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().amin() > 0


@each_backbone
@pytest.mark.parametrize("part", ["vector", "sequence", "aligned"])
def test_an_absent_part_has_no_parameters(backbone: str, part: str) -> None:
    count = {
        name: sum(p.numel() for p in build(backbone, (8,), SPECS[name]).parameters())
        for name in ("none", part)
    }
    none = build(backbone, (8,), SPECS["none"])
    names = [name for name, _ in none.named_parameters()]
    assert count["none"] < count[part]
    assert not [name for name in names if part in name or "cross" in name]


@each_backbone
@each_size
@pytest.mark.parametrize("part", ["vector", "sequence", "aligned"])
def test_each_part_is_heard_by_each_item(backbone: str, size: tuple[int, ...], part: str) -> None:
    network, (x, c_noise) = build(backbone, size, SPECS[part]), inputs(size)
    one, other = (condition(size, SPECS[part], seed) for seed in (3, 4))
    difference = call(network, x, c_noise, one) - call(network, x, c_noise, other)
    assert (difference.flatten(1).abs().amax(1) > 1e-4).all()


@each_backbone
@each_size
def test_the_noise_level_is_heard(backbone: str, size: tuple[int, ...]) -> None:
    network, (x, c_noise) = build(backbone, size, SPECS["none"]), inputs(size)
    prepared = network.prepare(Condition())
    difference = network(x, c_noise, prepared) - network(x, c_noise + 0.01, prepared)
    assert (difference.flatten(1).abs().amax(1) > 1e-4).all()


@each_backbone
@each_size
@each_spec
def test_dropping_items_gives_the_null_condition(
    backbone: str, size: tuple[int, ...], spec: ConditionSpec
) -> None:
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    which = torch.tensor([True, False, True])
    some = call(network, x, c_noise, given.drop(which))
    null = call(network, x, c_noise, given.dropped())
    whole = call(network, x, c_noise, given)
    assert null.isfinite().all()
    expected = torch.where(which.view(-1, *[1] * (x.ndim - 1)), null, whole)
    torch.testing.assert_close(some, expected, rtol=0, atol=1e-12)


@each_backbone
def test_the_null_sequence_has_no_length(backbone: str) -> None:
    size, spec = SIZES["1d"], SPECS["sequence"]
    network, (x, c_noise) = build(backbone, size, spec), inputs(size)
    zeros = torch.zeros(BATCH, 9, spec.sequence, dtype=torch.float64)
    nulls = [
        Condition(sequence=zeros),
        Condition(sequence=zeros[:, :2]),
        Condition(sequence=zeros, mask=torch.zeros(BATCH, 9, dtype=torch.bool)),
        Condition(sequence=zeros, mask=torch.ones(BATCH, 9, dtype=torch.bool)),
    ]
    first, *others = (call(network, x, c_noise, null) for null in nulls)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=1e-12)


@each_backbone
@pytest.mark.parametrize("kind", [torch.bool, torch.float64, torch.int64], ids=str)
def test_what_is_masked_is_not_heard(backbone: str, kind: torch.dtype) -> None:
    size, spec = SIZES["1d"], SPECS["sequence"]
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    assert given.sequence is not None and given.mask is not None
    other = given.sequence + 100 * ~given.mask[..., None]
    changed = Condition(sequence=other, mask=given.mask.to(kind))
    torch.testing.assert_close(
        call(network, x, c_noise, changed), call(network, x, c_noise, given), rtol=0, atol=1e-12
    )


@each_backbone
@each_size
def test_the_aligned_part_lies_where_the_latent_lies(backbone: str, size: tuple[int, ...]) -> None:
    """With equal weights on both, what is added to the one could be added to the other."""
    network = build(backbone, size, ConditionSpec(aligned=CHANNELS))
    with torch.no_grad():
        network.aligned.weight.copy_(network.embed.weight)
    x, c_noise = inputs(size)
    aligned = normal(BATCH, CHANNELS, *size, seed=9)
    split = call(network, x, c_noise, Condition(aligned=aligned))
    summed = call(network, x + aligned, c_noise, Condition(aligned=torch.zeros_like(aligned)))
    torch.testing.assert_close(split, summed, rtol=0, atol=1e-10)


@each_backbone
@each_size
def test_every_layer_hears_the_memory_that_it_made(backbone: str, size: tuple[int, ...]) -> None:
    from kernel_plugins.backbones._attention import CrossAttention

    spec = SPECS["sequence"]
    network, given = build(backbone, size, spec), condition(size, spec)
    tokens, _ = network.sequence(given.sequence, given.mask)
    layers = [layer for layer in network.modules() if isinstance(layer, CrossAttention)]
    heard = []

    def compare(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        expected = layer.remember(tokens)  # type: ignore[operator]
        heard.append(all(a.equal(b) for a, b in zip(arguments[1], expected, strict=True)))

    for layer in layers:
        layer.register_forward_pre_hook(compare)
    call(network, *inputs(size), given)
    assert len(layers) > 1
    assert heard == [True] * len(layers)


@each_backbone
@each_size
def test_an_evaluation_reads_the_condition_from_its_cache(
    backbone: str, size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernel_plugins.backbones._attention import CrossAttention, SequenceTokens

    spec = SPECS["all"]
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    expected = call(network, x, c_noise, given)
    prepared = network.prepare(given)

    def forbidden(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(CrossAttention, "remember", forbidden)
    monkeypatch.setattr(SequenceTokens, "forward", forbidden)
    network.vector.register_forward_pre_hook(forbidden)
    network.aligned.register_forward_pre_hook(forbidden)
    for _ in range(2):
        assert network(x, c_noise, prepared).equal(expected)


@each_backbone
@each_size
def test_nothing_given_is_changed_and_nothing_is_drawn(
    backbone: str, size: tuple[int, ...]
) -> None:
    spec = SPECS["all"]
    network = build(backbone, size, spec, dropout=0.5)
    (x, c_noise), given = inputs(size), condition(size, spec)
    copies = [x.clone(), c_noise.clone(), given.map(torch.clone)]
    state = torch.get_rng_state()
    first, second = (call(network, x, c_noise, given) for _ in range(2))
    assert first.equal(second)
    assert torch.get_rng_state().equal(state)
    assert x.equal(copies[0]) and c_noise.equal(copies[1])
    for name in ("vector", "sequence", "mask", "aligned"):
        assert getattr(given, name).equal(getattr(copies[2], name))


@each_backbone
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_in_training_alone(backbone: str, dropout: float) -> None:
    size, spec = SIZES["1d"], SPECS["all"]
    network, given = build(backbone, size, spec, dropout=dropout), condition(size, spec)
    evaluated = call(network, *inputs(size), given)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = torch.get_rng_state()
        trained = call(network.train(), *inputs(size), given)
        drawn = not torch.get_rng_state().equal(state)
    assert drawn == (dropout > 0)
    assert trained.equal(evaluated) == (dropout == 0)


@pytest.mark.parametrize("backbone, size", [("dit", SIZES["2d"]), ("unet", SIZES["1d"])])
def test_compiles_to_one_graph(backbone: str, size: tuple[int, ...]) -> None:
    spec = SPECS["all"]
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        prepared = network.prepare(given)
        expected, found = network(x, c_noise, prepared), compiled(x, c_noise, prepared)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@each_backbone
@each_size
def test_shapes_can_be_traced_on_the_meta_device(backbone: str, size: tuple[int, ...]) -> None:
    spec = SPECS["all"]
    with torch.device("meta"):
        network = BACKBONES[backbone]().build(LatentSpec(CHANNELS, size), spec)
    (x, c_noise), given = inputs(size), condition(size, spec)
    onto_meta = given.map(lambda part: part.float().to("meta"))
    output = call(network, x.float().to("meta"), c_noise.float().to("meta"), onto_meta)
    assert output.is_meta and output.shape == x.shape


@each_backbone
@each_size
def test_the_state_is_all_there_is(backbone: str, size: tuple[int, ...]) -> None:
    spec = SPECS["all"]
    network, (x, c_noise), given = build(backbone, size, spec), inputs(size), condition(size, spec)
    with torch.device("meta"):
        copy = BACKBONES[backbone]().build(LatentSpec(CHANNELS, size), spec)
    copy.load_state_dict(network.state_dict(), assign=True)
    assert call(copy.eval(), x, c_noise, given).equal(call(network, x, c_noise, given))


@each_backbone
@each_size
def test_autocast_keeps_the_dtype_and_comes_close(backbone: str, size: tuple[int, ...]) -> None:
    spec = SPECS["all"]
    network = build(backbone, size, spec)
    exact = call(network, *inputs(size), condition(size, spec))
    x, c_noise = (tensor.float() for tensor in inputs(size))
    given = condition(size, spec).map(lambda p: p if p.dtype == torch.bool else p.float())
    single = call(network.float(), x, c_noise, given)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = call(network, x, c_noise, given)
    half.sum().backward()
    assert half.dtype == torch.float32
    assert (half - single).std() < 0.05 * single.std()


@each_backbone
@pytest.mark.parametrize("built, given", [("vector", "none"), ("none", "vector")])
def test_a_part_too_few_or_too_many_is_refused(backbone: str, built: str, given: str) -> None:
    network = build(backbone, (8,), SPECS[built])
    with pytest.raises(UsageError, match=r"vector part of width \d and got width \d; use the"):
        network.prepare(condition((8,), SPECS[given]))


@each_backbone
@pytest.mark.parametrize("part", ["vector", "sequence", "aligned"])
def test_a_part_of_another_width_is_refused(backbone: str, part: str) -> None:
    network = build(backbone, (8,), SPECS[part])
    wrong = condition((8,), ConditionSpec(**{part: 7}))
    with pytest.raises(UsageError, match=f"a {part} part of width . and got width 7"):
        network.prepare(wrong)


@each_backbone
def test_an_aligned_part_of_another_length_is_refused(backbone: str) -> None:
    network, (x, c_noise) = build(backbone, (8,), SPECS["aligned"]), inputs((8,))
    with pytest.raises(UsageError, match=r"has the size \(7,\), the latent \(8,\); make both"):
        call(network, x, c_noise, condition((7,), SPECS["aligned"]))
