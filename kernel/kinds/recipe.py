"""Recipes: the computation of one training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

from kernel.kinds._component import Component
from kernel.kinds.objective import Objective
from kernel.kinds.schedule import Schedule
from kernel.kinds.task import Task
from kernel.values import Condition, LatentSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@attrs.frozen(eq=False)
class Batch:
    """The items of one training step, or those of one micro-batch of it, on the device.

    audio: [B, C, L]. x0: [B, C, *S], the latents of the audio at the scale of x; None where the
    recipe trains the codec. condition: after dropout. valid: [B, T], bool, true where the last axis
    of x0 (of the audio, without x0) holds sound; None where all of it does.

    No draw depends on how a step is cut: `generators` has one for each item, and `common`, which
    starts alike in every micro-batch, draws for all `count` items of the step. The items here are
    those from `first` on; `put` brings a draw to the device.
    """

    audio: Tensor
    x0: Tensor
    condition: Condition
    valid: Tensor | None
    generators: Sequence[torch.Generator]
    common: torch.Generator
    count: int
    first: int
    put: Callable[[Tensor], Tensor]

    def normal(self, like: Tensor | None = None) -> Tensor:
        """Return standard normal noise of the shape and dtype of x0, or of `like` [B, ...]."""
        from kernel.seeds import normal

        like = self.x0 if like is None else like
        return normal(self.generators, like.shape[1:], self.put).to(like.dtype)

    def uniform(self) -> Tensor:
        """Return a number in [0, 1) for each item, [B]."""
        import torch

        return self.put(torch.stack([torch.rand((), generator=each) for each in self.generators]))

    def together(self, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return the rows of these items, [B, ...], of one draw for all items of the step.

        `batch.together(schedule.draw)` is [B] sigmas, which a schedule may spread over the step.
        """
        return self.put(draw(self.count, self.common)[self.first : self.first + len(self.audio)])

    def each(self, values: Tensor) -> Tensor:
        """Return a value for each item, [B], as [B, 1, ...] with as many axes as x0."""
        return values.view(-1, *[1] * (self.x0.ndim - 1))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of each item, [B], over what is valid. values: [B, ..., T]."""
        axes = tuple(range(1, values.ndim))
        if self.valid is None:
            return values.mean(axes)
        valid = self.valid.view(len(values), *[1] * (values.ndim - 2), -1).expand_as(values)
        return values.masked_fill(~valid, 0).sum(axes) / valid.sum(axes).clamp(min=1)


@attrs.frozen(eq=False)
class Parts:
    """The parts of a training that a recipe may use, all on its device.

    objective, schedule, task: the components; the schedule is that of latents of the training's
    size. A part that the recipe does not require is None where none was named. latent: the shape of
    the longest item's latent. codec: the CodecModule, frozen unless the recipe trains it. network:
    the NetworkModule to be trained; `build_network()` makes one more, such as a critic.

    evaluate(function): the function under the training's precision, compiled where the user asked
    for that; a tensor that it returns has the dtype of its first argument.

    denoiser(network): D(x, sigma, condition) of a NetworkModule, for x [B, C, *S] and sigma [B].

    model(name): such a D of another model, a pack's name or folder; its weights are frozen.

    average(module, half_life): a frozen copy of a module, which comes half as near to it within
    `half_life` steps. The runner moves, saves and resumes it.

    jvp(function, primals, tangents): the value of a function and its derivative along tangents,
    both differentiable with respect to weights. Networks within are neither compiled nor fused.
    """

    objective: Objective
    schedule: Schedule
    task: Task
    latent: LatentSpec
    codec: nn.Module
    network: nn.Module
    build_network: Callable[[], nn.Module]
    evaluate: Callable[[Callable[..., Any]], Callable[..., Any]]
    denoiser: Callable[[nn.Module], Callable[[Tensor, Tensor, Condition], Tensor]]
    model: Callable[[str], Callable[[Tensor, Tensor, Condition], Tensor]]
    average: Callable[[nn.Module, float], nn.Module]
    jvp: Callable[..., tuple[Tensor, Tensor]]


class RecipeModule(Protocol):
    """The `torch.nn.Module` that a recipe builds: all that is trained, and the state of training.

    Every checkpoint holds its parameters and buffers; state that outlives a step is one of them.
    """

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return the parameters that are trained, in disjoint groups with an optimizer each."""

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the module whose averaged weights become the model's, for each of `trains`."""

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B], for each group that step `k` trains.

        Which groups those are depends on `k` only, and a loss on its own item only. Padding neither
        counts nor is divided by (`batch.mean`). Nothing is drawn but from the batch.
        """


class Recipe(Component):
    """The step of a training: the losses of every group of parameters.

    All losses of a step are taken at the same weights, and each is differentiated for its own group
    alone; then every group that has one takes a step of its optimizer. The runner sums over
    micro-batches and divides by the step's items. Devices, precision, clipping, learning rates,
    averages and checkpoints are the runner's too.
    """

    kind: ClassVar[str] = "recipe"
    played: ClassVar[bool] = False

    requires: ClassVar[tuple[str, ...]] = ("objective", "schedule", "backbone", "codec", "task")
    """The kinds without which it cannot train."""

    trains: ClassVar[tuple[str, ...]] = ("backbone",)
    """The kinds whose weights it trains: `backbone`, `codec` or both."""

    def build(self, parts: Parts) -> nn.Module:
        """Return a RecipeModule; its initial weights come from the global generator, as usual."""
        raise NotImplementedError

    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return losses that are watched and not trained, [B] by name; none by default.

        module: what `build` made, with averaged weights, in evaluation mode and without gradients.
        batch: held-out items, the same ones with the same generators at every validation, so that
        only the weights change the result. The runner reports the mean of each name and of all.
        """
        return {}
