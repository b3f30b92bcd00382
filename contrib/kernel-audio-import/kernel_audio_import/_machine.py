"""Interprets a pickle as data: its opcodes only move values on a stack.

Python's unpickler imports and calls the objects that a file names. This machine looks a name up in
a given table, and calls only functions of that table. It records a name outside the table and makes
a `ForeignObject` of it, which keeps the file's values. `pickletools.genops` decodes the opcodes and
documents each of them.

`torch.load(weights_only=True)` cannot replace it; tests/test_torch_load.py tests the reasons. A key
of 200 kB (a tuple in a tuple in ...) ends the process. Pickles of protocol 4, and pickles without
torch's framing (AudioDiffuser's and EDM's averages, arrays), are not read.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import attrs

from kernel_audio_import._object import ForeignObject

__all__ = ["Allowed", "Budget", "Malformed", "Mutable", "fill", "interpret"]

_VALUES = frozenset(
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg and opcode.stack_after and opcode.stack_after != [pickletools.anyobject]
)
"""The opcodes that push their argument."""
_STEPS = 5_000_000  # ten seconds; the checkpoint of a large network takes a tenth
_COPIED = 1 << 26  # bytes, beside twice the size of the file
_NESTED = 4  # what torch.save writes takes one
_KEYS = (str, bytes, int, float, type(None))


class Malformed(Exception):
    """The fault of a file, as a clause that explains `it cannot be read as ...`."""


@attrs.frozen(eq=False)
class Allowed:
    """A function that a pickle may call; `make` gets any arguments that the file gives."""

    make: Callable[..., Any]


class Budget:
    """The bounds of reading one file, with the pickles within its pickle.

    A pickle within a pickle is read as often as the file names it: without bounds a few bytes a
    level would double the time. Copies of copies would do the same.
    """

    def __init__(self, size: int) -> None:
        self._steps = _STEPS
        self._copied = _COPIED + 2 * size
        self._depth = 0

    def spend(self, steps: int, copied: int = 0) -> None:
        """Take opcodes or members, and bytes. Raises Malformed when none are left."""
        self._steps -= steps
        self._copied -= copied
        if self._steps < 0:
            raise Malformed(f"its pickle takes more than {_STEPS:,} steps")
        if self._copied < 0:
            raise Malformed("its pickle copies far more data than the file has")

    def spend_on(self, arguments: tuple[Any, ...]) -> None:
        """Take the cost of a copy of each argument, copied or not."""
        for argument in arguments:
            if isinstance(argument, str | bytes | bytearray):
                self.spend(0, len(argument))
            elif isinstance(argument, tuple | list | dict):
                self.spend(len(argument))

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Enter a pickle within the pickle. Raises Malformed when it is too deep."""
        if self._depth == _NESTED:
            raise Malformed(f"its pickles are nested more than {_NESTED} deep")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


class Mutable:
    """A value to which the opcode BUILD may give a state."""

    def build(self, state: Any) -> None:
        """Take any state that the file gives."""
        raise NotImplementedError


def interpret(
    file: IO[bytes],
    table: Mapping[tuple[str, str], Any],
    persistent: Callable[[Any], Any],
    unknown: set[str],
    budget: Budget,
) -> Any:
    """Return the value of the pickle at the position of `file`, and move the position behind it.

    table: the value for each (module, name). persistent: returns the value of a persistent id.
    `unknown` collects names that are not in the table, as `module.name`. `budget` pays the cost.
    Raises Malformed for other data, and for operations that no checkpoint uses.
    """
    machine = _Machine(table, persistent, unknown, budget)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                break
            budget.spend(1)
            machine.step(opcode.name, argument)
        return machine.pop()
    except Malformed:
        raise
    except Exception as error:  # a file may say anything
        raise Malformed(" ".join(str(error).split())[:120] or type(error).__name__) from error


def fill(value: Any, members: Sequence[Any]) -> Any:
    """Return a mapping with more items, given as key, value, key, value and so on."""
    if isinstance(value, ForeignObject):
        fill(value.items, members)
    elif isinstance(value, dict):
        for key, each in zip(members[::2], members[1::2], strict=True):
            # Other keys may end the process when they are hashed: a tuple in a tuple in ...
            value[key if isinstance(key, _KEYS) else ForeignObject(type(key).__name__)] = each
    else:
        raise Malformed("its pickle sets items of a value that is not a mapping")
    return value


class _Machine:
    def __init__(
        self,
        table: Mapping[tuple[str, str], Any],
        persistent: Callable[[Any], Any],
        unknown: set[str],
        budget: Budget,
    ) -> None:
        self._table = table
        self._persistent = persistent
        self._unknown = unknown
        self._budget = budget
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self._stack.pop()

    def step(self, opcode: str, argument: Any) -> None:
        """Do what one opcode says."""
        push, pop = self._stack.append, self._stack.pop
        match opcode:
            case _ if opcode in _VALUES:
                push(argument)
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(opcode == "NEWTRUE")
            case "EMPTY_TUPLE":
                push(())
            case "EMPTY_DICT":
                push({})
            case "EMPTY_LIST" | "EMPTY_SET":
                push([])  # a set too: no value of a file is ever hashed
            case "MARK":
                self._marked.append(self._stack)
                self._stack = []
            case "POP" if self._stack:
                pop()
            case "POP" | "POP_MARK":
                self._since_mark()
            case "DUP":
                push(self._stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self._memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(self._take(int(opcode[-1])))
            case "TUPLE":
                self._push(tuple(self._since_mark()))
            case "LIST" | "FROZENSET":
                self._push(self._since_mark())
            case "DICT":
                self._push(fill({}, self._since_mark()))
            case "APPEND":
                _extend(self._stack[-2], self._take(1))
            case "APPENDS" | "ADDITEMS":
                members = self._since_mark()
                _extend(self._stack[-1], members)
            case "SETITEM":
                fill(self._stack[-3], self._take(2))
            case "SETITEMS":
                members = self._since_mark()
                fill(self._stack[-1], members)
            case "GLOBAL":
                push(self._find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                push(self._find(*self._take(2)))
            case "EXT1" | "EXT2" | "EXT4":
                push(self._find("copyreg extension", str(argument)))
            case "REDUCE" | "NEWOBJ":
                push(self._call(*self._take(2)))
            case "NEWOBJ_EX":
                push(self._call(*self._take(3)))
            case "INST":
                what = self._find(*argument.split(" ", 1))
                self._push(self._call(what, tuple(self._since_mark())))
            case "OBJ":
                what, *arguments = self._since_mark()
                self._push(self._call(what, tuple(arguments)))
            case "BUILD":
                self._build(self._stack[-2], pop())
            case "PERSID":
                push(self._persistent(argument))
            case "BINPERSID":
                push(self._persistent(pop()))
            case _:
                raise Malformed(f"its pickle uses the opcode {opcode}")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _take(self, count: int) -> tuple[Any, ...]:
        taken = tuple(self._stack[-count:])
        if len(taken) < count:
            raise Malformed("its pickle takes a value from an empty stack")
        del self._stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        members, self._stack = self._stack, self._marked.pop()
        return members

    def _find(self, module: Any, name: Any) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Malformed("its pickle gives a name that is not text")
        if (module, name) in self._table:
            return self._table[module, name]
        self._unknown.add(f"{module}.{name}")
        return ForeignObject(f"{module}.{name}")

    def _call(self, what: Any, arguments: Any, keywords: Any = None) -> Any:
        if isinstance(what, ForeignObject):
            return ForeignObject(what.name, arguments if isinstance(arguments, tuple) else ())
        if not isinstance(what, Allowed) or not isinstance(arguments, tuple) or keywords:
            raise Malformed("its pickle calls a value that is not a function")
        self._budget.spend_on(arguments)
        without = [argument for argument in arguments if isinstance(argument, ForeignObject)]
        return without[0] if without else what.make(*arguments)

    def _build(self, value: Any, state: Any) -> None:
        if isinstance(value, Mutable):
            self._budget.spend_on(state if isinstance(state, tuple) else ())
            value.build(state)
        elif isinstance(value, ForeignObject):
            value.state = state
        elif not isinstance(value, dict):  # a state_dict's attribute `_metadata` is not a weight
            raise Malformed("its pickle gives a state to a value that takes none")


def _extend(value: Any, members: Sequence[Any]) -> None:
    if isinstance(value, list):
        value.extend(members)
    elif isinstance(value, ForeignObject):
        value.members.extend(members)
    else:
        raise Malformed("its pickle appends to a value that is not a list")
