"""The processes that train or run together: their number, their shares and their messages.

Everything is that of one process where no other was started. Texts and small tensors go between the
hosts by gloo, tensors of a CUDA device by NCCL; nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import groupby
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from kernel.errors import DeviceError, UsageError

__all__ = ["ALONE", "Processes", "joined"]

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another, which may be reading data or writing a checkpoint."""

MESSAGE = 1 << 24
"""How many values are sent at once."""

_CAUSE = "kernel-audio/cause"


class Elsewhere(DeviceError):
    """A second process ended; it has printed a message of its own unless it was killed."""


@attrs.frozen
class Processes:
    """This process among those of a job.

    rank: its number. count: how many there are. local: its number on its machine, and that of its
    CUDA device.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes, prints and is observed."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """Return the rows of a batch that this process computes; their numbers differ by one.

        Raises UsageError for a batch that leaves a process without any.
        """
        if batch < self.count:
            raise UsageError(
                f"a batch of {batch} cannot be shared by {self.count} processes; set --batch to "
                f"{self.count} or more, or start fewer processes"
            )
        return range(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, equal to the last bit in each.

        All processes give tensors of the same shapes in the same order. Raises DeviceError when
        another process has ended.
        """
        if self.count == 1:
            return
        for _, alike in groupby(tensors, lambda each: (each.device, each.dtype)):
            for parts in _messages(list(alike)):
                flat = torch.cat([part.flatten() for part in parts])
                self._meet(dist.all_reduce, flat)
                sums = torch.split(flat, [part.numel() for part in parts])
                for part, summed in zip(parts, sums, strict=True):
                    part.copy_(summed.view_as(part))

    def told(self, tell: Callable[[], str]) -> str:
        """Return, in every process, what `tell` says in the first one, where alone it is called."""
        if self.count == 1:
            return tell()
        text = tell() if self.first else ""
        data = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
        length = torch.tensor([len(text.encode())])
        self._meet(dist.broadcast, length, 0)
        data = data[: int(length)] if self.first else torch.empty(int(length), dtype=torch.uint8)
        if len(data):
            self._meet(dist.broadcast, data, 0)
        return data.numpy().tobytes().decode()

    def send(self, data: bytes) -> None:
        """Hand bytes to the first process; return when it has taken them."""
        tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self._meet(dist.send, torch.tensor([len(data)]), 0)
        self._meet(dist.send, tensor, 0)

    def receive(self, rank: int) -> bytes:
        """Return, in the first process, the next bytes that another one sends; not none at all."""
        length = torch.zeros(1, dtype=torch.int64)
        self._meet(dist.recv, length, rank)
        tensor = torch.empty(int(length), dtype=torch.uint8)
        self._meet(dist.recv, tensor, rank)
        return tensor.numpy().tobytes()

    def odd(self, values: Tensor) -> tuple[int, int] | None:
        """Return a process that has another of the values than the first one, and its index.

        values: [N], int64, on the CPU. Every process is given the same answer.
        """
        every = values.new_zeros(self.count, len(values))
        every[self.rank] = values
        self.sum([every])
        found = (every != every[0]).nonzero().tolist()
        return (found[0][0], found[0][1]) if found else None

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.sum([torch.zeros(1)])

    def _meet(self, act: Callable[..., object], *given: object) -> None:
        """Call what all processes call together."""
        try:
            act(*given)
        except RuntimeError as error:
            raise Elsewhere(
                f"another of the {self.count} processes ended or cannot be reached "
                f"({str(error).splitlines()[0][:120]}); its own message says why, or it was killed"
            ) from error


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Yield the processes that torchrun started this one with, or those of the caller's own group.

    An error that several processes share is raised in one of them, and that another one ended is
    raised in none if that one says why; where an error is not raised, SystemExit is.
    """
    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size(), dist.get_node_local_rank(0))
        return
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield Processes()
        return
    store, rank, count = next(iter(rendezvous("env://", timeout=PATIENCE)))
    processes = Processes(rank, count, dist.get_node_local_rank(rank))
    if count == 1:
        yield processes
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        yield processes
    except BaseException as error:
        if _known(store, error):
            usual = 130 if isinstance(error, KeyboardInterrupt) else 1
            raise SystemExit(getattr(error, "exit_code", usual)) from error
        raise
    finally:
        dist.destroy_process_group()


def _known(store: Any, error: BaseException) -> bool:
    """Return whether another process says what this one ended with; else note that it does."""
    with suppress(RuntimeError):
        if not isinstance(error, Elsewhere):
            store.set(_CAUSE, "")
            return bool(store.add(f"{_CAUSE}/{error}", 1) > 1)
        with suppress(RuntimeError):
            store.wait([_CAUSE], timedelta(seconds=2))
            return True
        return bool(store.add(f"{_CAUSE}/", 1) > 1)
    return False


def _messages(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors in order, in lists that are sent at once."""
    parts: list[Tensor] = []
    for tensor in tensors:
        if parts and sum(part.numel() for part in parts) + tensor.numel() > MESSAGE:
            yield parts
            parts = []
        parts.append(tensor)
    yield parts
