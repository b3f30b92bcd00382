"""The base class of each kind of component.

Every component speaks one language, the variance-exploding coordinates

    x = x0 + sigma n,  n ~ N(0, I),          D(x, sigma, condition) -> estimate of x0,

in which the probability-flow ODE is `dx/dsigma = (x - D) / sigma` (Karras et al. 2022, eq. 1 with
s(t) = 1, sigma(t) = t). Any other process is an invertible change of variables inside an objective.

A component is a frozen pydantic model whose fields are its options. What has weights or buffers is
a `torch.nn.Module` that the component builds; only the runner moves it to a device.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kernel.errors import UsageError
from kernel.scalars import minimum
from kernel.values import (
    AudioSpec,
    Condition,
    ConditionSpec,
    Context,
    Denoise,
    Example,
    GuidedDenoise,
    LatentSpace,
    LatentSpec,
    Measurement,
    NativePath,
    Network,
    Noise,
    Preconditioning,
    Pull,
    Request,
    Step,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "Backbone",
    "Codec",
    "CodecModule",
    "Component",
    "Dataset",
    "Guidance",
    "Metric",
    "MetricModule",
    "NetworkModule",
    "Objective",
    "Observer",
    "Schedule",
    "Solver",
    "Task",
]


class Component(BaseModel):
    """A part of a model or a run; its fields are its options.

    Needs are words that some other selected component must offer before a run starts. The kernel
    knows `gradient`, `measurement`, `null-condition`, `origin`, `path` and `reference`; plugins may
    coin more.
    """

    # What the command line reads as a number may be meant as a name: a label, say.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    kind: ClassVar[str]

    shortfalls: ClassVar[Mapping[str, str]] = {}
    """Checks of the conformance kit that are known to fail, by name, each with the reason.

    One that passes after all is a failure, so that the list stays true.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Return the words that other components must offer."""
        return frozenset()

    @property
    def offers(self) -> frozenset[str]:
        """Return the words that this component offers to others."""
        return frozenset()


class Objective(Component):
    """What a network is trained to predict, and how a denoiser is read off it.

    D(x, sigma) = c_skip x + c_out F(c_in x + c_origin y, c_noise) (Karras et al. 2022, eq. 7)
    loss        = weight(sigma) |D - x0|^2                         (eq. 2)

    A process x_t = a x0 + b y + s n that drifts towards an origin y is x = (x_t - b y) / a with
    sigma = s / a, so that `c_in = a` and `c_origin = b` give the network x_t itself.

    `weighting` chooses the weight, with the signal-to-noise ratio snr = (sigma_data / sigma)^2:

        unit      1 / c_out^2, so that the network's target has the weight 1 at every sigma
        none      1
        min-snr   min(snr, gamma) / sigma_data^2                   (Hang et al. 2023, eq. 3)
        p2        1 / (sigma^2 (1 + snr)^gamma)                    (Choi et al. 2022, eq. 8)
        learned   that of unit, divided by exp(u(sigma)) with u(sigma) added to the loss, u being
                  trained beside the network                       (Karras et al. 2024, eq. 21)

    `sigma_data` is the standard deviation of x0 that the four functions assume. A codec's latents
    have unit variance; the kernel multiplies them by `sigma_data`.
    """

    kind: ClassVar[str] = "objective"

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")
    weighting: Literal["unit", "none", "min-snr", "p2", "learned"] = Field(
        "unit", description="how much the error at each sigma counts in the loss"
    )
    weighting_gamma: float | None = Field(
        None, gt=0, description="largest ratio of min-snr (5 if not given), exponent of p2 (1)"
    )

    @property
    def path(self) -> NativePath | None:
        """Return the native time of the process, for solvers that step in it; None without one."""
        return None

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `path`, where there is one."""
        return frozenset() if self.path is None else frozenset({"path"})

    @model_validator(mode="after")
    def _gamma_is_used(self) -> Self:
        if self.weighting_gamma is not None and self.weighting not in ("min-snr", "p2"):
            raise ValueError(
                f"weighting {self.weighting!r} has no gamma; leave weighting_gamma out, or choose "
                f"min-snr or p2"
            )
        return self

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        raise NotImplementedError

    def weight(self, sigma: Any) -> Any:
        """Return the weight of |D - x0|^2 at `sigma`, a float > 0 or a tensor [B]."""
        snr = (self.sigma_data / sigma) ** 2
        match self.weighting:
            case "none":
                return 1.0
            case "min-snr":
                return minimum(snr, self.weighting_gamma or 5.0) / self.sigma_data**2
            case "p2":
                return (1 + snr) ** -(self.weighting_gamma or 1.0) / sigma**2
            case _:
                return 1 / self.precondition(sigma).c_out ** 2

    def denoise(
        self,
        network: Network,
        x: Tensor,
        sigma: float,
        condition: Any,
        origin: Tensor | None = None,
    ) -> Tensor:
        """Return D(x, sigma). x, origin, result: [B, C, *S]; sigma > 0.

        `condition` is what the backbone's `prepare` made of a Condition, `origin` that of the
        Condition itself.
        """
        scale = self.precondition(sigma)
        c_noise = x.new_full((x.shape[0],), scale.c_noise)
        given = x * scale.c_in
        if origin is not None and scale.c_origin != 0:
            given.add_(origin, alpha=scale.c_origin)
        prediction = network(given, c_noise, condition)
        estimate: Tensor = prediction * scale.c_out
        return estimate.add_(x, alpha=scale.c_skip)

    def loss(
        self,
        network: Network,
        x0: Tensor,
        sigma: Tensor,
        noise: Tensor,
        condition: Any,
        mask: Tensor | None = None,
        origin: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean squared error of each item, [B].

        x0, noise, origin: [B, C, *S]; sigma: [B]. mask, broadcastable to x0, is 0 in the padding,
        which is neither counted nor divided by.
        """
        batch = (-1, *[1] * (x0.ndim - 1))
        scale = self.precondition(sigma)
        c_skip, c_out, c_in = (c.view(batch) for c in self._tensors(scale, sigma))
        x = x0 + sigma.view(batch) * noise
        c_noise = sigma.new_zeros(sigma.shape) + scale.c_noise
        given = c_in * x
        if origin is not None:
            given = given + (sigma.new_zeros(sigma.shape) + scale.c_origin).view(batch) * origin
        prediction = network(given, c_noise, condition)
        # In terms of F the error is c_out smaller, so that nothing cancels where c_out is tiny.
        error = (prediction.float() - (x0 - c_skip * x) / c_out).square()
        axes = tuple(range(1, x0.ndim))
        if mask is None:
            mean = error.mean(axes)
        else:
            mask = mask.expand_as(error)
            mean = (error * mask).sum(axes) / mask.sum(axes).clamp(min=1)
        weighted: Tensor = self.weight(sigma) * c_out.view(-1).square() * mean
        return weighted

    @staticmethod
    def _tensors(scale: Preconditioning, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        zero = sigma.new_zeros(sigma.shape)
        return zero + scale.c_skip, zero + scale.c_out, zero + scale.c_in


class Schedule(Component):
    """Which sigmas a sampler visits and which sigmas a network is trained at."""

    kind: ClassVar[str] = "schedule"

    if TYPE_CHECKING:  # options or properties, whichever suits a schedule

        @property
        def sigma_min(self) -> float:
            """Return the smallest sigma above 0."""

        @property
        def sigma_max(self) -> float:
            """Return the largest sigma."""

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 strictly descending sigmas, from sigma_max down to exactly 0.

        Those before the last lie in [sigma_min, sigma_max].

        Raises UsageError when `steps` < 1.
        """
        raise NotImplementedError

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas in [sigma_min, sigma_max], float32 on the CPU."""
        raise NotImplementedError

    def sized(self, latent: LatentSpec) -> Schedule:
        """Return the schedule for latents of such a size; most are the same for every size."""
        return self


class Solver(Component):
    """Follows the probability-flow ODE, or its stochastic kin, from sigmas[0] down to 0."""

    kind: ClassVar[str] = "solver"

    @property
    def order(self) -> int:
        """Return the order of convergence in the largest step, on a smooth denoiser."""
        raise NotImplementedError

    @property
    def stochastic(self) -> bool:
        """Return whether `noise` is drawn from."""
        return False

    def nfe(self, steps: int) -> int:
        """Return how often `steps` steps evaluate the denoiser."""
        return steps

    def along(self, path: NativePath | None, origin: Tensor | None) -> Solver:
        """Return the solver for a process and its origin; most need neither.

        One that steps in native time `needs` the word `path`, and keeps what it is given here.
        """
        return self

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update and take back, by `send`, the state to go on from.

        x: [B, C, *S] at sigmas[0]; any number of axes, any floating dtype. sigmas: steps + 1
        descending floats, the last 0. Neither `x` nor what `denoise` returns is changed in place;
        the yielded state may be reused once the next step was asked for. No state outlives the
        generator, so that runs can be interleaved.
        """
        raise NotImplementedError


class Guidance(Component):
    """Changes what the denoiser returns, or where a step ends.

    The order in which guidances are named does not matter. At every evaluation those that `mix`
    come first, then the sum of what all steer, then those that `project`, then those that `limit`;
    within a stage they go by their names, the first innermost.
    """

    kind: ClassVar[str] = "guidance"

    stage: ClassVar[Literal["mix", "project", "limit"]] = "mix"
    """When `wrap` and `constrain` have their turn.

    To mix is to combine several evaluations of the network into one estimate, to project is to make
    an estimate agree with what is known, to limit is to keep it within bounds.
    """

    strength: ClassVar[str | None] = None
    """The option to lower when a run with this guidance leaves the range of the data."""

    neutral: ClassVar[Mapping[str, Any] | None] = None
    """Options under which the guidance changes nothing; None when there are none."""

    @property
    def steers(self) -> bool:
        """Return whether `steer` says anything."""
        return type(self).steer is not Guidance.steer

    @property
    def needs(self) -> frozenset[str]:
        """Return `gradient` for a guidance that steers."""
        return frozenset({"gradient"}) if self.steers else frozenset()

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return a denoiser that calls `denoise` and passes on the condition it is called with."""
        return denoise

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return what is to be added to the estimate `x0`, shaped like it and detached.

        x0 depends on x, and `pull` gives the gradient of any loss that is made of the two. Adding
        -s grad to the score is adding -sigma^2 s grad here.
        """
        raise NotImplementedError

    def constrain(self, x: Tensor, sigma: float, denoise: Denoise, context: Context) -> Tensor:
        """Return the state to go on from after a step that reached `sigma`: `x`, or another.

        `denoise` is the denoiser with all guidances. `sigma` is 0 after the last step.
        """
        return x


class NetworkModule(Protocol):
    """The `torch.nn.Module` that a backbone builds."""

    def prepare(self, condition: Condition) -> Any:
        """Return everything that depends on the condition alone; computed once for a run."""

    def forward(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        """Return F. x, result: [B, C, *S]; c_noise: [B]; condition: what `prepare` returned."""


class Backbone(Component):
    """The architecture of the network F."""

    kind: ClassVar[str] = "backbone"

    dims: ClassVar[tuple[int, ...]] = (1, 2)
    """Numbers of axes after the channels that a latent may have."""

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return a NetworkModule for such latents and conditions, freshly initialised.

        The sizes in `latent` are those of training; a network should take others too. Parts of a
        condition that are all zeros are the null condition, and items never mix within a batch.
        """
        raise NotImplementedError


class CodecModule(Protocol):
    """The `torch.nn.Module` that a codec builds: audio to latents of unit variance and back."""

    def encode(self, audio: Tensor) -> Tensor:
        """Return the latent of `audio` [B, C, L]: [B, *latent(audio, L).shape]."""

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return `samples` samples of audio [B, C, samples]; differentiable wherever it can be."""


class Codec(Component):
    """Maps audio to the latents that are diffused, of zero mean and unit variance, and back."""

    kind: ClassVar[str] = "codec"

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return the shape of the latent of `samples` samples of such audio."""
        raise NotImplementedError

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a CodecModule for such audio."""
        raise NotImplementedError

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with what the data decides (a mean, a scale) filled in.

        examples: audio [C, L]. Called once, before training; what it returns is what is saved.
        """
        return self


class Dataset(Protocol):
    """A task's data, in an order that never changes."""

    def __len__(self) -> int: ...

    def example(self, index: int, generator: torch.Generator) -> Example:
        """Return item `index`; every random choice (a crop) comes from `generator`."""


class Task(Component):
    """An application: its data, its condition, what is asked for and what becomes of the answer.

    A task that a model was not made for takes over the options of the model's own task that it has
    too: the sample rate, say, and how loud the training's sounds were.
    """

    kind: ClassVar[str] = "task"

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Plugins, by kind, that are taken where the user names none of that kind."""

    @property
    def audio(self) -> AudioSpec:
        """Return what audio the model works in."""
        raise NotImplementedError

    @property
    def samples(self) -> int:
        """Return the length of a training item in samples."""
        raise NotImplementedError

    @property
    def condition(self) -> ConditionSpec:
        """Return how wide the parts of the condition are."""
        return ConditionSpec()

    @property
    def start(self) -> float | None:
        """Return sigma / sigma_data where sampling starts; None for the start of the schedule."""
        return None

    def resolve(self) -> Self:
        """Return the task with what its data decides (labels found in a folder) filled in."""
        return self

    def portable(self) -> Self:
        """Return the task without what only this machine has (paths), for a manifest."""
        return self

    def dataset(self, split: str) -> Dataset:
        """Return the data of a split, `train` or `valid`.

        Raises InputError naming the bad files, or the folder that has none.
        """
        raise NotImplementedError

    def usual_count(self, inputs: Sequence[Path]) -> int:
        """Return how many sounds are made where the user does not say."""
        return len(inputs) or 10

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests, made from the files in `inputs` if the task takes any.

        The first of many requests are those of few. Raises UsageError for inputs that the task does
        not take and InputError, naming it, for a file that cannot be read.
        """
        raise NotImplementedError

    def named(self, word: str) -> Condition:
        """Return the condition, of batch size 1, that `word` stands for, such as a label.

        Raises UsageError for a word that stands for none.
        """
        raise UsageError(f"the task has no words for conditions, so that {word!r} stands for none")

    def windows(self, request: Request) -> Sequence[Request]:
        """Return the windows that a request is made from: itself, unless it is too long for one."""
        return (request,)

    def measurement(self, requests: Sequence[Request], space: LatentSpace) -> Measurement | None:
        """Return what is known about the latents of a batch of windows, or None."""
        return None

    def join(self, windows: Sequence[Tensor], request: Request) -> Tensor:
        """Return the audio [C, L] of a request from that of its windows, in their order."""
        (whole,) = windows
        return whole

    def finish(self, audio: Tensor, request: Request) -> Tensor:
        """Return the audio to write. audio: [C, L]; what is written has the request's rate."""
        return audio


class MetricModule(Protocol):
    """The `torch.nn.Module` that a metric builds; a `torchmetrics.Metric` is one."""

    def update(self, *audio: Tensor) -> None:
        """Take in a sound [C, L] and, when the metric needs one, its reference [C, L].

        Raises InputError, here or in `compute`, for a sound that has no score (silence, say).
        """

    def compute(self) -> Tensor | Mapping[str, Tensor]:
        """Return the score of what was taken in: a scalar, or several by name."""

    def reset(self) -> None:
        """Forget what was taken in."""


class Metric(Component):
    """Scores sounds: each by itself, or all of them together as one set.

    A metric that compares needs the word `reference`, and is then given one beside every sound.
    """

    kind: ClassVar[str] = "metric"

    scope: ClassVar[Literal["item", "set"]] = "item"
    """Whether each sound has a score, of which the mean is told, or only all of them together."""

    higher_is_better: ClassVar[bool | None] = None
    """Which way is better; None when neither is."""

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a MetricModule for such audio. Raises UsageError for audio it cannot score."""
        raise NotImplementedError


class Observer(Component):
    """Watches a run or a training; returns nothing and changes nothing."""

    kind: ClassVar[str] = "observer"

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Note that a run or a training begins; `record` is what its manifest will say."""

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Note that a training step or a sampling step was finished."""

    def checkpoint(self, path: Path) -> None:
        """Note that a checkpoint was written."""

    def finished(self, directory: Path) -> None:
        """Note that everything was written; `directory` has the manifest and any sounds."""
