"""The checks of backbones catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from kernel import Backbone, Condition, ConditionSpec, LatentSpec


def beside(x: Tensor) -> Tensor:
    """Return [B, C, *S] with half of both neighbours along each axis added."""
    for axis in range(2, x.ndim):
        none, count = torch.zeros_like(x.narrow(axis, 0, 1)), x.shape[axis] - 1
        before = torch.cat([none, x.narrow(axis, 0, count)], axis)
        after = torch.cat([x.narrow(axis, 1, count), none], axis)
        x = x + (before + after) / 2
    return x


class Net(nn.Module):
    """A network of neighbours whose faults can be switched on."""

    def __init__(
        self,
        latent: LatentSpec,
        spec: ConditionSpec,
        faults: frozenset[str],
        times: int,
        dropout: float,
    ) -> None:
        super().__init__()
        channels = latent.channels
        self.dims, self.faults, self.width = latent.dims, faults, channels
        told = spec.vector + spec.sequence + spec.aligned + spec.origin
        self.embed = nn.Linear(channels + times + told, 8)
        self.out = nn.Linear(8, channels)
        nn.init.zeros_(self.out.weight)
        self.norm = nn.BatchNorm1d(8) if "batchnorm" in faults else None
        self.unused = nn.Linear(2, 2) if "unused" in faults else None
        if "buffer" in faults:
            self.register_buffer("scale", torch.ones(1), persistent=False)
        self.spec, self.dropout = spec, dropout

    def prepare(self, condition: Condition) -> Any:
        vector, sequence = condition.vector, condition.sequence
        if "deaf" in self.faults and vector is not None:
            vector = vector * 0
        if "any" in self.faults and vector is not None:
            vector = vector + self.embed.bias.sum() * bool(vector.any())
        if sequence is not None:
            mask = condition.mask if "mask" not in self.faults else None
            weight = sequence.new_ones(sequence.shape[:2]) if mask is None else mask.to(sequence)
            count = weight.sum(1, keepdim=True)
            if "maskless" in self.faults and condition.mask is None:
                count = count + 1
            count = count if "null" in self.faults else count.clamp(min=1)
            sequence = (sequence * weight[..., None]).sum(1) / count
        if "coarse" in self.faults and vector is not None:
            vector = torch.cat([vector[:, :-1], vector[:, -1:] * 0], 1)
        if "late" in self.faults and condition.aligned is not None:
            condition = attrs.evolve(condition, aligned=condition.aligned.roll(1, -1))
        parts = [part for part in (vector, sequence) if part is not None]
        planes = [part for part in (condition.aligned, condition.origin) if part is not None]
        tree = [torch.cat(parts, 1) if parts else None, torch.cat(planes, 1) if planes else None]
        if "record" in self.faults:
            return [*tree, {1}]
        if "constant" in self.faults:
            return [*tree, float(sum(part.sum() for part in [*parts, *planes]))]
        if "apart" in self.faults:
            self.kept = tree
            return [*tree, None]
        valid = condition.valid
        return [*tree, None if valid is None else valid.sum(1)]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        told, aligned, count = condition
        if "overwrite" in self.faults:
            x.mul_(0.5)
        if "apart" in self.faults:
            told, aligned = self.kept
        if "padding" in self.faults and count is not None:
            x = x + x.mean(-1, keepdim=True)
        if "exchanged" in self.faults:
            c_noise = c_noise.mean(1, keepdim=True).expand_as(c_noise)
        if "second" in self.faults:
            c_noise = c_noise * c_noise.new_tensor([1.0, 0.0])
        size = x.shape[2:]
        if "unsigned" in self.faults:
            c_noise = c_noise.abs()
        if "rounded" in self.faults:
            c_noise = c_noise.bfloat16().to(x)
        if "one-sided" in self.faults:
            c_noise = c_noise.clamp(min=0)
        if "statistics" in self.faults and self.training:
            x = x - x.detach().mean(0, keepdim=True)
        if "dropping" in self.faults:
            x = nn.functional.dropout(x, self.dropout)
        if "never" not in self.faults and "dropping" not in self.faults:
            x = nn.functional.dropout(x, self.dropout, self.training)
        if "end" in self.faults:
            x = torch.cat([x[..., :-1], x[..., -1:] * 0], -1) if size[-1] % 2 else x
        if count is not None:
            padding = torch.arange(size[-1], device=x.device) >= count[:, None]
            x = x.masked_fill(padding.view(len(x), *[1] * (x.ndim - 2), -1), 0)
        x = x if "blind" in self.faults else beside(x)
        if "told" in self.faults and count is not None:
            x = x * 1.1
        if "even" in self.faults:
            size = torch.Size([*size[:-1], size[-1] // 2 * 2])
            x = x[..., : size[-1]]
        flat = [c_noise.view(len(x), -1)] + ([] if told is None else [told])
        wide = torch.cat(flat, 1).view(len(x), -1, *[1] * self.dims).expand(-1, -1, *size)
        planes = [x, wide] + ([] if aligned is None else [aligned[..., : size[-1]]])
        hidden = self.embed(torch.cat(planes, 1).movedim(1, -1)).tanh()
        if self.norm is not None:
            hidden = self.norm(hidden.flatten(0, -2)).view(hidden.shape)
        if "waits" in self.faults:
            hidden = hidden / max(1.0, float(hidden.max()))
        if "random" in self.faults:
            hidden = hidden * (torch.rand_like(hidden) > 0.1)
        if "spent" in self.faults:
            condition[0] = None if told is None else told * 0
        return self.out(hidden).movedim(-1, 1)


class Beside(Backbone):
    """Look at each position and at those beside it."""

    masks = True
    shortfalls: ClassVar[Mapping[str, str]] = {"options": "an option names the faults"}

    faults: tuple[str, ...] = Field((), description="what is broken")
    times: Literal[1, 2] = Field(1, description="times that the network is told")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping in training")

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"two-times"} if self.times == 2 else ())

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return Net(latent, condition, frozenset(self.faults), self.times, self.dropout)


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Beside) == set()
    assert broken(Beside, times=2) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Beside, {"faults": ["batchnorm"]}, "items_apart"),
        (Beside, {"faults": ["deaf"]}, "items_apart"),
        (Beside, {"faults": ["statistics"]}, "alone"),
        (Beside, {"faults": ["dropping"]}, "dropout"),
        (Beside, {"faults": ["never"]}, "dropout"),
        (Beside, {"faults": ["one-sided"]}, "levels"),
        (Beside, {"faults": ["rounded"]}, "levels"),
        (Beside, {"faults": ["unsigned"]}, "levels"),
        (Beside, {"faults": ["exchanged"], "times": 2}, "levels"),
        (Beside, {"faults": ["maskless"]}, "null_condition"),
        (Beside, {"faults": ["coarse"]}, "everything"),
        (Beside, {"faults": ["end"]}, "everything"),
        (Beside, {"faults": ["blind"]}, "positions"),
        (Beside, {"faults": ["told"]}, "all_valid"),
        (Beside, {"faults": ["late"]}, "place"),
        (Beside, {"faults": ["unused"]}, "gradient"),
        (Beside, {"faults": ["buffer"]}, "meta"),
        (Beside, {"faults": ["mask"]}, "mask"),
        (Beside, {"faults": ["padding"]}, "valid"),
        (Beside, {"faults": ["constant"]}, "tree"),
        (Beside, {"faults": ["record"]}, "tree"),
        (Beside, {"faults": ["apart"]}, "tree"),
        (Beside, {"faults": ["second"], "times": 2}, "items_apart"),
        (Beside, {"faults": ["null"]}, "null_condition"),
        (Beside, {"faults": ["any"]}, "null_condition"),
        (Beside, {"faults": ["waits"]}, "device"),
        (Beside, {"faults": ["even"]}, "sizes"),
        (Beside, {"faults": ["random"]}, "pure"),
        (Beside, {"faults": ["spent"]}, "prepared"),
        (Beside, {"faults": ["overwrite"]}, "pure"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


class Chosen(Beside):
    """Have options that do nothing, break the network, or spoil its weights."""

    idle: bool = Field(False, description="does nothing")
    unmasked: bool = Field(False, description="hear the padding")
    dead: bool = Field(False, description="begin with no weight at all")
    coarse: bool = Field(False, description="compute a sum that bfloat16 cannot hold")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        faults = frozenset({"padding"} if self.unmasked else ())
        module = Net(latent, condition, faults, self.times, self.dropout)
        if self.dead:
            for each in module.parameters():
                nn.init.zeros_(each)
        if self.coarse:
            module.out = Coarse(module.out)
        return module


class Coarse(nn.Module):
    """Multiplies a matrix by a large number, and takes the number off again."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.shift = inner, nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        high = torch.cat([x, torch.full_like(x[..., :1], 1e3)], -1)
        eye = torch.eye(x.shape[-1] + 1, dtype=x.dtype, device=x.device)
        eye[-1] = 1
        result: Tensor = self.inner((high @ eye)[..., :-1] - 1e3 + self.shift)
        return result


def test_options_precision_and_training(catch: Any) -> None:
    assert "changes nothing" in catch(Chosen, "options")
    assert "unmasked=True: F" in catch(Chosen, "choices", coarse=False, dead=False)
    assert "its error goes from" in catch(Chosen, "learns", dead=True)
    assert "they differ by" in catch(Chosen, "autocast", coarse=True)
