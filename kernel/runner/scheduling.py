"""Coroutines of tasks, and the batches that the windows of many of them are made in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs
from torch import Tensor

from kernel.errors import PluginError
from kernel.items import Making, Request, Window
from kernel.kinds.task import Task
from kernel.values import Sound


@attrs.frozen(eq=False)
class Seat:
    """A window, and where its seed is derived from: the index of its request, then its stream."""

    window: Window
    place: tuple[int, ...]


Answer = tuple[int, list[Sound]]
"""The index of a request, and its sounds."""

Unit = list[Seat]
"""Windows that are sampled in one batch: one, or all those of a joint."""


class Scheduler:
    """Runs a task's coroutines, and their windows in batches.

    A batch has one length, one start and one model (a joint may have several) and `batch` windows,
    or fewer where a joint would be split. It runs when it is full, or when no coroutine can go on
    without it. At most 2 `batch` coroutines are open at a time; those opened first go first.
    indices: the requests to take, all by default.
    """

    def __init__(
        self,
        task: Task,
        requests: Sequence[Request],
        batch: int,
        indices: Sequence[int] | None = None,
    ) -> None:
        self._task = task
        self._requests = requests
        self._indices = range(len(requests)) if indices is None else indices
        self._batch = batch
        self._next = 0
        self._open: deque[_Coroutine] = deque()
        self._waiting: list[Unit] = []
        self.done = 0

    @property
    def batches(self) -> int:
        """Return how many batches are still to come, if every request not begun has one window."""
        counts = Counter(_kind(unit) for unit in self._waiting for _ in unit)
        most = max(counts, key=counts.__getitem__, default=(0, None, ()))
        counts[most] += len(self._indices) - self._next
        return sum(-(-count // self._batch) for count in counts.values())

    def sounds(self, run: Callable[[Unit], Sequence[Tensor]]) -> Iterator[tuple[int, Sound]]:
        """Yield the index of each request with each of its sounds, in order.

        Raises PluginError for a name that comes twice; otherwise as for `answers`.
        """
        return each(self._task, self.answers(run))

    def answers(self, run: Callable[[Unit], Sequence[Tensor]]) -> Iterator[Answer]:
        """Yield the index of each request with all of its sounds, in order.

        `run` makes the windows of a batch: audio [C, samples] of each, on the CPU.
        Raises PluginError for windows of a joint that differ.
        """
        try:
            while True:
                while self._open and self._open[0].sounds is not None:
                    finished = self._open.popleft()
                    yield finished.index, finished.sounds or []
                full = next(filter(self._full, self._waiting), None)
                room = len(self._open) < 2 * self._batch
                if full is None and room and self._next < len(self._indices):
                    self._begin()
                elif self._waiting:
                    self._make(full or self._waiting[0], run)
                elif not self._open:
                    return
        finally:
            for coroutine in self._open:
                coroutine.making.close()

    def _begin(self) -> None:
        """Open the coroutine of the next request."""
        index = self._indices[self._next]
        self._next += 1
        self._open.append(_Coroutine(index, self._task.make(self._requests[index])))
        self._go_on(self._open[-1], None)

    def _go_on(self, coroutine: _Coroutine, answer: list[Tensor] | None) -> None:
        """Send a coroutine what it waits for, until it waits for windows or has ended."""
        units = coroutine.send(answer)
        while not units and coroutine.sounds is None:
            units = coroutine.send([])
        self.done += coroutine.sounds is not None
        self._waiting = sorted([*self._waiting, *units], key=lambda unit: unit[0].place[0])

    def _full(self, unit: Unit) -> bool:
        alike = (each for each in self._waiting if _kind(each) == _kind(unit))
        return sum(map(len, alike)) >= self._batch

    def _make(self, unit: Unit, run: Callable[[Unit], Sequence[Tensor]]) -> None:
        """Make a batch of a unit's kind, from the first of that kind on."""
        chosen: list[Unit] = []
        for each in self._waiting:
            if _kind(each) == _kind(unit):
                if chosen and sum(map(len, chosen)) + len(each) > self._batch:
                    break
                chosen.append(each)
        self._waiting = [each for each in self._waiting if each not in chosen]
        seats = [seat for each in chosen for seat in each]
        made = dict(zip(seats, run(seats), strict=True))
        for coroutine in list(self._open):
            answer = coroutine.take(made)
            if answer is not None:
                self._go_on(coroutine, answer)


def each(task: Task, answers: Iterable[Answer]) -> Iterator[tuple[int, Sound]]:
    """Yield the index of each request with each of its sounds.

    Raises PluginError for a name that comes twice.
    """
    names: set[str] = set()
    for index, sounds in answers:
        for sound in sounds:
            if sound.name in names:
                raise PluginError(
                    f"the task {type(task).__name__} makes two sounds called {sound.name!r}, one "
                    f"of them from request {index}; every sound of a run needs a name of its own"
                )
            names.add(sound.name)
            yield index, sound


class _Coroutine:
    """A request that is being made: the windows that it waits for, or its sounds in the end."""

    def __init__(self, index: int, making: Making) -> None:
        self.index, self.making = index, making
        self.sounds: list[Sound] | None = None
        self._count = 0
        self._made: dict[Seat, Tensor | None] = {}

    def send(self, answer: list[Tensor] | None) -> list[Unit]:
        """Return the units of windows that the coroutine yields; none where it has ended."""
        try:
            windows = next(self.making) if answer is None else self.making.send(answer)
        except StopIteration as end:
            self.sounds = end.value
            return []
        units: dict[int | Seat, Unit] = {}
        for number, window in enumerate(windows, self._count):
            stream = number if window.stream is None else window.stream
            seat = Seat(window, (self.index, stream) if stream else (self.index,))
            self._made[seat] = None
            units.setdefault(seat if window.joint is None else window.joint, []).append(seat)
        self._count += len(windows)
        return [_whole(unit) for unit in units.values()]

    def take(self, made: dict[Seat, Tensor]) -> list[Tensor] | None:
        """Keep what is its own; return the answer when that completes it, else None."""
        own = self._made.keys() & made.keys()
        self._made |= {seat: made[seat] for seat in own}
        answer = [audio for audio in self._made.values() if audio is not None]
        if not own or len(answer) < len(self._made):
            return None
        self._made = {}
        return answer


def _kind(unit: Unit) -> tuple[int, float | None, tuple[str | None, ...]]:
    """Return what the units of a batch have in common."""
    first = unit[0].window
    return first.samples, first.start, tuple(seat.window.model for seat in unit)


def _whole(unit: Unit) -> Unit:
    """Return a unit. Raises PluginError unless one batch can hold it."""
    kinds = {(seat.window.samples, seat.window.start) for seat in unit}
    if len(kinds) > 1:
        raise PluginError(
            f"the windows of request {unit[0].place[0]} with the joint {unit[0].window.joint} have"
            f" different lengths or starts, {sorted(map(str, kinds))}; those of a joint are sampled"
            " in one batch and need one of each"
        )
    return unit
