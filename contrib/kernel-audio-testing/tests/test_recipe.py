"""The checks of recipes catch what they are there to catch."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import nn

from kernel import Batch, Parts, Recipe


class Good(Recipe):
    """Train a network to denoise, and a critic of its errors every other step."""

    critic: ClassVar[bool] = False

    def build(self, parts: Parts) -> nn.Module:
        return Module(self, parts)

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        sigma = batch.together(module.parts.schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        found = module.parts.denoiser(module.network)(x, sigma, batch.condition)
        return (found - batch.x0).square()

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": batch.mean(self.error(module, batch))}

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        return {"network": list(module.network.parameters())}

    def exports(self, module: Any) -> dict[str, nn.Module]:
        return {"backbone": module.network}


class Module(nn.Module):
    def __init__(self, recipe: Any, parts: Parts) -> None:
        super().__init__()
        self.network, self.other = parts.network, nn.Linear(1, 1)
        self.recipe, self.parts = recipe, parts

    @property
    def groups(self) -> Any:
        return self.recipe.groups(self)

    @property
    def exports(self) -> Any:
        return self.recipe.exports(self)

    def forward(self, batch: Batch, k: int) -> Any:
        return self.recipe.losses(self, batch, k)


class Alternating(Good):
    """Train another group in odd steps."""

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        return {**super().groups(module), "other": list(module.other.parameters())}

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        found = super().losses(module, batch, k)
        if k % 2 == 0:
            return found
        off = module.other(batch.x0[..., None])[..., 0] - batch.x0
        return {"other": batch.mean(off.square())}


class PerBatch(Good):
    """Divide by the batch size."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": super().losses(module, batch, k)["network"] / len(batch.x0)}


class Mean(Good):
    """Return one loss for all items."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": super().losses(module, batch, k)["network"].mean()}


class IgnoresPadding(Good):
    """Count the padding."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": self.error(module, batch).mean((1, 2))}


class CountsPadding(Good):
    """Leave the padding out of the sum, but not out of what it is divided by."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        loss = super().losses(module, batch, k)["network"]
        return {"network": loss if batch.valid is None else loss * batch.valid.double().mean(1)}


class Sum(Good):
    """Add where a mean is meant."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": super().losses(module, batch, k)["network"] * batch.x0[0].numel()}


class Twice(Good):
    """Train everything in two groups."""

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        found = list(module.network.parameters())
        return {"network": found, "again": found}


class Nothing(Good):
    """Export nothing."""

    def exports(self, module: Any) -> dict[str, nn.Module]:
        return {}


class Unreached(Good):
    """Train another network than the loss is of."""

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        return {**super().groups(module), "other": list(module.other.parameters())}

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        loss = super().losses(module, batch, k)["network"]
        return {"network": loss, "other": loss}


class Moody(Good):
    """Let the data decide what is trained."""

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        return {**super().groups(module), "other": list(module.other.parameters())}

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        found = super().losses(module, batch, k)
        return found if float(batch.x0[0].mean()) > 0 else {"other": found["network"]}


class Global(Good):
    """Draw from the global generator."""

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        return super().error(module, batch) * torch.rand(())


class Counts(Good):
    """Weigh a loss by the items that stand beside it."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        found = super().losses(module, batch, k)["network"]
        return {"network": found * (1 + 0.1 * len(batch.x0) / batch.count)}


class Longest(Good):
    """Divide by the longest item's length."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        loss = super().losses(module, batch, k)["network"]
        if batch.valid is None:
            return {"network": loss}
        held = batch.valid.double().sum(1)
        return {"network": loss * held / held.max()}


class Steps(Good):
    """Take a step of its own."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        found = super().losses(module, batch, k)
        with torch.no_grad():
            next(module.network.parameters()).mul_(0.99)
        return found


class OneNoise(Good):
    """Show every item the same noise."""

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        sigma = batch.together(module.parts.schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()[:1]
        found = module.parts.denoiser(module.network)(x, sigma, batch.condition)
        return (found - batch.x0).square()


class Untold(Good):
    """Forget the condition."""

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        import attrs

        return super().error(module, attrs.evolve(batch, condition=batch.condition.dropped()))


class Vanishing(Good):
    """Scale the loss by a number that is trained."""

    def groups(self, module: Any) -> dict[str, list[nn.Parameter]]:
        return {"network": [*module.network.parameters(), module.other.weight]}

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        loss = super().losses(module, batch, k)["network"]
        return {"network": loss * module.other.weight.exp()[0]}


class Ungrouped(Good):
    """Leave a weight that counts out of the group."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        loss = super().losses(module, batch, k)["network"]
        return {"network": loss * module.other.weight.exp()[0]}


class Forgets(Good):
    """Draw a weight for each frame that no checkpoint holds."""

    def build(self, parts: Parts) -> nn.Module:
        module = Module(self, parts)
        module.register_buffer("drawn", torch.rand(()), persistent=False)
        return module

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": super().losses(module, batch, k)["network"] * module.drawn}


class Clean(Good):
    """Show the network x0 itself."""

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        sigma = batch.together(module.parts.schedule.draw)
        found = module.parts.denoiser(module.network)(batch.x0, sigma, batch.condition)
        return (found - batch.x0).square()


class Inverted(Good):
    """Reward the error."""

    def losses(self, module: Any, batch: Batch, k: int) -> dict[str, torch.Tensor]:
        return {"network": -super().losses(module, batch, k)["network"]}


@pytest.mark.parametrize("component", [Good, Alternating])
def test_what_is_sound_passes(component: Any, broken: Any) -> None:
    assert broken(component) <= {"light_import"}


@pytest.mark.parametrize(
    ("component", "check", "found"),
    [
        (PerBatch, "items", "of an item in a batch and alone"),
        (Mean, "losses", r"is \(\), not \[B\]"),
        (IgnoresPadding, "valid", "with padding and without"),
        (CountsPadding, "valid", "with padding and without"),
        (Sum, "length", "twice over and once"),
        (Twice, "groups", "in the groups 'network' and 'again'"),
        (Nothing, "groups", r"trains \['backbone'\] and exports \[\]"),
        (Unreached, "gradient", "no gradient reaches the group other"),
        (Moody, "alternation", "trains"),
        (Global, "draws", "global generator"),
        (Counts, "halves", "in two micro-batches and in one"),
        (Longest, "lengths", "frames, padded and alone"),
        (Steps, "weights", "changes the weight"),
        (OneNoise, "own_draws", "correlates by"),
        (Untold, "condition", "another when the condition is another"),
        (Vanishing, "floor", "the gradient of the model falls to"),
        (Ungrouped, "grouped", "depends on 'other.weight', which is in no group"),
        (Forgets, "state", "and that of a recipe resumed"),
        (Clean, "shown", "is shown x of standard deviation"),
        (Inverted, "exact", "loss of a network that knows x0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_broken_is_caught(component: Any, check: str, found: str, catch: Any) -> None:
    import re

    assert re.search(found, catch(component, check))


class Narrow(Good):
    """Train small sigmas only, have an idle option, and watch with other draws each time."""

    idle: bool = Field(False, description="does nothing")

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        sigma = batch.together(module.parts.schedule.draw).clamp(max=1.0)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        found = module.parts.denoiser(module.network)(x, sigma, batch.condition)
        return (found - batch.x0).square()

    def watch(self, module: Any, batch: Batch) -> dict[str, torch.Tensor]:
        return {"far": batch.mean(batch.x0 + torch.rand(()))}


class Mixes(Good):
    """Mix the items of a batch, where an option says so."""

    mixed: bool = Field(False, description="mix the items of a batch")

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        error = super().error(module, batch)
        return error + error.mean() if self.mixed else error


class Beyond(Narrow):
    """Train sigmas that the schedule does not have."""

    def error(self, module: Any, batch: Batch) -> torch.Tensor:
        sigma = 2 * batch.together(module.parts.schedule.draw)
        found = module.parts.denoiser(module.network)(batch.x0, sigma, batch.condition)
        return (found - batch.x0).square()


def test_levels_watched_losses_and_options(catch: Any) -> None:
    assert "to 0.00 in 160 evaluations" in catch(Narrow, "levels")
    assert "and the schedule from -2.30 to 2.30" in catch(Beyond, "levels")
    assert "the watched loss far of the same draws" in catch(Narrow, "watched")
    assert "the option idle changes nothing" in catch(Narrow, "options")
    assert "with mixed=True" in catch(Mixes, "choices")
