"""The networks that backbones build for the checks, and what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.values import Condition, ConditionSpec, LatentSpec, Prepared
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal

__all__ = [
    "LATENTS",
    "Scene",
    "cast",
    "masking",
    "scenes",
    "with_part",
]

LATENTS = {1: LatentSpec(3, (24,)), 2: LatentSpec(2, (12, 10))}
EVERYTHING = ConditionSpec(vector=4, sequence=5, aligned=3, origin=ConditionSpec.LATENT)
SINGLE = (
    ConditionSpec(vector=4),
    ConditionSpec(sequence=5),
    ConditionSpec(aligned=3),
    ConditionSpec(origin=ConditionSpec.LATENT),
)


@attrs.frozen(eq=False)
class Scene:
    """A network, perturbed so that no layer is zero, and what it was built for."""

    module: Any
    latent: LatentSpec
    spec: ConditionSpec
    times: int = 1

    def inputs(
        self, size: tuple[int, ...] | None = None, length: int = 3, seed: int = 0
    ) -> tuple[Tensor, Tensor, Condition]:
        """Return x, c_noise and a condition for a batch of three, in float64."""
        size = size or self.latent.size
        x = normal(3, self.latent.channels, *size, seed=seed)
        c_noise = torch.tensor([-0.7, 0.1, 0.6]).double()
        if self.times == 2:
            c_noise = torch.stack([c_noise, c_noise / 2], 1)
        return x, c_noise, self.condition(size, length, seed + 1)

    def condition(self, size: tuple[int, ...], length: int, seed: int) -> Condition:
        """Return a condition with the parts that the network was built for."""
        spec = self.spec
        return Condition(
            vector=normal(3, spec.vector, seed=seed) if spec.vector else None,
            sequence=normal(3, length, spec.sequence, seed=seed + 1) if spec.sequence else None,
            mask=torch.ones(3, length, dtype=torch.bool) if spec.sequence else None,
            aligned=normal(3, spec.aligned, *size, seed=seed + 2) if spec.aligned else None,
            origin=normal(3, spec.origin, *size, seed=seed + 3) if spec.origin else None,
        )

    def tree(self, condition: Condition) -> Any:
        """Return what the network is handed of a condition."""
        return Prepared.of(self.module.prepare(condition), condition).tree

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Condition) -> Tensor:
        """Return F."""
        result: Tensor = self.module(x, c_noise, self.tree(condition))
        return result


def _build(subject: Subject, latent: LatentSpec, spec: ConditionSpec, fresh: bool) -> Scene:
    """Return a network built from a fixed seed, with constant parameters perturbed or `fresh`."""
    backbone, spec = subject.make(), spec.of(latent)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = backbone.build(latent, spec)
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            if not fresh and bool((parameter == parameter.flatten()[0]).all()):
                change = normal(parameter.numel(), seed=index, dtype=parameter.dtype)
                parameter += 0.1 * change.view_as(parameter)
    times = 2 if "two-times" in backbone.offers else 1
    return Scene(module.double().eval(), latent, spec, times)


def scenes(
    subject: Subject, latents: Mapping[int, LatentSpec] = LATENTS, fresh: bool = False
) -> Iterator[Scene]:
    """Yield a network for each number of axes, with every part of a condition that it takes.

    A backbone that does not take all parts at once is built for each part that it does take.
    """
    dims = subject.make().dims
    require(bool(dims) and set(dims) <= set(LATENTS), f"dims is {dims}, not some of (1, 2)")
    for latent in (latents[axes] for axes in dims if axes in latents):
        try:
            yield _build(subject, latent, EVERYTHING, fresh)
            continue
        except KernelError:
            singles = [_attempt(subject, latent, spec, fresh) for spec in SINGLE]
        taken = [scene for scene in singles if scene is not None]
        yield from taken or [_build(subject, latent, ConditionSpec(), fresh)]


def _attempt(
    subject: Subject, latent: LatentSpec, spec: ConditionSpec, fresh: bool
) -> Scene | None:
    try:
        return _build(subject, latent, spec, fresh)
    except KernelError:
        return None


def with_part(subject: Subject, *parts: str) -> Iterator[Scene]:
    found = [s for s in scenes(subject) if not parts or any(getattr(s.spec, p) for p in parts)]
    if not found:
        raise Inapplicable(f"the backbone takes no {' or '.join(parts)} in a condition")
    yield from found


def cast(
    dtype: torch.dtype, x: Tensor, c_noise: Tensor, condition: Condition
) -> tuple[Tensor, Tensor, Condition]:
    def cast(part: Tensor) -> Tensor:
        return part.to(dtype) if part.is_floating_point() else part

    return cast(x), cast(c_noise), condition.map(cast)


def masking(subject: Subject) -> None:
    if not subject.make().masks:
        raise Inapplicable("the backbone cannot mask (`masks` is false), and gets equal lengths")
