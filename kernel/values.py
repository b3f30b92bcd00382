"""The records that flow between components: frozen, most of them of tensors."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Noise(Protocol):
    """Draw standard normal noise shaped like the state, each item from its own generator.

    `noise(sigma, following)` belongs to the step from `sigma` to `following`; draws of different
    calls are independent.
    """

    def __call__(self, sigma: float, following: float) -> Tensor: ...


class Denoise(Protocol):
    """Estimate the clean `x0` in `x = x0 + sigma n`; x, result: [B, C, *S]."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor: ...


class GuidedDenoise(Protocol):
    """Estimate the clean `x0` under a condition; guidances wrap it."""

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor: ...


class Network(Protocol):
    """The trained map F in `D = c_skip x + c_out F(c_in x, c_noise)`.

    x, result: [B, C, *S]; c_noise: [B], or [B, times] where the backbone was built for several
    times; condition: the tree that the backbone's `prepare` returned.
    """

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor: ...


class NativePath(Protocol):
    """The native time t of a process x_t = a x0 + b y + s n, with sigma = s / a.

    y is the origin of a condition, zero where there is none. t grows with sigma and is 0 where
    sigma is 0. The methods take floats or tensors and return the same; what is constant may be a
    float.
    """

    @property
    def name(self) -> str:
        """Return the name of the process, by which a schedule knows its own."""

    @property
    def numbers(self) -> Mapping[str, float]:
        """Return the numbers that the process is known by, named as the objective's options."""

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma."""

    def sigma(self, time: Any) -> Any:
        """Return sigma at t: the inverse of `time`."""

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t."""

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 with respect to t, at t."""


@attrs.frozen
class AudioSpec:
    """The rate and the channels of the audio that a model works in."""

    sample_rate: int
    channels: int = 1


@attrs.frozen
class LatentSpec:
    """The shape of one item in a codec's latent space: `channels`, then `size` (T,) or (F, T)."""

    channels: int
    size: tuple[int, ...]

    @property
    def dims(self) -> int:
        """Return the number of axes after the channels."""
        return len(self.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (channels, *size)."""
        return (self.channels, *self.size)

    @property
    def numel(self) -> int:
        """Return the number of values in one item."""
        return math.prod(self.shape)


@attrs.frozen
class ConditionSpec:
    """How wide each part of a condition is; 0 means that the part is absent.

    origin: the channels of the origin that a network is shown beside x, [x_t, y]. `LATENT` as the
    width of `aligned` or `origin` stands for the channels of the latent, which a task cannot know.
    """

    LATENT: ClassVar[int] = -1

    vector: int = 0
    sequence: int = 0
    aligned: int = 0
    origin: int = 0

    def __bool__(self) -> bool:
        """Return whether there is anything that could be dropped; an origin cannot."""
        return bool(self.vector or self.sequence or self.aligned)

    def of(self, latent: LatentSpec) -> ConditionSpec:
        """Return the widths beside such latents, with numbers in place of `LATENT`."""
        aligned, origin = (
            latent.channels if width == self.LATENT else width
            for width in (self.aligned, self.origin)
        )
        return attrs.evolve(self, aligned=aligned, origin=origin)


@attrs.frozen(eq=False)
class Condition:
    """The condition of a batch; each part is named after the mechanism that takes it in.

    vector: [B, V] for AdaLN or FiLM. sequence: [B, L, W] for cross-attention, with
    mask: [B, L], true where the sequence holds something. aligned: [B, A, *S] at the latent's own
    rate. origin: [B, C, *S], a latent that the run starts from in place of zero.
    valid: [B, T], bool, false where the last axis of the latent is padding; None: nowhere.
    moved: the origin that a backbone's `prepare` put in place of `origin`; only a run fills it in.

    A part that is all zeros is the null condition: a network learns what it means, because
    training drops conditions to exactly that.
    """

    vector: Tensor | None = None
    sequence: Tensor | None = None
    mask: Tensor | None = None
    aligned: Tensor | None = None
    origin: Tensor | None = None
    valid: Tensor | None = None
    moved: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Condition:
        """Return the condition with `function` applied to every part that is there."""
        parts = attrs.astuple(self, recurse=False)
        return Condition(*(None if part is None else function(part) for part in parts))

    def drop(self, which: Tensor) -> Condition:
        """Return the condition with the items where `which` ([B], bool) is true made null.

        The origin and `valid` stay: they belong to the process and not to what a network is told.
        """
        return self._nulled(
            lambda part: part.masked_fill(which.view(-1, *[1] * (part.ndim - 1)), 0)
        )

    def dropped(self) -> Condition:
        """Return the null condition of the same shape."""
        return self._nulled(lambda part: part.new_zeros(part.shape))

    @property
    def empty(self) -> bool:
        """Return whether there is nothing that could be dropped."""
        return self.vector is None and self.sequence is None and self.aligned is None

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """Return the conditions one after another along the batch; all must have the same parts.

        Sequences are padded with zeros to the longest, and masks with false. A mask is made for a
        condition that lacks one where another has one or is longer.
        """
        import torch

        found = [attrs.asdict(condition, recurse=False) for condition in conditions]
        _level_sequences(found)
        parts: list[Tensor | None] = []
        for name in attrs.fields_dict(Condition):
            column = [part for each in found if (part := each[name]) is not None]
            if column and len(column) < len(found):
                raise ValueError(f"some of the conditions have the part {name!r} and some have not")
            parts.append(torch.cat(column) if column else None)
        return Condition(*parts)

    def _nulled(self, null: Callable[[Tensor], Tensor]) -> Condition:
        kept = {"origin": self.origin, "valid": self.valid, "moved": self.moved}
        return attrs.evolve(self.map(null), **kept)


def _level_sequences(found: Sequence[dict[str, Tensor | None]]) -> None:
    """Pad the sequences of several conditions and their masks to the longest, in place."""
    from torch.nn.functional import pad

    sequences = [part for each in found if (part := each["sequence"]) is not None]
    longest = max((part.shape[1] for part in sequences), default=0)
    ragged = any(part.shape[1] < longest for part in sequences)
    if not ragged and all(each["mask"] is None for each in found):
        return
    for each in found:
        if (sequence := each["sequence"]) is None:
            continue
        mask = each["mask"]
        if mask is None:
            # An item of zeros is the null condition, in which nothing is to be heard.
            mask = sequence.ne(0).flatten(1).any(1, keepdim=True).expand(sequence.shape[:2])
        missing = longest - sequence.shape[1]
        each["sequence"], each["mask"] = pad(sequence, (0, 0, 0, missing)), pad(mask, (0, missing))


@attrs.frozen(eq=False)
class Prepared:
    """The result of a backbone's `prepare` that changes the origin too.

    tree: a tree of tensors, which the network is handed. origin: [B, C, *S], which takes the place
    of the condition's, in the loss with its gradient; None: the origin stays.
    """

    tree: Any
    origin: Tensor | None = None

    @classmethod
    def of(cls, made: Any, condition: Condition) -> Prepared:
        """Return what `prepare` made of a condition: its tree, and the origin to go on with."""
        tree, origin = (made.tree, made.origin) if isinstance(made, cls) else (made, None)
        return cls(tree, condition.origin if origin is None else origin)


@attrs.frozen
class Preconditioning:
    """The scalar functions of an objective at one sigma: floats, or tensors [B].

    `c_origin` is the weight of the condition's origin in the network's input, for processes that
    drift towards it.
    """

    c_skip: Any
    c_out: Any
    c_in: Any
    c_noise: Any
    c_origin: Any = 0.0


@attrs.frozen(eq=False)
class Step:
    """One finished step of a solver: its index, the sigma it reached, the state, the x0 seen."""

    index: int
    sigma: float
    x: Tensor
    x0: Tensor


class Pull(Protocol):
    """Return the gradient of a loss [B] with respect to the noisy state: [B, C, *S].

    Items never mix: the gradient of item i is that of loss i. Raises MisfitError when nothing in
    the loss depends on the state in a differentiable way.
    """

    def __call__(self, loss: Tensor) -> Tensor: ...


@attrs.frozen(eq=False)
class LatentSpace:
    """The way between audio and the x0 of a run: the codec, scaled by the objective's sigma_data.

    encode: audio [B, C, L] -> x0. decode: (x0, samples) -> audio [B, C, samples], differentiable
    wherever the codec is. encoder: a spelling `[encoder.]NAME[@DISTRIBUTION]`, which the component
    declares in `encoders`, -> what listens, frozen on the run's device: (audio [B, C, L],
    sample_rate) -> [B, M], or (texts) -> (rows [B, L, W], mask [B, L]). dtype, device:
    those of the run's audio and latents, `tensor.to(space.device, space.dtype)`.
    """

    audio: AudioSpec
    samples: int
    latent: LatentSpec
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, int], Tensor]
    encoder: Callable[[str], Callable[..., Any]]
    dtype: torch.dtype
    device: torch.device


@attrs.frozen(eq=False)
class Measurement:
    """A fact about the clean latent: `operator(x0)` equals `target`, up to `noise`.

    distance(predicted, target) -> [B] is what gradient guidances descend; `project(x0) -> x0`, when
    there is one, returns the nearest latent that agrees with the target. `noise` is the standard
    deviation of the target's error, 0 where the target is exact; [B, 1, ...], with as many axes as
    the latent, where it differs among the items.
    """

    operator: Callable[[Tensor], Tensor]
    target: Tensor
    distance: Callable[[Tensor, Tensor], Tensor]
    project: Callable[[Tensor], Tensor] | None = None
    noise: float | Tensor = 0.0


@attrs.frozen(eq=False)
class Context:
    """The parts of a run that a guidance may use.

    noise: standard normal draws of its own, which leave those of the solver as they are. named: the
    condition [1, ...] that a word of the task stands for (a label). model: the denoiser of another
    model, by its name or folder. Where a run has none of these, they are None.
    """

    condition: Condition
    sigmas: tuple[float, ...]
    measurement: Measurement | None = None
    sigma_data: float = 1.0
    space: LatentSpace | None = None
    noise: Noise | None = None
    named: Callable[[str], Condition] | None = None
    model: Callable[[str], GuidedDenoise] | None = None


@attrs.frozen(eq=False)
class Sound:
    """One finished sound: audio [C, L] at `sample_rate`, on the CPU and without a gradient.

    text: how a person would call it, its label or its words. given: the recording [C, L] that it
    was made from. reference: audio [C, L'] at the model's rate that it should equal. spans:
    (start, stop) in seconds of the parts that were made anew. pictures: (title, values) of what
    should be seen beside it, values [rows, columns] from 0 to 1, the first row on top. subtype: a
    name of libsndfile's, of the file. notes: sentences for the user, such as what was clipped.
    """

    name: str
    audio: Tensor
    sample_rate: int
    text: str | None = None
    given: Tensor | None = None
    reference: Tensor | None = None
    spans: tuple[tuple[float, float], ...] = ()
    pictures: tuple[tuple[str, Tensor], ...] = ()
    subtype: str = "PCM_16"
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path) -> float:
        """Write the audio as `path` ends, .wav or .flac; return the gain, 1 unless it was too loud.

        Raises OutputError when the place cannot be written.
        """
        from kernel.audio import write_audio

        return write_audio(Path(path), self.audio, self.sample_rate, self.subtype)

    def _repr_html_(self) -> str:
        """Return a player for a notebook."""
        from kernel.audio import wav_bytes

        data = b64encode(wav_bytes(self.audio, self.sample_rate)).decode()
        title = escape(self.name if self.text is None else f"{self.name}: {self.text}")
        return f'<p>{title}</p><audio controls src="data:audio/wav;base64,{data}"></audio>'
