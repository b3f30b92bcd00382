from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kernel.config import RunConfig, load
from kernel.errors import UsageError
from kernel.runner.device import Machine
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.groups import Groups
from kernel_audio_training.optimizers import UNFIT, build, factor
from tests.training.test_training import trainer, weight

OFFERED = sorted(
    name
    for name, each in vars(torch.optim).items()
    if isinstance(each, type) and issubclass(each, torch.optim.Optimizer)
    if name not in ("Optimizer", "Muon", *UNFIT)
)


def config(**given: Any) -> TrainConfig:
    return TrainConfig.model_validate(given)


class Two(nn.Module):
    """A module of one group, with a matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.matrix = nn.Parameter(torch.randn(3, 2, generator=draws))
        self.vector = nn.Parameter(torch.randn(4, generator=draws))

    @property
    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"net": [self.matrix, self.vector]}

    def loss(self, step: int) -> torch.Tensor:
        return ((self.matrix - step).square().sum() + (self.vector.square() * step).sum())[None]


def stepped(module: Two, groups: Groups, steps: range) -> None:
    for step in steps:
        groups.gather({"net": module.loss(step)}, 1, 1)
        groups.advance(1 / (1 + step))


@pytest.mark.parametrize("name", OFFERED)
def test_every_optimizer_goes_on_to_the_bit_where_it_stopped(name: str) -> None:
    told = config(optimizer=name, weight_decay=0 if name == "Rprop" else 0.01, learning_rate=0.1)
    whole, first, second = Two(), Two(), Two()
    stepped(whole, Groups("r", whole, told), range(8))
    begun, goes_on = Groups("r", first, told), Groups("r", second, told)
    stepped(first, begun, range(5))
    second.load_state_dict(first.state_dict())
    goes_on.load(begun.moments())
    stepped(second, goes_on, range(5, 8))
    assert not torch.equal(whole.matrix, first.matrix)
    assert torch.equal(whole.matrix, second.matrix)
    assert torch.equal(whole.vector, second.vector)


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"momentum": 0.9}), ("RMSprop", {"momentum": 0.5})]
)
def test_options_of_an_optimizer_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    told = config(optimizer=name, optimizer_options=options, clip=1e9, learning_rate=0.1)
    ours, theirs = Two(), Two()
    stepped(ours, Groups("r", ours, told), range(4))
    plain = getattr(torch.optim, name)(theirs.parameters(), lr=0.1, weight_decay=0.01, **options)
    for step in range(4):
        plain.param_groups[0]["lr"] = 0.1 / (1 + step)
        plain.zero_grad()
        theirs.loss(step).backward()
        plain.step()
    assert torch.allclose(ours.matrix, theirs.matrix, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "AdaW"}, r"^torch.optim has no optimizer 'AdaW'; did you mean 'AdamW'"),
        ({"optimizer": "LBFGS"}, r"^optimizer LBFGS evaluates the losses several times a step; ch"),
        ({"optimizer": "SparseAdam"}, r"^optimizer SparseAdam takes sparse gradients alone; cho"),
        ({"optimizer": "Rprop"}, r"^optimizer Rprop has no weight decay; set weight_decay = 0$"),
        ({"optimizer_options": {"beta": 1}}, r"AdamW has no option 'beta'; did you mean 'betas'"),
        (
            {"optimizer": "SGD", "groups": {"net": {"betas": [0.9, 0.9]}}},
            r"^optimizer SGD has no betas; leave it out of its group$",
        ),
        ({"optimizer_options": {"betas": [2, 0]}}, r"cannot be made: Invalid beta .*; change opt"),
        ({"decay_from": 5}, r"^decay_from belongs to decay = inverse-sqrt, not to cosine; leave"),
    ],
)
def test_an_optimizer_that_cannot_be_is_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Groups("recipe.mine", Two(), config(**given))


def test_muon_takes_matrices_and_refuses_the_rest() -> None:
    with pytest.raises(UsageError, match=r"^optimizer Muon cannot be made: .*2D"):
        Groups("recipe.mine", Two(), config(optimizer="Muon"))
    matrix = {"params": [nn.Parameter(torch.ones(2, 2))], "weight_decay": 0.1}
    assert build(config(optimizer="Muon"), [matrix])


def test_options_of_the_optimizer_are_given_beside_those_of_components() -> None:
    given = load(TrainConfig, None, {}, {"optimizer.betas": [0.9, 0.95], "solver.order": 2})
    assert given.optimizer_options == {"betas": [0.9, 0.95]}
    assert given.options == {"solver": {"order": 2}}


def test_the_rate_rises_in_a_line_and_stays() -> None:
    told = config(warmup=4, decay="constant")
    assert [factor(told, step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert factor(config(warmup=0, decay="constant"), 0) == 1


def test_the_rate_falls_as_half_a_cosine_to_a_hundredth() -> None:
    told = config(warmup=10, steps=110, decay="cosine")
    for step in (10, 35, 60, 109):
        wanted = 0.01 + 0.99 * math.cos(math.pi * (step - 10) / 200) ** 2
        assert factor(told, step) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("start", "held"), [(None, 16), (100, 100)])
def test_the_rate_falls_with_the_square_root_of_the_steps(start: int | None, held: int) -> None:
    """Karras et al. 2024: rate / sqrt(max(t / t_ref, 1)), times the rise."""
    told = config(warmup=16, decay="inverse-sqrt", decay_from=start)
    for step in (3, 15, 63, 99, 399):
        wanted = min(1, (step + 1) / 16) / math.sqrt(max((step + 1) / held, 1))
        assert factor(told, step) == pytest.approx(wanted, rel=1e-12)


def test_a_gradient_that_float16_cannot_hold_skips_the_step_and_lowers_the_scale() -> None:
    scaler = Machine.choose(RunConfig(device="cpu", precision="float16")).scaler()
    assert scaler.is_enabled()
    assert not Machine.choose(RunConfig(device="cpu", precision="bfloat16")).scaler().is_enabled()
    module = Two()
    groups = Groups("r", module, config(learning_rate=0.1), scaler)
    before, scale = module.vector.clone(), scaler.get_scale()
    groups.gather({"net": module.loss(1) * 1e36}, 1, 1)
    (norm,) = groups.advance(1.0).values()
    assert not norm.isfinite()
    assert torch.equal(module.vector, before)
    assert scaler.get_scale() == scale / 2
    groups.gather({"net": module.loss(1)}, 1, 1)
    assert groups.advance(1.0)["net"].isfinite()
    assert not torch.equal(module.vector, before)


def test_scaled_gradients_are_clipped_at_their_own_size_and_the_scale_is_kept() -> None:
    plain, scaled, resumed = Two(), Two(), Two()
    told = config(learning_rate=0.1, clip=0.5)
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3) for _ in "ab"]
    groups = Groups("r", scaled, told, scalers[0])
    stepped(plain, Groups("r", plain, told), range(8))
    stepped(scaled, groups, range(8))
    assert torch.allclose(plain.matrix, scaled.matrix, rtol=1e-5)
    assert scalers[0].get_scale() == 2.0**12
    goes_on = Groups("r", resumed, told, scalers[1])
    goes_on.load(groups.moments())
    assert scalers[1].state_dict() == scalers[0].state_dict()
    # What was stored in full precision has no scale, and begins with one.
    goes_on.load(Groups("r", Two(), told).moments())


def test_a_training_in_float16_learns_on_the_cpu(tmp_path: Path) -> None:
    machine = Machine.choose(RunConfig(device="cpu", precision="float16"))
    tested = trainer(machine=machine, steps=3, learning_rate=0.1, weight_decay=0)
    tested.run(tmp_path)
    assert weight(tested).item() == pytest.approx(2.7, rel=1e-4)
    stored = (checkpoints(tmp_path)[-1] / "optimizer.safetensors").read_bytes()
    assert b"scaler/scale" in stored
