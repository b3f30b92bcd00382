"""What wrappers are held to: around a small network, a codec and a solver, as far as they wrap."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from kernel.assembly import Hooks, wraps
from kernel.kinds.backbone import Backbone
from kernel.kinds.codec import Codec
from kernel.kinds.solver import Solver
from kernel.values import (
    AudioSpec,
    Condition,
    ConditionSpec,
    Denoise,
    LatentSpec,
    Noise,
    Step,
)
from kernel_audio_testing._options import every_option_acts
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import finite, normal, same, unchanged

__all__ = ["CHECKS"]

AUDIO, LATENT, NOTHING = AudioSpec(8000), LatentSpec(2, (32,)), ConditionSpec()


class Given(nn.Module):
    """A small network: convolutions along the last axis, one in groups, and a linear map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, 8, 3, padding=1)
        self.inside = nn.ModuleDict(
            {
                "mix": nn.Linear(8, 8, bias=False),
                "wide": nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=2),
            }
        )
        self.last = nn.Conv1d(8, channels, 3, padding=1)

    def prepare(self, condition: Condition) -> None:
        """Return None: there is no condition."""

    def forward(self, x: Tensor, c_noise: Tensor, condition: None) -> Tensor:
        """Return F. x: [B, C, T]."""
        hidden = torch.tanh(self.first(x) + c_noise[:, None, None])
        hidden = torch.tanh(self.inside["mix"](hidden.transpose(1, 2)).transpose(1, 2))
        result: Tensor = self.last(torch.tanh(self.inside["wide"](hidden)))
        return result


class GivenBackbone(Backbone):
    """Builds the small network."""

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return the network, the same every time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Given(latent.channels)


class Halved(nn.Module):
    """Halves samples, and doubles them."""

    def encode(self, audio: Tensor) -> Tensor:
        """Return half of the audio [B, C, L]."""
        return audio / 2

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return twice the latent [B, C, L]."""
        return latent[..., :samples] * 2


class GivenCodec(Codec):
    """Builds the module that halves."""

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return the shape of the audio."""
        return LatentSpec(audio.channels, (samples,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the module."""
        return Halved()


class GivenSolver(Solver):
    """Steps along the slope at the start of a step, and adds noise."""

    @property
    def order(self) -> int:
        """Return 1."""
        return 1

    def nfe(self, steps: int) -> int:
        """Return two evaluations for each step."""
        return 2 * steps

    @property
    def stochastic(self) -> bool:
        """Return that it draws noise."""
        return True

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            first = denoise(x, sigma)
            x0 = (first + denoise(first.lerp(x, following / sigma), sigma)) / 2
            x = x0.lerp(x, following / sigma) + 0.1 * following * noise(sigma, following)
            x = yield Step(index, following, x, x0)


GIVEN: dict[str, tuple[Any, dict[str, Any]]] = {
    "build_backbone": (GivenBackbone(), {"latent": LATENT, "condition": NOTHING}),
    "build_codec": (GivenCodec(), {"audio": AUDIO}),
    "build_solver": (GivenSolver(), {}),
}


def _built(subject: Subject, hook: str) -> tuple[Any, Any]:
    """Return the wrapper and what it makes of what is given. Raises Inapplicable if nothing."""
    wrapper = subject.make()
    hooks = Hooks()
    hooks.wrap(subject.info, wrapper)
    if hook not in wraps(type(wrapper)):
        raise Inapplicable(f"it does not wrap {hook}")
    component, given = GIVEN[hook]
    torch.manual_seed(0)
    return wrapper, hooks.build(component, **given)


def _evaluated(network: Any, seed: int = 0) -> Tensor:
    x, c_noise = normal(2, 2, 32, seed=seed, dtype=torch.float32), torch.tensor([0.5, -1.0])
    with torch.no_grad(), unchanged(x=x, c_noise=c_noise):
        found: Tensor = network(x, c_noise, network.prepare(Condition()))
    return found


def check_wraps(subject: Subject) -> str | None:
    """Check that it wraps the building of a network, a codec or a solver."""
    wrapper = subject.make()
    Hooks().wrap(subject.info, wrapper)
    names = wraps(type(wrapper))
    known = [name for name in names if name in GIVEN]
    require(bool(known), f"it implements {', '.join(names)}, which builds nothing")
    return ", ".join(known)


def check_network(subject: Subject) -> str | None:
    """Check that a wrapped network prepares a condition and keeps the shape of x."""
    _, network = _built(subject, "build_backbone")
    require(isinstance(network, nn.Module), f"a network becomes {network!r:.80}")
    found = _evaluated(network)
    require(tuple(found.shape) == (2, 2, 32), f"x [2, 2, 32] becomes {tuple(found.shape)}")
    finite(found, "what a wrapped network returns")
    return None


def check_same_seed(subject: Subject) -> str | None:
    """Check that two networks wrapped after the same seed are equal."""
    first, second = (_built(subject, "build_backbone")[1] for _ in range(2))
    same(_evaluated(first), _evaluated(second), "two networks of one seed", 0.0)
    return None


def check_fresh(subject: Subject) -> str | None:
    """Check that a wrapper's parameters do not change a network before their training."""
    wrapper, network = _built(subject, "build_backbone")
    added = sum(each.numel() for each in network.parameters()) - _count(Given(2))
    merged = wrapper.merge(_built(subject, "build_backbone")[1])
    if not added and merged is None:
        raise Inapplicable("it adds no parameter and cannot be undone")
    plain = GivenBackbone().build(LATENT, NOTHING)
    same(_evaluated(network), _evaluated(plain), "a network freshly wrapped and as it was", 1e-5)
    if merged is not None:
        same(_evaluated(merged), _evaluated(plain), "a network merged and as it was", 1e-5)
    return f"adds {added} values"


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def check_trained(subject: Subject) -> str | None:
    """Check that a gradient reaches a fresh network, and later every trained parameter."""
    _, network = _built(subject, "build_backbone")
    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    require(bool(trained), "nothing of a wrapped network is trained")
    require(bool(_reached(network, trained)), "no gradient reaches a freshly wrapped network")
    with torch.no_grad():
        for number, each in enumerate(trained.values()):
            each.add_(normal(*each.shape, seed=number, dtype=each.dtype), alpha=0.1)
    idle = sorted(set(trained) - _reached(network, trained))
    require(not idle, f"no gradient reaches {', '.join(idle)}")
    return f"{len(trained)} tensors"


def _reached(network: Any, trained: dict[str, nn.Parameter]) -> set[str]:
    """Return the names of the parameters that have a gradient that is not zero."""
    x, c_noise = normal(2, 2, 32, dtype=torch.float32), torch.tensor([0.5, -1.0])
    found = network(x, c_noise, network.prepare(Condition())).square().sum()
    gradients = torch.autograd.grad(found, list(trained.values()), allow_unused=True)
    pairs = zip(trained, gradients, strict=True)
    return {name for name, gradient in pairs if gradient is not None and bool(gradient.any())}


@torch.no_grad()
def check_inputs(subject: Subject) -> str | None:
    """Check that a wrapped network or codec treats each input and each item alone."""
    wrapper = subject.make()
    Hooks().wrap(subject.info, wrapper)
    hooks = wraps(type(wrapper))
    if "build_backbone" in hooks:
        _, network = _built(subject, "build_backbone")
        first = _evaluated(network)
        other = _evaluated(network, 5)
        require(not torch.equal(first, other), "a wrapped network has one F for two inputs")
        same(_evaluated(network), first, "F of the same input, before and after another", 1e-6)
        x, c_noise = normal(2, 2, 32, dtype=torch.float32), torch.tensor([0.5, -1.0])
        alone = network(x[1:], c_noise[1:], network.prepare(Condition()))
        same(alone, first[1:], "F of an item in a batch and alone", 1e-5)
    if "build_codec" in hooks:
        _, codec = _built(subject, "build_codec")
        one, other = (normal(2, 1, 100, seed=seed, dtype=torch.float32) for seed in (0, 1))
        first = codec.encode(one)
        require(not torch.equal(codec.encode(other), first), "two sounds have one latent")
        same(codec.encode(one), first, "a latent of the same sound, before and after another", 1e-6)
        same(codec.encode(one[1:]), first[1:], "the latent of an item in a batch and alone", 1e-5)
        sounds = [codec.decode(each, 100) for each in (first, 2 * first)]
        require(not torch.equal(*sounds), "two latents have one sound")
    if not {"build_backbone", "build_codec"} & set(hooks):
        raise Inapplicable("it wraps neither a network nor a codec")
    return None


def check_merge(subject: Subject) -> str | None:
    """Check that `merge` restores the network's own weights and keeps its results."""
    wrapper, network = _built(subject, "build_backbone")
    with torch.no_grad():
        for number, each in enumerate(network.parameters()):
            if each.requires_grad:
                each.add_(normal(*each.shape, seed=number, dtype=each.dtype), alpha=0.1)
    before = _evaluated(network)
    merged = wrapper.merge(network)
    if merged is None:
        raise Inapplicable("it cannot be undone, so that a model names it")
    own = {name: value.shape for name, value in Given(2).state_dict().items()}
    left = {name: value.shape for name, value in merged.state_dict().items()}
    require(left == own, f"a network of {sorted(own)} is left with {sorted(left)}")
    same(_evaluated(merged), before, "a network before and after merge()", 1e-5)
    return None


@torch.no_grad()
def check_codec(subject: Subject) -> str | None:
    """Check that a wrapped codec keeps the shapes of latents and sounds."""
    _, codec = _built(subject, "build_codec")
    audio = normal(2, 1, 100, dtype=torch.float32)
    with unchanged(audio=audio):
        latent = codec.encode(audio)
    require(tuple(latent.shape) == (2, 1, 100), f"[2, 1, 100] is encoded as {tuple(latent.shape)}")
    sound = codec.decode(latent, 90)
    require(tuple(sound.shape) == (2, 1, 90), f"90 samples are decoded as {tuple(sound.shape)}")
    finite(sound, "what a wrapped codec decodes")
    return None


def _draws(first: int = 0) -> Noise:
    """Return noise of the items from `first` on: another in each step, the same every time."""
    return lambda sigma, following: normal(2, 2, 32, seed=round(1e3 * (sigma + following)))[first:]


def _spreads(solver: Any, sigmas: Sequence[float]) -> list[float]:
    """Return the standard deviation of the noise of each step but the last."""

    def noise(sigma: float, following: float) -> Tensor:
        return normal(2, 2, 500, seed=round(1e3 * (sigma + following)))

    states = [torch.zeros(2, 2, 500).double()]
    steps = solver.trajectory(lambda x, sigma: 0 * x, states[0], sigmas, noise)
    states += [step.x for step in steps]
    return [
        float((after - before * following / sigma).std()) / (0.1 * following)
        for (before, after), (sigma, following) in zip(
            pairwise(states), pairwise(sigmas), strict=True
        )
        if following
    ]


def check_state(subject: Subject) -> str | None:
    """Check that the state of a wrapped network, loaded into another one, gives the same F."""
    _, network = _built(subject, "build_backbone")
    with torch.no_grad():
        for number, each in enumerate(network.parameters()):
            each.add_(normal(*each.shape, seed=number, dtype=each.dtype), alpha=0.1)
    _, other = _built(subject, "build_backbone")
    other.load_state_dict(network.state_dict())
    same(_evaluated(other), _evaluated(network), "a wrapped network and one with its state", 1e-6)
    exact = network.double()
    found = exact(normal(3, 2, 19), torch.zeros(3, dtype=torch.float64), exact.prepare(Condition()))
    kept = (found.dtype, tuple(found.shape)) == (torch.float64, (3, 2, 19))
    require(kept, f"x [3, 2, 19] of float64 becomes {tuple(found.shape)} {found.dtype}")
    return None


def check_options(subject: Subject) -> str | None:
    """Check that every option changes what is built, alone or beside another."""
    hooks = [hook for hook in GIVEN if hook in wraps(type(subject.make()))]

    def observe(wrapper: Any) -> list[Tensor | float]:
        changed = attrs.evolve(subject, options=dict(wrapper))
        return [part for hook in hooks for part in _shown(_built(changed, hook)[1], hook)]

    return every_option_acts(subject, observe)


def _shown(built: Any, hook: str) -> list[Tensor | float]:
    """Return what a network does as it is trained, a codec, or a solver."""
    if hook == "build_codec":
        audio = normal(2, 1, 100, dtype=torch.float32)
        latent = built.encode(audio)
        return [latent, built.decode(latent, 90)]
    if hook == "build_solver":
        x, sigmas = normal(2, 2, 32), (4.0, 2.0, 1.0, 0.0)
        steps = built.trajectory(lambda x, sigma: x / (1 + sigma**2), x, sigmas, _draws())
        return [step.x for step in steps]
    trained = [each for each in built.parameters() if each.requires_grad]
    with torch.no_grad():
        for number, each in enumerate(trained):
            each.add_(normal(*each.shape, seed=number, dtype=each.dtype), alpha=0.1)
    return [_evaluated(built), float(sum(each.numel() for each in trained))]


def check_solver(subject: Subject) -> str | None:
    """Check that a wrapped solver yields a step for each interval and takes back its state."""
    _, solver = _built(subject, "build_solver")
    require(isinstance(solver, Solver), f"a solver becomes {solver!r:.80}")
    x, sigmas = normal(2, 2, 32), (4.0, 2.0, 1.0, 0.0)
    calls = 0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal calls
        calls += 1
        return x / (1 + sigma**2)

    steps = solver.along(None, None).trajectory(
        denoise, x, sigmas, lambda *_: normal(2, 2, 32, seed=1)
    )
    seen, step = [], next(steps, None)
    while step is not None:
        seen.append(step.sigma)
        finite(step.x, f"the state at sigma {step.sigma}")
        try:
            step = steps.send(step.x)
        except StopIteration:
            step = None
    require(seen == list(sigmas[1:]), f"the grid {sigmas} is followed through {seen}")
    require(
        calls == solver.nfe(3), f"it evaluates {calls} times in 3 steps, and says {solver.nfe(3)}"
    )
    plain, along = (
        [step.x for step in each.trajectory(denoise, x, sigmas, _draws())]
        for each in (solver, solver.along(None, None))
    )
    for one, other in zip(plain, along, strict=True):
        same(other, one, "the states of a solver taken along no process, and of itself", 1e-9)
    for index, spread in enumerate(_spreads(solver, sigmas)):
        require(abs(spread - 1) < 0.2, f"the noise of step {index} has a deviation of {spread:.2f}")
    alone = [step.x for step in solver.trajectory(denoise, x[1:], sigmas, _draws(first=1))]
    for one, other in zip(plain, alone, strict=True):
        same(one[1:], other, "the states of an item in a batch and alone", 1e-9)
    require(solver.order == GivenSolver().order, f"a solver of order 1 says {solver.order}")
    require(solver.stochastic, "a solver that draws noise says that it draws none")
    return None


CHECKS = (
    check_wraps,
    check_network,
    check_same_seed,
    check_fresh,
    check_trained,
    check_inputs,
    check_merge,
    check_codec,
    check_state,
    check_solver,
    check_options,
)
