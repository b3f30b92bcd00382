"""The items of a training: drawn ahead by worker processes, in an order that the seed decides."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, cast

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError, PluginError
from kernel.items import Item
from kernel.kinds.task import Dataset
from kernel.runner.processes import ALONE, Processes
from kernel.seeds import derive, generator
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.order import Order

__all__ = ["Loader", "micro_batches", "one_thread"]

_ALIGNED = 64  # bytes; tensors in a buffer start at their multiples, which suits every dtype

Asked = tuple[int, range]
"""A step and the rows of it that are computed together."""


def micro_batches(config: TrainConfig, processes: Processes = ALONE) -> list[range]:
    """Return the rows of a step, out of range(batch), that this process computes together."""
    own = processes.rows(config.batch)
    size = config.micro_batch or len(own)
    return [own[first : first + size] for first in range(0, len(own), size)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as worker processes do: how sums are rounded depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Loader:
    """Draws the items of a training's steps, ahead of time where there are worker processes.

    The item in a place, `step * batch + row`, depends on the data, the seed and that place alone.
    parts: the rows that each step asks for, in order. processes: those that read beside this one.
    order: by default that of shuffled epochs. `skipped` counts the sentences on items that others
    stood in for.
    """

    def __init__(
        self,
        data: Dataset,
        config: TrainConfig,
        parts: Sequence[range],
        processes: Processes = ALONE,
        order: Order | None = None,
    ) -> None:
        self._items = _Items(data, config, order or Order(len(data), config))
        self._parts = tuple(parts)
        self._steps = config.steps
        usual = _usual_workers(_neighbours(processes))
        self._workers = usual if config.workers is None else config.workers
        self._ahead: Iterator[Any] | None = None
        self._due: Iterator[Asked] = iter(())
        self._next: Asked | None = None
        self._waited, self._since = 0.0, time.perf_counter()
        self.skipped: Counter[str] = Counter()

    def items(self, step: int, rows: range) -> list[Item]:
        """Return the items of a step that stand in `rows`.

        The first call begins the sequence of steps; what is asked for out of turn is drawn in this
        process. Raises what the data set raises.
        """
        began = time.perf_counter()
        if self._workers and self._ahead is None and rows == self._parts[0]:
            self._begin(step)
        if self._ahead is not None and self._next == (step, rows):
            self._next = next(self._due, None)
            drawn = next(self._ahead)
            found = drawn.items() if isinstance(drawn, _Packed) else drawn
        else:
            with one_thread():
                found = self._items.draw((step, rows))
        self._waited += time.perf_counter() - began
        if isinstance(found, KernelError):
            raise found
        items = cast("list[Item]", found)
        self.skipped.update(each for item in items for each in item.skipped)
        return items

    def names(self, step: int, rows: range) -> list[str]:
        """Return the names of the items of a step that stand in `rows`, as they are drawn anew.

        An item without a name has its index in the data set.
        """
        with one_thread():
            return [self._items.name(step, row) for row in rows]

    def waiting(self) -> float:
        """Return the share of the time since the last call that was spent in `items`."""
        now = time.perf_counter()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return share

    def close(self) -> None:
        """End the worker processes."""
        if self._ahead is not None:
            # Where an interruption's traceback holds torch's iterator, to forget it is not enough.
            cast("Any", self._ahead).__del__()
        self._ahead = self._next = None

    def _begin(self, step: int) -> None:
        from torch.utils.data import DataLoader

        def asked() -> Iterator[Asked]:
            return ((each, rows) for each in range(step, self._steps) for rows in self._parts)

        # A fork shares the sounds in memory; elsewhere the data set is pickled.
        forks = "fork" in multiprocessing.get_all_start_methods()
        loader: Any = DataLoader(
            cast("Any", self._items),
            batch_size=None,
            sampler=asked(),
            num_workers=self._workers,
            collate_fn=_same,
            worker_init_fn=_begin_worker,
            multiprocessing_context="fork" if forks else "spawn",
            # By default it would draw from the generator of the networks' dropout.
            generator=torch.Generator(),
        )
        self._due = asked()
        self._next = next(self._due, None)
        self._ahead = iter(loader)


class _Items:
    """A map from a step and its rows to their items, packed for the way between processes."""

    def __init__(self, data: Dataset, config: TrainConfig, order: Order) -> None:
        self._data, self._order = data, order
        self._seed, self._batch = config.seed, config.batch

    def __getitem__(self, asked: Asked) -> _Packed | KernelError:
        try:
            return _Packed(self.draw(asked))
        except KernelError as error:
            # torch would raise it with a traceback for its message.
            return error

    def draw(self, asked: Asked) -> list[Item]:
        step, rows = asked
        items = [self._item(step * self._batch + row) for row in rows]
        samples = self._order.samples(step)
        return items if samples is None else [_cut(item, samples) for item in items]

    def name(self, step: int, row: int) -> str:
        place = step * self._batch + row
        with suppress(KernelError):
            if name := self._item(place).name:
                return name
        return str(self._order.index(place))

    def _item(self, place: int) -> Item:
        draws = generator(self._seed, "example", place)
        return self._data.item(self._order.index(place), draws)


def _cut(item: Item, samples: int) -> Item:
    """Return the first samples of an item, which has no valid ones beyond them.

    One that stands in for another is cut even so. Raises PluginError for any other.
    """
    valid = item.samples if item.valid is None else item.valid
    if valid > samples and not item.skipped:
        raise PluginError(
            f"{item.name or 'an item'} has {valid} valid samples, and the task's lengths say that "
            f"none of its batch has more than {samples}; the task's author has to make them agree"
        )
    cut: dict[str, Any] = {
        name: part[:, :samples]
        for name in ("audio", "aligned", "origin")
        if (part := getattr(item, name)) is not None
    }
    return attrs.evolve(item, samples=samples, valid=min(valid, samples), **cut)


_Place = tuple[int, int, torch.dtype, tuple[int, ...]]
"""Where a tensor lies in a buffer: its first byte and their number, its dtype and its shape."""


class _Packed:
    """Items with all their tensors in one buffer: one piece of shared memory for a batch."""

    def __init__(self, items: list[Item]) -> None:
        self._items: list[tuple[Item, dict[str, _Place]]] = []
        found: list[Tensor] = []
        start = 0
        for item in items:
            own: dict[str, _Place] = {}
            for field in attrs.fields(type(item)):
                value = getattr(item, field.name)
                if isinstance(value, Tensor):
                    found.append(value.contiguous())
                    own[field.alias] = start, value.nbytes, value.dtype, tuple(value.shape)
                    start += _room(value)
            without: dict[str, Any] = dict.fromkeys(own)
            self._items.append((attrs.evolve(item, **without), own))
        self._buffer = torch.empty(start, dtype=torch.uint8)
        for place, each in zip(self._places(), found, strict=True):
            self._buffer[place[0] : place[0] + place[1]] = each.reshape(-1).view(torch.uint8)

    def items(self) -> list[Item]:
        found = []
        for item, own in self._items:
            tensors: dict[str, Any] = {name: self._at(*place) for name, place in own.items()}
            found.append(attrs.evolve(item, **tensors))
        return found

    def _places(self) -> Iterator[_Place]:
        return (place for _, own in self._items for place in own.values())

    def _at(self, start: int, size: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        return self._buffer[start : start + size].view(dtype).view(shape)


def _room(tensor: Tensor) -> int:
    return -(-tensor.nbytes // _ALIGNED) * _ALIGNED


def _neighbours(processes: Processes) -> int:
    """Return how many of the processes run on this machine."""
    machines = torch.zeros(processes.count, dtype=torch.int64)
    machines[processes.rank] = derive(0, platform.node())
    processes.sum([machines])
    return int((machines == machines[processes.rank]).sum())


def _usual_workers(processes: int = 1) -> int:
    """Return half of this process's share of the cores that it may use, at most 4.

    processes: how many share them. A daemon, such as a process of a pool, may not have children.
    """
    if multiprocessing.current_process().daemon:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(4, (cores or 1) // (2 * processes))


def _same(packed: Any) -> Any:
    return packed


def _begin_worker(number: int) -> None:
    """Leave the signals to the training, which may need a batch to end a step.

    They go to all processes of a terminal or a job. A second SIGTERM ends a worker.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, once)
