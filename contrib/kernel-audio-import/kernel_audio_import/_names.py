"""Named tensors of a checkpoint's content, and choices among the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kernel import ForeignTensor, UsageError, did_you_mean
from kernel_audio_import._globals import Array
from kernel_audio_import._machine import Malformed
from kernel_audio_import._object import ForeignObject
from kernel_audio_import._stored import Stored

__all__ = ["flatten", "groups", "strip_prefix", "subtree"]

_DEEPEST = 64
_MOST = 1_000_000


def flatten(value: Any) -> dict[str, Stored]:
    """Return every tensor in nested mappings and lists, named by the way to it: `a.b.0.c`.

    Numbers, text and objects are left out, except the tensors of networks. Raises Malformed for a
    structure that holds itself, and for two tensors of one name.
    """
    found: dict[str, Stored] = {}
    # Counted, because a file may reach one object in very many ways.
    visited = 0
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        way, each = stack.pop()
        visited += 1
        if len(way) > _DEEPEST or visited > _MOST:
            raise Malformed("it is nested without end")
        if isinstance(each, Array):
            each = each.stored
        if isinstance(each, Stored):
            name = ".".join(way) or "tensor"
            if name in found:
                raise Malformed(f"it holds two tensors called {name!r}")
            found[name] = each
        stack.extend(((*way, _text(key)), inner) for key, inner in reversed(list(_members(each))))
    return found


def _text(key: Any) -> str:
    return f"<{key.name}>" if isinstance(key, ForeignObject) else str(key)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif isinstance(value, ForeignObject) and isinstance(state := value.state, dict):
        # A torch.nn.Module, whose tensors get the names that they have in its state_dict.
        unsaved = state.get("_non_persistent_buffers_set")
        for part in ("_parameters", "_buffers", "_modules"):
            inside = state.get(part)
            for name, each in inside.items() if isinstance(inside, dict) else ():
                if not (part == "_buffers" and isinstance(unsaved, list) and name in unsaved):
                    yield name, each


def groups(names: Mapping[str, object]) -> dict[str, int]:
    """Return the groups that `subtree` can pick, in order, with their numbers of tensors."""
    counts: dict[str, int] = {}
    for name in names:
        for end, letter in enumerate(name):
            if letter == ".":
                counts[name[:end]] = counts.get(name[:end], 0) + 1
    return counts


def subtree(tensors: Mapping[str, ForeignTensor], key: str) -> dict[str, ForeignTensor]:
    """Return the tensors below `key`, named from there. Raises UsageError when there are none."""
    picked = {
        name.removeprefix(f"{key}."): each
        for name, each in tensors.items()
        if name.startswith(f"{key}.")
    }
    if not picked:
        raise UsageError(f"nothing below {key!r} holds a tensor{_choices(key, tensors)}")
    return picked


def strip_prefix(tensors: Mapping[str, ForeignTensor], prefix: str) -> dict[str, ForeignTensor]:
    """Return the tensors with `prefix` taken off each name that begins with it.

    Raises UsageError when none does, and when two tensors would get the same name.
    """
    if not any(name.startswith(prefix) for name in tensors):
        raise UsageError(f"no tensor's name begins with {prefix!r}{_choices(prefix, tensors)}")
    stripped: dict[str, ForeignTensor] = {}
    for name, each in tensors.items():
        short = name.removeprefix(prefix)
        if not short or short in stripped:
            raise UsageError(
                f"without {prefix!r} the tensor {name!r} would have "
                f"{'the name of a second one' if short else 'no name'}; pick a group with --key"
            )
        stripped[short] = each
    return stripped


def _choices(word: str, tensors: Mapping[str, object]) -> str:
    return did_you_mean(word, groups(tensors)) or "; --list shows the names"
