"""Other values of a component's options: what the checks of several kinds sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
from torch import Tensor

from kernel.errors import KernelError
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require

__all__ = ["WORDS", "choices", "every_option_acts", "holds", "numbers", "together", "variations"]

Observed = Sequence[Tensor | float]
"""What a component does, as numbers."""

WORDS = ("kick", "weak", "ears")
"""What an option that is a text may be: the scenes of the kit know every word."""

NUMBERS = (0.3, 1.0, 3.0)


def variations(
    subject: Subject, given: bool = False, near: bool = False
) -> Mapping[str, tuple[Any, ...]]:
    """Return, for each option that the subject leaves open, other values that it takes.

    With `given`, return other values of the options that it fixes, too. Choices and booleans are
    complete; a number has a few values on both sides of its default, with `near` none that is far
    from it. An option has none where every value that the kit tries is refused.
    """
    default = subject.make()
    found: dict[str, tuple[Any, ...]] = {}
    for name, field in subject.load().model_fields.items():
        if name in subject.options and not given:
            continue
        own = getattr(default, name)
        usual = [] if field.is_required() else [field.get_default(call_default_factory=True)]
        tried = [own]
        for value in chain(usual, _values(field.annotation, own, near)):
            if value not in tried and _takes(subject, {name: value}):
                tried.append(value)
        found[name] = tuple(tried[1:])
    return found


def choices(subject: Subject, whole: bool = False) -> Iterator[Subject]:
    """Yield the subject with each other value of each choice and boolean.

    With `whole`, yield those of whole numbers too, as far as they are tried.
    """
    for name, values in variations(subject).items():
        annotation = subject.load().model_fields[name].annotation
        if _is_choice(annotation) or (whole and annotation is int):
            for value in values:
                yield attrs.evolve(subject, options={**subject.options, name: value})


def numbers(subject: Subject) -> Iterator[Subject]:
    """Yield the subject with other values, not far away, of each option that is no choice."""
    for name, values in variations(subject, near=True).items():
        annotation = subject.load().model_fields[name].annotation
        if not _is_choice(annotation) and annotation is not int:
            for value in values:
                yield attrs.evolve(subject, options={**subject.options, name: value})


def together(subject: Subject) -> Iterator[Subject]:
    """Yield the subject with other values of all its options at once, two times.

    Options that do not go with those before them keep their values.
    """
    near = variations(subject, near=True)
    for place in (0, -1):
        options = dict(subject.options)
        for name, values in near.items():
            if values and _takes(subject, {**options, name: values[place]}):
                options[name] = values[place]
        if options != dict(subject.options):
            yield attrs.evolve(subject, options=options)


def holds(subject: Subject, **checks: Callable[[Subject], Any]) -> None:
    """Run checks, by name, on a subject with other options. Raises Violation with those options.

    What the component lists in its `shortfalls`, refuses, or is not judged for is left out.
    """
    for name, check in checks.items():
        if name in subject.shortfalls:
            continue
        try:
            check(subject)
        except (Inapplicable, KernelError):
            continue
        except Violation as violation:
            told = ", ".join(f"{option}={value!r}" for option, value in subject.options.items())
            raise Violation(f"with {told}: {violation}") from None


def every_option_acts(
    subject: Subject, observe: Callable[[Any], Observed], tolerance: float = 1e-9
) -> str:
    """Return how many options were varied, after checking that each changes what is observed.

    An option may need another: it is varied beside the subject's options, and beside every other
    value of every other option. A refusal is an observation. Raises Violation with the option's
    name. Options of the kind's base class are read by the kernel and left out.
    """
    found: dict[str, Observed | None] = {}

    def observed(options: Mapping[str, Any]) -> Observed | None:
        key = repr(sorted(options.items()))
        if key not in found:
            try:
                found[key] = observe(subject.make(**options))
            except Violation:
                raise
            except Exception:  # two options that do not go together, whether or not it says so
                found[key] = None
        return found[key]

    every = variations(subject, given=True)
    kind = next(each for each in subject.load().__mro__ if "kernel.kinds." in each.__module__)
    judged = [name for name in every if name not in kind.model_fields]
    beside = [{}, *({name: value} for name, values in every.items() for value in values)]
    untried = []
    for name in judged:
        # What is refused alone may need another option.
        values = every[name] or _raw(subject, name)
        pairs = [
            (base, changed)
            for base in beside
            if name not in base
            for changed in ({**base, name: value} for value in values)
            if _takes(subject, changed)
        ]
        if not pairs:
            untried.append(name)
        require(
            not pairs
            or any(_differ(observed(one), observed(two), tolerance) for one, two in pairs),
            f"the option {name} changes nothing: {', '.join(map(repr, values))} do what "
            f"{getattr(subject.make(), name)!r} does, beside every value of the other options",
        )
    fact = f"{len(judged) - len(untried)} options"
    return f"{fact}; not varied: {', '.join(untried)}" if untried else fact


def _raw(subject: Subject, name: str) -> tuple[Any, ...]:
    """Return other values of an option, whether or not it takes them."""
    own = getattr(subject.make(), name)
    values = _values(subject.load().model_fields[name].annotation, own)
    return tuple(value for value in values if value != own)


def _differ(one: Observed | None, other: Observed | None, tolerance: float) -> bool:
    if one is None or other is None or len(one) != len(other):
        return one is not other
    return any(map(lambda a, b: _far(a, b, tolerance), one, other))


def _far(one: Tensor | float, other: Tensor | float, tolerance: float) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return not abs(float(one) - float(other)) <= tolerance * abs(float(one))
    if one.shape != other.shape:
        return True
    scale = max(float(one.abs().max()), 1e-30)
    return not float((one - other).abs().max()) <= tolerance * scale


def _takes(subject: Subject, options: Mapping[str, Any]) -> bool:
    try:
        subject.make(**options)
    except KernelError:
        return False
    return True


def _is_choice(annotation: Any) -> bool:
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return all(part in (bool, type(None)) or get_origin(part) is Literal for part in parts) and set(
        parts
    ) != {type(None)}


def _values(annotation: Any, default: Any, near: bool = False) -> Iterator[Any]:
    """Yield values of a type, whether or not its bounds allow them."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _values(parts[0], default, near)
    elif origin in (Union, UnionType):
        yield from chain.from_iterable(_values(part, default, near) for part in parts)
    elif annotation is type(None):
        yield None
    elif origin is Literal:
        yield from parts
    elif annotation is bool:
        yield from (False, True)
    elif annotation is int:
        size = default if isinstance(default, int) else 1
        yield from dict.fromkeys((size + 1, size - 1, 2 * size + 2, 1, 0))
    elif annotation is float:
        middle = float(default) if isinstance(default, int | float) and default else 1.0
        yield from (middle / 2, 1.5 * middle)
        yield from () if near else (*NUMBERS, 20.0)
    elif annotation is str:
        yield from WORDS
    elif origin in (tuple, list):
        yield from _sequences(origin, parts, default)
    elif origin is not None and issubclass(origin, Mapping):
        for key in _values(parts[0], None):
            yield {key: 1.5}


def _sequences(origin: Any, parts: Sequence[Any], default: Any) -> Iterator[Any]:
    """Yield sequences of one length or, for an item of any number, falling and rising ones."""
    if (len(parts) == 2 and parts[1] is ...) or origin is list:
        if parts[0] is float:
            yield from (origin(NUMBERS[::-1]), origin(NUMBERS))
        else:
            yield from (origin([value]) for value in _values(parts[0], None))
        if default:
            yield from (origin(default[:-1]), origin([*default, default[-1]]))
        return
    given = default or [None] * len(parts)
    for place, part in enumerate(parts):
        for value in _values(part, given[place]):
            yield origin([*given[:place], value, *given[place + 1 :]])
