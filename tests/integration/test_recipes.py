"""The trainer drives any recipe: groups, micro-batches, averages and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Batch,
    Component,
    Condition,
    ConditionSpec,
    Item,
    LatentSpec,
    Parts,
    Recipe,
    Task,
    UsageError,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig, load, parse_option
from kernel.errors import PluginError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.tensors import read_tensors
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.trainer import Trainer
from kernel_plugins.backbones.dit import Dit
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.recipes.denoise import Denoise
from kernel_plugins.schedules.edm import EdmSchedule

SAMPLES = 24
MACHINE = Machine.choose(RunConfig(device="cpu"))


class Told(Task):
    """Noise with a vector, part of it padding."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=3)


class Data:
    """Items in float64."""

    def __len__(self) -> int:
        return 10

    def item(self, index: int, generator: torch.Generator) -> Item:
        audio = torch.randn(1, SAMPLES, generator=generator, dtype=torch.float64)
        vector = torch.randn(3, generator=generator, dtype=torch.float64)
        return Item(SAMPLES, audio, SAMPLES - 2 * (index % 4), vector)


class Small(Backbone):
    """Looks at each value alone."""

    masks: ClassVar[bool] = True

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return Net().double()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, 0.1, 0.2]))

    def prepare(self, condition: Condition) -> Any:
        return condition.vector

    def forward(self, x: Tensor, c_noise: Tensor, vector: Tensor) -> Tensor:
        told = vector.mean(1).view(-1, 1, 1) + 0.1 * c_noise.view(-1, 1, 1)
        return (self.w[0] * x + self.w[1] * told).tanh() + self.w[2]


class Pair(Recipe):
    """Two groups whose losses both depend on both; what is wrong with it is an option."""

    wrong: str = ""

    def build(self, parts: Parts) -> nn.Module:
        return Both(self.wrong, parts)


class Both(nn.Module):
    def __init__(self, wrong: str, parts: Parts) -> None:
        super().__init__()
        self.network, self.other = parts.network, parts.build_network()
        self.wrong = wrong
        # Kept by a closure alone, it is no part of the module.
        average = parts.average(self.network, 2.0)
        self._parts = [parts.denoiser(each) for each in (self.network, self.other, average)]
        self._schedule = parts.schedule

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        mine, yours = list(self.network.parameters()), list(self.other.parameters())
        return {
            "twice": {"network": mine, "other": [*yours, *mine]},
            "empty": {"network": mine, "other": []},
            "foreign": {"network": mine, "other": [nn.Parameter(torch.zeros(1))]},
        }.get(self.wrong, {"network": mine, "other": yours})

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        return {"codec" if self.wrong == "exports" else "backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        sigma = batch.together(self._schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        mine, yours, slow = (each(x, sigma, batch.condition) for each in self._parts)
        loss = batch.mean((mine * yours - batch.x0).square() + (mine - slow).square())
        match self.wrong:
            case "shape":
                return {"network": loss.mean()}
            case "unknown":
                return {"netwrok": loss}
            case "flat":
                return {"network": loss.detach()}
            case _:
                return {"network": loss, "other": 3 * loss}


def trainer(recipe: Recipe, out: Path, backbone: Backbone | None = None, **given: Any) -> Trainer:
    parts: tuple[Component, ...] = (
        *(Edm(), EdmSchedule(stratified=True), backbone or Small()),
        *(Waveform(std=1.0), Told(), recipe),
    )
    assembly = Assembly(
        tuple(
            Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", "tests"), each)
            for each in parts
        )
    )
    told = {"steps": 4, "batch": 5, "warmup": 1, "checkpoint_every": 2, "device": "cpu"}
    config = TrainConfig.model_validate({**told, "out": out, **given})
    return Trainer(assembly, Data(), config, MACHINE)  # type: ignore[arg-type]


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.module.state_dict().items()}


@pytest.mark.parametrize("recipe", [Denoise(), Pair()], ids=["denoise", "pair"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_step_is_the_same_however_it_is_cut(recipe: Recipe, size: int, tmp_path: Path) -> None:
    whole, cut = trainer(recipe, tmp_path), trainer(recipe, tmp_path, micro_batch=size)
    for each, folder in ((whole, "whole"), (cut, "cut")):
        (tmp_path / folder).mkdir()
        each.run(tmp_path / folder)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], value, rtol=1e-9, atol=1e-12)


def test_every_loss_is_for_its_own_group_at_the_same_weights(tmp_path: Path) -> None:
    tested, twin = (trainer(Pair(), tmp_path, clip=1e9, steps=1) for _ in range(2))
    module: Any = twin.module
    losses = module(twin._feed.batch(0, range(5)), 0)
    for name, network in (("network", module.network), ("other", module.other)):
        (wanted,) = torch.autograd.grad(losses[name].mean(), network.w, retain_graph=True)
        if name == "network":
            tested.run(tmp_path)
        (parameter,) = tested._groups[name].values()
        state = tested._groups.optimizer.state[parameter]
        torch.testing.assert_close(state["exp_avg"], 0.1 * wanted)


def test_a_group_may_have_settings_of_its_own(tmp_path: Path) -> None:
    groups = {"other": {"learning_rate": 1e-3, "weight_decay": 0.5, "betas": (0.1, 0.2)}}
    tested = trainer(Pair(), tmp_path, groups=groups, decay="constant")
    tested.run(tmp_path)
    usual, own = tested._groups.optimizer.param_groups
    assert (own["lr"], own["weight_decay"], own["betas"]) == (1e-3, 0.5, (0.1, 0.2))
    assert (usual["lr"], usual["weight_decay"], usual["betas"]) == (5e-4, 0.01, (0.9, 0.999))


def test_the_settings_of_a_group_stand_on_the_command_line() -> None:
    text = ["groups.critic.learning_rate=1e-4", "groups.critic.clip=2", "solver.order=3"]
    config = load(
        TrainConfig,
        {"groups": {"critic": {"weight_decay": 0.1}}},
        {},
        dict(map(parse_option, text)),
    )
    assert config.groups["critic"].model_dump(exclude_defaults=True) == {
        "learning_rate": 1e-4,
        "weight_decay": 0.1,
        "clip": 2.0,
    }
    assert config.options == {"solver": {"order": 3}}


def test_an_average_that_no_module_holds_is_saved_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = trainer(Pair(), tmp_path)
    whole.run(tmp_path / "whole")
    halfway = trainer(Pair(), tmp_path, steps=2, decay="constant")
    (tmp_path / "cut").mkdir()
    halfway.run(tmp_path / "cut")
    (found,) = checkpoints(tmp_path / "cut")
    kept = read_tensors(found / "weights.safetensors")
    assert not torch.equal(kept["average-0.w"], kept["network.w"])
    resumed = trainer(Pair(), tmp_path)
    resumed.resume(tmp_path / "cut")
    assert resumed.step == 2
    assert torch.equal(weights(resumed)["average-0.w"], kept["average-0.w"])


def test_an_average_comes_half_as_near_within_its_half_life(tmp_path: Path) -> None:
    tested = trainer(Pair(), tmp_path)
    (average,) = tested._averages
    start = weights(tested)["network.w"]
    with torch.no_grad():
        tested.module.network.w.add_(1.0)
    assert not any(each.requires_grad for each in average.module.parameters())
    for _ in range(2):
        average.advance()
    torch.testing.assert_close(average.module.w, start + 0.5)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("twice", "recipe.pair has 'network.w' in the groups 'network' and 'other'; its author"),
        ("empty", "recipe.pair has nothing in group 'other'; its author"),
        ("foreign", "recipe.pair has a value in group 'other' that its module lacks; its author"),
        ("exports", r"recipe.pair exports \['codec'\] but says that it trains \['backbone'\]; "),
        ("shape", r"loss of the shape \(\) for group 'network', not one for each of 5 items; its"),
        ("unknown", "recipe.pair returns a loss of 'netwrok', which is no group of it; its author"),
        ("flat", "recipe.pair returns a loss of 'network' that has no gradient; its author"),
    ],
)
def test_a_recipe_that_breaks_its_promises_is_named(
    wrong: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match=sentence):
        trainer(Pair(wrong=wrong), tmp_path).run(tmp_path)


def test_settings_of_a_group_that_there_is_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trains no group 'othre'; did you mean 'other'?"):
        trainer(Pair(), tmp_path, groups={"othre": {}})


def test_another_model_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    parts = trainer(Pair(), tmp_path)._parts
    with pytest.raises(UsageError, match="model 'x' is asked for where there is only one"):
        parts.model("x")


# torch's own, at its first forward derivative.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_derivative_along_a_direction_is_that_of_finite_differences(tmp_path: Path) -> None:
    """Through a network with attention, and with a gradient of its own."""
    backbone = Dit(width=16, depth=1, heads=2)
    tested = trainer(Denoise(), tmp_path, backbone)
    network = tested.module.double().network
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in network.parameters():
            each.copy_(0.2 * torch.randn(each.shape, generator=draws))
    parts = tested._parts
    denoise: Callable[..., Tensor] = parts.denoiser(network)
    condition = Condition(vector=torch.randn(2, 3, generator=draws, dtype=torch.float64))
    shape = (2, *parts.latent.shape)
    x, dx = torch.randn(2, *shape, generator=draws, dtype=torch.float64)
    sigma, ds = torch.tensor([0.5, 2.0]).double(), torch.tensor([0.3, -0.1]).double()

    def along(step: float) -> Tensor:
        return denoise(x + step * dx, sigma + step * ds, condition)

    value, found = parts.jvp(lambda x, sigma: denoise(x, sigma, condition), (x, sigma), (dx, ds))
    torch.testing.assert_close(value, along(0.0))
    torch.testing.assert_close(found, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-5, atol=1e-8)
    (value.sum() + found.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(each.grad is not None for each in network.parameters())
