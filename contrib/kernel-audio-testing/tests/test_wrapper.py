"""The checks of wrappers catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import nn
from torch.nn.utils import parametrize

from kernel import Solver, Wrapper, hookimpl


class Sound(Wrapper):
    """Add a trained bias to the first convolution, and fold it in when undone."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network: Any = yield
        return Biased(network)

    def merge(self, module: Any) -> nn.Module:
        with torch.no_grad():
            module.inner.last.bias.add_(module.extra)
        inner: nn.Module = module.inner
        return inner


class Biased(nn.Module):
    """Adds a number for each channel to what a network returns."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.extra = nn.Parameter(torch.zeros(2))

    def prepare(self, condition: Any) -> Any:
        return self.inner.prepare(condition)

    def forward(self, x: Any, c_noise: Any, condition: Any) -> Any:
        return self.inner(x, c_noise, condition) + self.extra[:, None]


class Forgets(Sound):
    """Forget what was trained."""

    def merge(self, module: Any) -> nn.Module:
        inner: nn.Module = module.inner
        return inner


class Adds(Sound):
    """Begin with a bias that is not zero."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network: Any = Biased((yield))
        network.extra.data.add_(1)
        whole: nn.Module = network
        return whole


class Frozen(Wrapper):
    """Train nothing."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network = yield
        return network.requires_grad_(False)


class Remembers(Wrapper):
    """Keep the first latent for every sound."""

    @hookimpl(wrapper=True)
    def build_codec(self) -> Generator[None, Any, nn.Module]:
        codec = yield
        encode, kept = codec.encode, []

        def remembered(audio: Any) -> Any:
            kept.append(encode(audio))
            return kept[0]

        codec.encode = remembered
        whole: nn.Module = codec
        return whole


class Twice(Wrapper):
    """Evaluate the network twice where once is said."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Repeating(inner=solver)


class Repeating(Solver):
    """Evaluates twice."""

    inner: Solver

    @property
    def order(self) -> int:
        return self.inner.order

    @property
    def stochastic(self) -> bool:
        return True

    def nfe(self, steps: int) -> int:
        return self.inner.nfe(steps)

    def steps(self, denoise: Any, x: Any, sigmas: Any, noise: Any) -> Any:
        def both(x: Any, sigma: float) -> Any:
            denoise(x, sigma)
            return denoise(x, sigma)

        yield from self.inner.steps(both, x, sigmas, noise)


class Loses(Wrapper):
    """Add to the noise, but not along a process."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Louder(inner=solver)


class Louder(Solver):
    """Doubles the noise."""

    inner: Solver

    def nfe(self, steps: int) -> int:
        return self.inner.nfe(steps)

    @property
    def order(self) -> int:
        return self.inner.order

    def along(self, path: Any, origin: Any) -> Solver:
        return self.inner.along(path, origin)

    def steps(self, denoise: Any, x: Any, sigmas: Any, noise: Any) -> Any:
        yield from self.inner.steps(denoise, x, sigmas, lambda *step: 2 * noise(*step))


class Shares(Wrapper):
    """Give every item the noise of the first."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Sharing(inner=solver)


class Sharing(Louder):
    """Shares the noise."""

    def along(self, path: Any, origin: Any) -> Solver:
        return self

    def steps(self, denoise: Any, x: Any, sigmas: Any, noise: Any) -> Any:
        shared = lambda *step: noise(*step)[:1].expand_as(x)  # noqa: E731
        yield from self.inner.steps(denoise, x, sigmas, shared)


class Stuck(Sound):
    """Begin where no gradient is."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network: Any = Biased((yield))
        network.extra.register_hook(lambda gradient: gradient * network.extra.ne(0))
        whole: nn.Module = network
        return whole


class Widens(Wrapper):
    """Draw noise of twice the deviation."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Always(inner=solver)


class Always(Louder):
    """Doubles the noise, along a process too."""

    def along(self, path: Any, origin: Any) -> Solver:
        return self


class Modest(Wrapper):
    """Say one evaluation a step."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Saying(inner=solver)


class Saying(Louder):
    """Takes as many evaluations as the solver inside."""

    def nfe(self, steps: int) -> int:
        return steps


class Outermost(Sound):
    """Add to nested maps too, and undo the outermost."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network: Any = yield
        for module in (network.inside["mix"], network.last):
            parametrize.register_parametrization(module, "weight", Shifted(module.weight))
        whole: nn.Module = network
        return whole

    def merge(self, module: Any) -> nn.Module:
        for each in module.children():
            if parametrize.is_parametrized(each):
                parametrize.remove_parametrizations(each, "weight")
        whole: nn.Module = module
        return whole


class Shifted(nn.Module):
    """Adds to a weight."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros_like(weight))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.by


class Stays(Sound):
    """Give back what it has wrapped, as it is."""

    def merge(self, module: Any) -> nn.Module:
        whole: nn.Module = module
        return whole


class Shortens(Wrapper):
    """Return a network that drops a frame."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, Any, nn.Module]:
        network = yield
        network.last.padding = (0,)
        whole: nn.Module = network
        return whole


class Random(Wrapper):
    """Draw from a generator that no seed reaches."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, Any, nn.Module]:
        network = yield
        draws = torch.Generator()
        draws.seed()
        with torch.no_grad():
            network.last.bias.add_(torch.randn(2, generator=draws))
        whole: nn.Module = network
        return whole


class Cuts(Wrapper):
    """Encode half of the sound."""

    @hookimpl(wrapper=True)
    def build_codec(self) -> Generator[None, Any, nn.Module]:
        codec = yield
        encode = codec.encode
        codec.encode = lambda audio: encode(audio)[..., ::2]
        whole: nn.Module = codec
        return whole


class Skips(Wrapper):
    """Leave the last step of a solver out."""

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        solver = yield
        return Skipping(inner=solver)


class Skipping(Solver):
    """Follows another solver, but for its last step."""

    inner: Solver

    def steps(self, denoise: Any, x: Any, sigmas: Any, noise: Any) -> Any:
        return self.inner.steps(denoise, x, sigmas[:-1], noise)


def test_what_is_sound_passes(broken: Callable[..., set[str]]) -> None:
    assert broken(Sound) == set()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Forgets, "merge", "a network before and after merge(): they differ by"),
        (Adds, "fresh", "a network freshly wrapped and as it was"),
        (Frozen, "trained", "nothing of a wrapped network is trained"),
        (Remembers, "inputs", "two sounds have one latent"),
        (Twice, "solver", "it evaluates 12 times in 3 steps, and says 6"),
        (Loses, "solver", "the states of a solver taken along no process, and of itself"),
        (Shares, "solver", "the states of an item in a batch and alone"),
        (Stuck, "trained", "no gradient reaches a freshly wrapped network"),
        (Widens, "solver", "the noise of step 0 has a deviation of 2.0"),
        (Modest, "solver", "it evaluates 6 times in 3 steps, and says 3"),
        (Outermost, "merge", "inside.mix.parametrizations.weight"),
        (Stays, "merge", "is left with ['extra', 'inner.first.bias'"),
        (Shortens, "network", "x [2, 2, 32] becomes (2, 2, 30)"),
        (Random, "same_seed", "two networks of one seed: they differ by"),
        (Cuts, "codec", "[2, 1, 100] is encoded as (2, 1, 50)"),
        (Skips, "solver", "is followed through [2.0, 1.0]"),
    ],
)
def test_what_is_broken_is_caught(
    component: type[Wrapper], check: str, message: str, catch: Callable[..., str]
) -> None:
    assert message in catch(component, check)


class Loose(Sound):
    """Keep what it trains out of every checkpoint, and have an option that does nothing."""

    idle: bool = Field(False, description="does nothing")

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        network: Any = Biased((yield))
        network.state_dict = network.inner.state_dict
        network.load_state_dict = network.inner.load_state_dict
        whole: nn.Module = network
        return whole


class Single(Biased):
    """Computes in float32."""

    def forward(self, x: Any, c_noise: Any, condition: Any) -> Any:
        return super().forward(x, c_noise, condition).float()


class Casts(Sound):
    """Return float32 whatever comes in."""

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        return Single((yield))


def test_the_state_and_the_options_of_a_wrapper(catch: Any) -> None:
    assert "a wrapped network and one with its state" in catch(Loose, "state")
    assert "torch.float32" in catch(Casts, "state")
    assert "the option idle changes nothing" in catch(Loose, "options")
