"""More wrappers of a third party: adapters for ever, a counter and a cache; and a backbone."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Codec,
    Condition,
    ConditionSpec,
    Denoise,
    LatentSpec,
    NativePath,
    Noise,
    Solver,
    Step,
    Wrapper,
    hookimpl,
)

COUNTED: list[float] = []
ENCODED: list[int] = []


class Kept(Wrapper):
    """Adapters for ever: a model that was trained with them needs the wrapper."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Add matrices of rank 2 to a network."""
        from lab_lora.low_rank import adapt

        network = yield
        adapt(network, 2)
        return network


class Counter(Wrapper):
    """Count the evaluations of any solver."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        """Return the solver in one that counts."""
        solver = yield
        return Counted(inner=solver)


class Counted(Solver):
    """A solver that notes each sigma which it evaluates at."""

    inner: Solver

    @property
    def order(self) -> int:
        """Return the order of the solver inside."""
        return self.inner.order

    @property
    def stochastic(self) -> bool:
        """Return whether the solver inside draws noise."""
        return self.inner.stochastic

    def nfe(self, steps: int) -> int:
        """Return how often the solver inside evaluates."""
        return self.inner.nfe(steps)

    def along(self, path: NativePath | None, origin: Tensor | None) -> Solver:
        """Return the same around the solver for a process."""
        return Counted(inner=self.inner.along(path, origin))

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield the Steps of the solver inside."""

        def counting(state: Tensor, sigma: float) -> Tensor:
            COUNTED.append(sigma)
            return denoise(state, sigma)

        yield from self.inner.steps(counting, x, sigmas, noise)


class Cache(Wrapper):
    """Encode every recording once."""

    @hookimpl(wrapper=True)
    def build_codec(self, component: Codec, audio: AudioSpec) -> Generator[None, nn.Module, Any]:
        """Return the codec in one that remembers."""
        codec = yield
        return Cached(codec)

    def merge(self, module: nn.Module) -> nn.Module | None:
        """Return the codec without its memory."""
        inner: nn.Module = module.get_submodule("inner")
        return inner


class Cached(nn.Module):
    """A codec that remembers what it encoded."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.known: dict[bytes, Tensor] = {}

    def encode(self, audio: Tensor) -> Tensor:
        """Return the latents of audio [B, C, L], each of which is computed once."""
        latents = []
        for item in audio:
            key = item.cpu().numpy().tobytes()
            if key not in self.known:
                ENCODED.append(len(self.known))
                self.known[key] = self.inner.encode(item[None])
            latents.append(self.known[key])
        return torch.cat(latents)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return what the codec inside does."""
        decoded: Tensor = self.inner.decode(latent, samples)
        return decoded


class Idle(Wrapper):
    """Wrap a metric, which nothing builds."""

    what: ClassVar[str] = "nothing"


class Plain(Backbone):
    """Three convolutions and nothing else."""

    dims: ClassVar[tuple[int, ...]] = (1,)

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return the network."""
        return Network(latent.channels, condition.vector)


class Network(nn.Module):
    """F for latents of one axis."""

    def __init__(self, channels: int, vector: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, 16, 5, padding=2)
        self.told = nn.Linear(vector + 1, 16)
        self.last = nn.Conv1d(16, channels, 5, padding=2)

    def prepare(self, condition: Condition) -> Tensor | None:
        """Return the vector alone."""
        return condition.vector

    def forward(self, x: Tensor, c_noise: Tensor, vector: Tensor | None) -> Tensor:
        """Return F. x, result: [B, C, T]; c_noise: [B]; vector: [B, V]."""
        if vector is None:
            vector = x.new_zeros(len(x), self.told.in_features - 1)
        told = self.told(torch.cat([vector.to(x), c_noise[:, None]], 1))
        hidden: Tensor = self.last(torch.tanh(self.first(x) + told[..., None]))
        return hidden


@hookimpl
def wrapper(name: str) -> type[Wrapper] | None:
    """Offer the wrappers by their names."""
    known = {"kept": Kept, "counter": Counter, "cache": Cache, "idle": Idle}
    return known.get(name)


@hookimpl
def backbone() -> type[Backbone]:
    """Offer `plain`."""
    return Plain
