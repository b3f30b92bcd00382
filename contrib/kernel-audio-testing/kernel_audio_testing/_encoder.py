"""The checks of encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernel import resample
from kernel_audio_testing._options import every_option_acts
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import generator_untouched, unchanged

__all__ = ["CHECKS"]

RATE = 16000
TEXTS = ("one", "a longer text of several words", "")


def _built(subject: Subject) -> Any:
    return subject.make().build().eval().requires_grad_(False)


def _noise(count: int, channels: int = 1, samples: int = 8000) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(count, channels, samples, generator=draws)


def _parts(heard: Any) -> list[Tensor]:
    return [heard] if isinstance(heard, Tensor) else list(heard)


def _heard(subject: Subject, module: Any, items: slice = slice(None)) -> list[Tensor]:
    """Return what is heard of three items of the kind that the encoder listens to, or some."""
    with torch.no_grad():
        if subject.make().listens == "text":
            return _parts(module(list(TEXTS[items])))
        return _parts(module(_noise(3)[items], RATE))


def check_shape(subject: Subject) -> str | None:
    """Check that each item has one result, of one width for all lengths and rates."""
    module = _built(subject)
    if subject.make().listens == "text":
        rows, mask = _heard(subject, module)
        fits = rows.ndim == 3 and mask.dtype == torch.bool and mask.shape == rows.shape[:2]
        shapes = f"{tuple(rows.shape)} and {tuple(mask.shape)}"
        require(fits and len(rows) == len(TEXTS), f"{len(TEXTS)} texts become {shapes}")
        return f"[B, L, {rows.shape[2]}]"
    widths = set()
    for channels, samples, rate in ((1, 800, 8000), (2, 30000, 22050), (1, 8000, 48000)):
        with torch.no_grad():
            heard = module(_noise(2, channels, samples), rate)
        require(
            isinstance(heard, Tensor) and heard.ndim == 2 and len(heard) == 2,
            f"2 sounds of {channels} channels and {samples} samples at {rate} Hz become "
            f"{tuple(heard.shape)}, not [2, M]",
        )
        widths.add(heard.shape[1])
    require(len(widths) == 1, f"the width is {sorted(widths)}, by length, rate and channels")
    return f"[B, {widths.pop()}]"


def check_alone(subject: Subject) -> str | None:
    """Check that the result of an item does not depend on its neighbours."""
    module = _built(subject)
    together = _heard(subject, module)[0]
    for index in range(3):
        (alone,) = _heard(subject, module, slice(index, index + 1))[0]
        whole = together[index][: len(alone)] if alone.ndim == 2 else together[index]
        error = float((alone - whole).abs().max()) if alone.numel() else 0.0
        limit = 1e-4 * max(1.0, float(whole.abs().max()) if whole.numel() else 0.0)
        require(error <= limit, f"beside others, item {index} is heard {error:.2g} differently")
    return None


def check_repeats(subject: Subject) -> str | None:
    """Check that a network repeats its result, and a second network has the same result."""
    module, other = _built(subject), _built(subject)
    with generator_untouched("the encoder"):
        first = _heard(subject, module)
        for again in (_heard(subject, module), _heard(subject, other)):
            same = all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
            require(same, "the same input is heard differently a second time")
    return None


def check_after(subject: Subject) -> str | None:
    """Check that a sound has the same result after sounds of other rates and lengths."""
    if subject.make().listens == "text":
        raise Inapplicable("it listens to text")
    used = _built(subject)
    with torch.no_grad():
        for rate, samples in ((16000, 8000), (22050, 8000), (8000, 3000), (44100, 20000)):
            audio = _noise(2, samples=samples)
            found, wanted = used(audio, rate), _built(subject)(audio, rate)
            what = f"at {rate} Hz a sound is heard otherwise after sounds of other rates"
            require(torch.equal(found, wanted), what)
    return None


def check_distinct(subject: Subject) -> str | None:
    """Check that different inputs have different results, and no input is changed."""
    module = _built(subject)
    if subject.make().listens == "text":
        rows = _heard(subject, module, slice(2))[0]
        require(not torch.equal(rows[0], rows[1]), "two texts are heard as the same")
        return None
    with unchanged(audio=(audio := _sounds())), torch.no_grad():
        heard = module(audio, RATE)
    apart = float((heard[0] - heard[1]).norm())
    require(apart > 1e-6 * float(heard.norm()), "two sounds are heard as the same")
    return None


def check_same_sound(subject: Subject) -> str | None:
    """Check that a sound in stereo or at another rate is nearer to itself than to another."""
    if subject.make().listens == "text":
        raise Inapplicable("it listens to text")
    module, audio, worst = _built(subject), _sounds(), 0.0
    ways = {"in stereo": (audio.expand(2, 2, -1), RATE)}
    for rate in (RATE // 2, 3 * RATE // 2):
        ways[f"at {rate} Hz"] = (resample(audio, RATE, rate), rate)
    with torch.no_grad():
        heard = module(audio, RATE)
        for channel in range(2):
            mixed = audio[:1].repeat(1, 2, 1)
            mixed[:, channel] = audio[1]
            change = float((module(mixed, RATE) - module(audio[:1], RATE)).abs().max())
            require(change > 1e-6, f"of a sound in stereo, channel {channel} is not heard")
        usual = float((heard[0] - heard[1]).norm())
        for way, (sounds, rate) in ways.items():
            moved = float((module(sounds, rate) - heard).norm(dim=1).max()) / usual
            fact = f"a sound is heard {moved:.2f} times as far off as another sound"
            require(moved < 0.9, f"{way} {fact}")
            worst = max(worst, moved)
    return f"{worst:.2f} of the way to another sound"


def _sounds() -> Tensor:
    """Return a dull, soft buzz and a bright, loud one, below a quarter of the rate: [2, 1, L]."""
    phase = 2 * torch.pi * torch.arange(RATE) / RATE
    dull = sum((150.0 * n * phase).sin() / n for n in range(1, 4))
    bright = sum((270.0 * n * phase).sin() for n in range(1, 11))
    return 0.1 * torch.stack([torch.as_tensor(dull), torch.as_tensor(bright)])[:, None]


def check_everywhere(subject: Subject) -> str | None:
    """Check that a change in any third of a sound, or in any word of a text, is heard."""
    module = _built(subject)
    if subject.make().listens == "text":
        words = ["red", "green", "blue"]
        with torch.no_grad():
            usual = module([" ".join(words)])[0]
            for place in range(3):
                other = module([" ".join([*words[:place], "seven", *words[place + 1 :]])])[0]
                alike = other.shape == usual.shape and torch.equal(other, usual)
                require(not alike, f"the word {place} of a text of three words is not heard")
        return None
    audio = _sounds()[:1]
    with torch.no_grad():
        usual = module(audio, RATE)
        for third, word in enumerate(("first", "second", "last")):
            changed = audio.clone()
            part = changed[..., third * RATE // 3 : (third + 1) * RATE // 3]
            part += 0.1 * torch.randn(part.shape, generator=torch.Generator().manual_seed(third))
            change = float((module(changed, RATE) - usual).norm() / usual.norm())
            require(change > 1e-3, f"noise in the {word} third of a sound changes {change:.1g}")
    return None


def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""

    def observe(encoder: Any) -> list[Tensor | float]:
        module = encoder.build().eval().requires_grad_(False)
        if encoder.listens == "text":
            return [part.float() for part in module(list(TEXTS))]
        return [module(_noise(2), RATE), module(_sounds(), RATE)]

    return every_option_acts(subject, observe)


def check_silence(subject: Subject) -> str | None:
    """Check that silence has a finite result with a finite gradient."""
    if subject.make().listens == "text":
        raise Inapplicable("it listens to text")
    audio = torch.zeros(1, 1, 8000, requires_grad=subject.make().differentiable)
    heard = _built(subject)(audio, RATE)
    require(bool(heard.isfinite().all()), "silence is heard as numbers that are not finite")
    if heard.requires_grad:
        (gradient,) = torch.autograd.grad(heard.sum(), audio)
        require(bool(gradient.isfinite().all()), "the gradient at silence is not finite")
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that a gradient exists exactly if claimed, and equals finite differences."""
    encoder = subject.make()
    if encoder.listens == "text":
        raise Inapplicable("it listens to text")
    audio = _noise(1, samples=4000).double().requires_grad_()
    module = _built(subject).double()
    heard = module(audio, RATE)
    if not encoder.differentiable:
        require(not heard.requires_grad, "it has a gradient; set differentiable = True")
        return "none"
    require(bool(heard.requires_grad), "it has no gradient; set differentiable = False")
    draws = torch.Generator().manual_seed(1)
    weight = torch.randn(heard.shape, generator=draws, dtype=torch.float64)
    direction = torch.randn(audio.shape, generator=draws, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((heard * weight).sum(), audio)
    slope, step = float((gradient * direction).sum()), 1e-7
    with torch.no_grad():
        up, down = (module(audio + sign * step * direction, RATE) for sign in (1, -1))
    measured = float(((up - down) * weight).sum() / (2 * step))
    close = abs(slope - measured) <= 1e-3 * max(abs(slope), abs(measured)) + 1e-6
    require(close, f"the gradient says {slope:.4g} where differences are {measured:.4g}")
    return None


CHECKS = (
    check_shape,
    check_alone,
    check_repeats,
    check_after,
    check_distinct,
    check_same_sound,
    check_everywhere,
    check_silence,
    check_gradient,
    check_options,
)
