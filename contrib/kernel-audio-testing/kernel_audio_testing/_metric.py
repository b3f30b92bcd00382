"""What metrics are held to, on sounds like speech and noisier versions of them, and on silence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError, UsageError
from kernel.kinds.metric import Metric
from kernel.values import AudioSpec
from kernel_audio_testing._options import every_option_acts
from kernel_audio_testing._scored import NOISE, SECONDS, Scene, scene_of
from kernel_audio_testing._sounds import RATES, syllables
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import generator_untouched, normal, unchanged

__all__ = ["CHECKS"]

Scores = dict[str, float]


@torch.no_grad()
def _score(module: Any, items: Sequence[tuple[Tensor, ...]]) -> Scores:
    """Return the scores of the sounds by name, having forgotten what came before."""
    module.reset()
    for item in items:
        module.update(*item)
    return _read(module)


def _read(module: Any) -> Scores:
    found = module.compute()
    parts = found if isinstance(found, Mapping) else {"score": found}
    require(bool(parts), "compute returns no score at all")
    scores: Scores = {}
    for name, value in parts.items():
        require(isinstance(name, str) and bool(name), f"a score is called {name!r}")
        shape = tuple(getattr(value, "shape", ()))
        require(shape == (), f"{name} has the shape {shape}, not that of a scalar")
        scores[name] = float(value)
    return scores


def _number(scores: Scores, what: str) -> None:
    for name, value in scores.items():
        require(math.isfinite(value), f"{name} of {what} is {value}")


def _told(scores: Scores) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def check_declared(subject: Subject) -> str | None:
    """Check that `scope` is item or set, and `higher_is_better` true, false or None."""
    metric: Metric = subject.make()
    require(metric.scope in ("item", "set"), f"scope is {metric.scope!r}, not 'item' or 'set'")
    better = metric.higher_is_better
    require(better in (True, False, None), f"higher_is_better is {better!r}, not true or false")
    way = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    return f"a score of each {metric.scope}, {way[better]}"


def check_score(subject: Subject) -> str | None:
    """Check that sounds get a finite score, or several by name."""
    scene = scene_of(subject)
    scores = _score(scene.build(), scene.items())
    _number(scores, "an ordinary sound")
    return f"{_told(scores)} at {scene.audio.sample_rate} Hz"


def check_audio(subject: Subject) -> str | None:
    """Check that audio of any rate is scored, or refused with a UsageError by `build`."""
    metric: Metric = subject.make()
    taken = []
    for audio in (AudioSpec(rate, channels) for rate in (*RATES, 11025) for channels in (1, 2)):
        scene, what = Scene(metric, audio), f"{audio.sample_rate} Hz, {audio.channels} channel(s)"
        try:
            module = scene.build()
        except UsageError:
            continue
        except Exception as error:
            raise Violation(
                f"build refuses {what} with {type(error).__name__}, not UsageError: {error}"
            ) from error
        try:
            _number(_score(module, scene.items()), f"a sound of {what}")
        except KernelError as error:
            raise Violation(
                f"build takes {what}, and then an ordinary sound is refused: {error}"
            ) from None
        taken.append(what)
    return f"takes {len(taken)} of {2 * len(RATES) + 2} kinds of audio"


def check_direction(subject: Subject) -> str | None:
    """Check that more noise is worse, in the direction that `higher_is_better` claims."""
    scene = scene_of(subject)
    better = scene.metric.higher_is_better
    if better is None or not (scene.compares or "references" in scene.metric.needs):
        why = "it does not compare with a reference" if better is not None else "it claims none"
        raise Inapplicable(why)
    sign = 1 if better else -1
    # A set of references, with noise, is the nearest to them.
    first = 0 if scene.compares else 70
    rows = [_score(scene.build(), scene.items(noise, first)) for noise in NOISE]
    for name in rows[0]:
        values = [sign * row[name] for row in rows]
        fact = f"{name} of more and more noise is {', '.join(f'{row[name]:.4g}' for row in rows)}"
        falls = all(one >= other for one, other in pairwise(values)) and values[0] > values[-1]
        way = "higher" if better else "lower"
        require(falls, f"{fact}, and it says that {way} is better")
    return fact


def check_parts(subject: Subject) -> str | None:
    """Check that noise in any third of a sound, or in one channel alone, is worse than none."""
    scene = _directed(subject)
    sign = 1 if scene.metric.higher_is_better else -1
    module = scene.build()
    clean = _score(module, scene.items(0.0))
    for where, part in _places(scene):
        items = [
            scene.pair(torch.where(part, noisy[0], whole[0]), whole[0])
            for noisy, whole in zip(scene.items(1.0), scene.items(0.0), strict=True)
        ]
        for name, value in _score(module, items).items():
            fact = f"{name} is {clean[name]:.4g} without noise and {value:.4g} with noise {where}"
            require(sign * value < sign * clean[name], fact)
    return None


def _places(scene: Scene) -> Iterator[tuple[str, Tensor]]:
    """Yield where noise may be: a sentence's end, and a mask of the samples [C, L]."""
    length, channels = scene.item(0, 0.0)[0].shape[-1], scene.audio.channels
    for third, word in enumerate(("first", "second", "last")):
        part = torch.zeros(channels, length, dtype=torch.bool)
        part[:, third * length // 3 : (third + 1) * length // 3] = True
        yield f"in the {word} third", part
    for channel in range(channels if channels > 1 else 0):
        part = torch.zeros(channels, length, dtype=torch.bool)
        part[channel] = True
        yield f"in channel {channel}", part


def _directed(subject: Subject) -> Scene:
    """Return a scene, in stereo where that is taken. Raises Inapplicable where nothing is worse."""
    scene = scene_of(subject)
    if scene.metric.higher_is_better is None or not scene.compares:
        raise Inapplicable("it does not say of sounds beside a reference which are better")
    stereo = attrs.evolve(scene, audio=AudioSpec(scene.audio.sample_rate, 2))
    try:
        stereo.build()
    except UsageError:
        return scene
    return stereo


def check_padding(subject: Subject) -> str | None:
    """Check that noise is worse beside silence too, and silence after both sounds costs nothing."""
    scene = _directed(subject)
    sign = 1 if scene.metric.higher_is_better else -1
    pad = torch.nn.functional.pad

    def padded(noise: float) -> Scores:
        room = scene.audio.sample_rate // 2
        items = [tuple(pad(each, (0, room)) for each in pair) for pair in scene.items(noise)]
        return _score(scene.build(), items)

    best, worst = _score(scene.build(), scene.items(0.0)), _score(scene.build(), scene.items(3.0))
    clean, noisy = padded(0.0), padded(3.0)
    for name, value in clean.items():
        fact = (
            f"with silence after it, {name} of a sound is {value:.4g} and {noisy[name]:.4g} noisy"
        )
        require(sign * value > sign * noisy[name], fact)
        lost = abs(value - best[name]) / max(abs(best[name] - worst[name]), 1e-9)
        require(lost < 0.5, f"{name} of an exact copy goes from {best[name]:.4g} to {value:.4g}")
    return None


def check_itself(subject: Subject) -> str | None:
    """Check that the references themselves have a better score than any other sounds."""
    scene = scene_of(subject)
    better = scene.metric.higher_is_better
    if better is None or "references" not in scene.metric.needs:
        raise Inapplicable("it does not say which sets are better beside their references")
    sign = 1 if better else -1
    own = _score(scene.build(), scene.items(0.0, first=70))
    for noise in (0.5, 3.0):
        others = _score(scene.build(), scene.items(noise))
        for name, value in own.items():
            fact = f"{name} of the references is {value:.4g}, of other sounds {others[name]:.4g}"
            require(sign * value > sign * others[name], fact)
    return _told(own)


def check_twice(subject: Subject) -> str | None:
    """Check that a sound that is repeated has nearly the score of the sound."""
    scene = scene_of(subject)
    if not scene.compares:
        raise Inapplicable("it does not compare with a reference")
    once = _score(scene.build(), scene.items(0.3))
    best, worst = (_score(scene.build(), scene.items(noise)) for noise in (0.0, 3.0))
    pairs = [tuple(each.repeat(1, 2) for each in item) for item in scene.items(0.3)]
    for name, value in _score(scene.build(), pairs).items():
        span = max(abs(best[name] - worst[name]), 1e-9)
        fact = f"{name} of a sound is {once[name]:.4g}, and {value:.4g} of the sound twice"
        require(abs(value - once[name]) < 0.15 * span, fact)
    return None


def check_options(subject: Subject) -> str | None:
    """Check that every option changes a score, alone or beside another."""
    audio = scene_of(subject).audio

    def observe(metric: Metric) -> list[Tensor | float]:
        scene = Scene(metric, audio)
        items = [scene.items(noise, 70) for noise in (0.0, 0.02, 0.05, 0.1, 0.5)]
        items += [scene.items(0.5)[:1]]
        silence = [tuple(0 * each for each in item) for item in scene.items()]
        found: list[Tensor | float] = []
        for sounds in (*items, silence):
            try:
                found += _score(scene.build(), sounds).values()
            except KernelError:
                found.append(math.nan)
        scores = torch.tensor(found)
        return [scores.isnan().float(), scores.nan_to_num()]

    return every_option_acts(subject, observe)


def check_reset(subject: Subject) -> str | None:
    """Check that `reset` forgets everything."""
    scene = scene_of(subject)
    wanted = _score(scene.build(), scene.items())
    used = scene.build()
    _score(used, scene.items(noise=1.0, first=10))
    again = _score(used, scene.items())
    require(again == wanted, f"{_told(wanted)} becomes {_told(again)} after other sounds")
    return None


@torch.no_grad()
def check_apart(subject: Subject) -> str | None:
    """Check that two metrics, used in turn, do not disturb each other."""
    scene = scene_of(subject)
    items, others = scene.items(), scene.items(noise=1.0, first=10)
    wanted = _score(scene.build(), items)
    one, other = scene.build(), scene.build()
    one.reset()
    other.reset()
    for mine, foreign in zip(items, others, strict=True):
        one.update(*mine)
        other.update(*foreign)
    found = _read(one)
    require(found == wanted, f"{_told(wanted)} becomes {_told(found)} beside another one")
    return None


def check_order(subject: Subject) -> str | None:
    """Check that the score of a set does not depend on the order of its sounds."""
    scene = scene_of(subject)
    if scene.metric.scope == "item":
        raise Inapplicable("each sound has a score of its own")
    forward = _score(scene.build(), scene.items())
    backward = _score(scene.build(), scene.items()[::-1])
    for name, value in forward.items():
        close = math.isclose(value, backward[name], rel_tol=1e-4, abs_tol=1e-6)
        require(close, f"{name} is {value:.6g} in order and {backward[name]:.6g} in reverse")
    return None


def check_odd_sounds(subject: Subject) -> str | None:
    """Check that silence and sounds of any length are scored, or refused with a KernelError."""
    scene = scene_of(subject)
    refused = []
    for what, item in _odd(scene):
        try:
            _number(_score(scene.build(), [item] * scene.count), what)
        except KernelError as error:
            require(bool(str(error).strip()), f"{what} is refused without a word")
            refused.append(what)
        except Violation:
            raise
        except Exception as error:
            name = type(error).__name__
            raise Violation(f"{what} raises {name}, not a KernelError: {error}") from error
    return f"refuses {', '.join(refused)}" if refused else None


def _odd(scene: Scene) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    ordinary = syllables(scene.audio, SECONDS)
    silence = torch.zeros_like(ordinary)
    yield "silence", scene.pair(silence, silence)
    if scene.compares:
        yield "silence beside a sound", scene.pair(silence, ordinary)
        yield "a sound beside silence", scene.pair(ordinary, silence)
    for samples in (1, 17, 333, 5001):
        cut = 0.1 * normal(scene.audio.channels, samples, dtype=torch.float32)
        yield f"{samples} samples", scene.pair(cut, 0.9 * cut)


def check_pure(subject: Subject) -> str | None:
    """Check that scoring changes no sound, draws no random numbers, and repeats."""
    scene = scene_of(subject)
    items = scene.items()
    tensors = {
        f"sound {i}, {j}": part for i, item in enumerate(items) for j, part in enumerate(item)
    }
    with generator_untouched("the metric"), unchanged(**tensors):
        first, second = (_score(scene.build(), items) for _ in range(2))
    require(first == second, f"{_told(first)} becomes {_told(second)} the second time")
    return None


CHECKS = (
    check_declared,
    check_score,
    check_audio,
    check_direction,
    check_parts,
    check_padding,
    check_itself,
    check_twice,
    check_options,
    check_reset,
    check_apart,
    check_order,
    check_odd_sounds,
    check_pure,
)
