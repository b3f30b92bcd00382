"""Items arrive in one order, bit-equal and whole, however many processes draw them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import torch

from kernel import InputError, Item
from kernel.errors import DeviceError, PluginError
from kernel.runner.libraries import guarded
from kernel.runner.processes import Processes
from kernel.seeds import derive, generator
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.loading import Loader, _Packed, micro_batches
from kernel_audio_training.order import Buckets


class Data:
    """Ten sounds that an item's draws change; the sums of long ones depend on the threads."""

    def __len__(self) -> int:
        return 10

    def item(self, index: int, generator: torch.Generator) -> Item:
        audio = torch.randn(2, 40_000, generator=generator) + index
        return Item(
            audio.shape[-1],
            audio / audio.square().mean().sqrt(),
            valid=None if index % 2 else 30,
            sequence=torch.full((index, 3), index, dtype=torch.int32),
            vector=torch.tensor([index % 2 == 0, True]),
        )


class Bad(Data):
    def item(self, index: int, generator: torch.Generator) -> Item:
        if index == 3:
            raise InputError("take-3.wav is cut short; copy it again")
        return super().item(index, generator)


class Deadly(Data):
    def item(self, index: int, generator: torch.Generator) -> Item:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().item(index, generator)


def config(**given: object) -> TrainConfig:
    return TrainConfig.model_validate({"steps": 6, "batch": 4, "micro_batch": 3, **given})


def loader(data: Data, **given: object) -> Loader:
    settings = config(**given)
    return Loader(data, settings, micro_batches(settings))


def drawn(tested: Loader, steps: range = range(6)) -> list[Item]:
    with closing(tested):
        parts = [(step, rows) for step in steps for rows in micro_batches(config())]
        return [item for step, rows in parts for item in tested.items(step, rows)]


def same(one: list[Item], other: list[Item]) -> bool:
    def equal(a: object, b: object) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.dtype == b.dtype and torch.equal(a, b)
        return a == b

    return len(one) == len(other) and all(
        equal(getattr(a, field.name), getattr(b, field.name))
        for a, b in zip(one, other, strict=True)
        for field in attrs.fields(Item)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_bit_equal_for_any_number_of_workers(workers: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    here = drawn(loader(Data(), workers=0))
    assert torch.get_num_threads() == 4
    torch.set_num_threads(threads)
    assert len(here) == 24
    assert same(drawn(loader(Data(), workers=workers)), here)


def test_a_later_start_goes_on_in_the_same_order() -> None:
    here = drawn(loader(Data(), workers=0))
    assert same(drawn(loader(Data(), workers=2), range(3, 6)), here[12:])


def test_each_epoch_has_every_item_once_and_another_seed_another_order() -> None:
    def order(seed: int) -> list[int]:
        return [len(item.sequence) for item in drawn(loader(Data(), seed=seed, workers=0))]

    assert sorted(order(0)[:10]) == sorted(order(0)[10:20]) == list(range(10))
    assert order(0)[:10] != order(0)[10:20]
    assert order(0) != order(1)


def test_steps_out_of_turn_and_beyond_the_end_are_the_same_too() -> None:
    ahead, here = loader(Data(), workers=1), loader(Data(), workers=0)
    for step, rows in (
        (2, range(3)),
        (5, range(3)),
        (2, range(3, 4)),
        (9, range(3)),
        (0, range(1)),
    ):
        assert same(ahead.items(step, rows), here.items(step, rows))
    ahead.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_file_is_one_sentence_in_any_process(workers: int) -> None:
    with pytest.raises(InputError) as caught:
        drawn(loader(Bad(), workers=workers))
    assert str(caught.value) == "take-3.wav is cut short; copy it again"


def test_a_worker_that_is_killed_is_one_sentence() -> None:
    with pytest.raises(DeviceError, match=r"^a process that reads .* fewer --workers, or 0$"):  # noqa: SIM117
        with guarded():
            drawn(loader(Deadly(), workers=1))


def test_closing_ends_the_processes() -> None:
    tested = loader(Data(), workers=2)
    tested.items(0, range(3))
    assert len(multiprocessing.active_children()) == 2
    tested.close()
    assert not multiprocessing.active_children()


def test_closing_ends_the_processes_where_a_traceback_holds_their_iterator() -> None:
    """An interruption comes while a batch is waited for, and the frames of its traceback stay."""
    tested = loader(Data(), workers=2)
    tested.items(0, range(3))
    held = tested._ahead
    tested.close()
    assert held is not None
    assert not multiprocessing.active_children()


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn(loader(Data(), workers=1))
    assert torch.equal(torch.get_rng_state(), before)


class Named(Data):
    def item(self, index: int, generator: torch.Generator) -> Item:
        return attrs.evolve(super().item(index, generator), name=f"take-{index}.wav")


def test_items_of_a_step_are_known_by_their_names_or_their_numbers() -> None:
    here = [len(item.sequence) for item in drawn(loader(Data(), workers=0))]
    assert loader(Data()).names(2, range(3)) == [str(index) for index in here[8:11]]
    tested = loader(Named(), workers=1)
    tested.items(0, range(3))
    assert tested.names(2, range(3)) == [f"take-{index}.wav" for index in here[8:11]]
    tested.close()
    # An item that has become unreadable hides no name of another.
    assert loader(Bad()).names(0, range(4)) == [str(index) for index in here[:4]]


@pytest.mark.parametrize(
    ("machines", "workers"), [("abcd", 4), ("aabb", 4), ("aaaa", 3), ("aaab", 4)]
)
def test_processes_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, machines: str, workers: int
) -> None:
    class Among(Processes):
        def sum(self, tensors: Sequence[torch.Tensor]) -> None:
            for rank, name in enumerate(machines):
                tensors[0][rank] = derive(0, name)

    cores = "kernel_audio_training.loading.os.sched_getaffinity"
    monkeypatch.setattr(cores, lambda process: set(range(24)), raising=False)
    monkeypatch.setattr("kernel_audio_training.loading.platform.node", lambda: machines[3])
    settings = config()
    tested = Loader(Data(), settings, micro_batches(settings), Among(rank=3, count=4))
    assert tested._workers == workers


class Ragged(Data):
    """Sounds of at most a known number of samples, with all that is as long."""

    def item(self, index: int, generator: torch.Generator) -> Item:
        item = super().item(index, generator)
        beside = {"aligned": item.audio[:1], "origin": 2 * item.audio}  # type: ignore[index]
        return attrs.evolve(item, valid=KNOWN[index] - 5, **beside)


KNOWN = [100, 900, 350, 120, 40_000, 880, 340, 11_000, 110, 330]


def cut(data: Data, known: list[int], lengths: list[int], workers: int = 0) -> list[Item]:
    settings = config(workers=workers)
    order = Buckets(settings, known, lengths)
    return drawn(Loader(data, settings, micro_batches(settings), order=order))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_items_of_a_batch_are_cut_to_one_of_a_few_lengths(workers: int) -> None:
    items = cut(Ragged(), KNOWN, [200, 500, 10_000, 40_000], workers)
    for first in range(0, 24, 4):
        batch = items[first : first + 4]
        (samples,) = {item.samples for item in batch}
        assert samples in (200, 500, 10_000, 40_000)
        assert max(KNOWN[len(item.sequence)] for item in batch) <= samples  # type: ignore[arg-type]
        for item in batch:
            for part in (item.audio, item.aligned, item.origin):
                assert part is not None
                assert part.shape[-1] == samples
            assert item.valid == KNOWN[len(item.sequence)] - 5  # type: ignore[arg-type]
    assert len({item.samples for item in items}) > 1
    # What is left of an item is what it is without buckets.
    index = [len(item.sequence) for item in items].index(3)  # type: ignore[arg-type]
    whole = Ragged().item(3, generator(0, "example", index))
    assert torch.equal(items[index].audio, whole.audio[:, : items[index].samples])  # type: ignore


def test_an_item_that_is_longer_than_its_task_says_is_one_sentence() -> None:
    with pytest.raises(PluginError, match=r"^an item has 30 valid samples, .* more than 20; the "):
        cut(Data(), [20] * 10, [20])
    with pytest.raises(PluginError, match=r"^take-\d.wav has 30 valid samples"):
        cut(Named(), [20] * 10, [20])


def test_an_item_that_stands_in_for_a_shorter_one_is_cut() -> None:
    class Gone(Data):
        def item(self, index: int, generator: torch.Generator) -> Item:
            return attrs.evolve(super().item(index, generator), skipped=("gone",))

    for item in cut(Gone(), [20] * 10, [20]):
        assert item.audio is not None
        assert (item.samples, item.valid, item.audio.shape[-1]) == (20, 20, 20)


def test_waiting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Slow(Data):
        def item(self, index: int, generator: torch.Generator) -> Item:
            nonlocal now
            now += 0.25
            return super().item(index, generator)

    monkeypatch.setattr("kernel_audio_training.loading.time.perf_counter", lambda: now)
    tested = loader(Slow(), workers=0)
    tested.items(0, range(4))
    now += 3
    assert tested.waiting() == 0.25
    now += 1
    assert tested.waiting() == 0


def test_a_batch_travels_as_one_tensor_however_many_items_it_has() -> None:
    items = [Data().item(index, torch.Generator().manual_seed(index)) for index in range(10)]
    packed = _Packed(items)
    assert same(packed.items(), items)
    assert packed._buffer.nbytes < 1.01 * sum(item.audio.nbytes for item in items)
    assert same(pickle.loads(pickle.dumps(packed)).items(), items)


CTRL_C = """
import os, signal, sys, threading, time
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.loading import Loader, micro_batches
sys.path.insert(0, sys.argv[1])
from test_loading import Data
config = TrainConfig(steps=1000, batch=4, workers=2)
loader = Loader(Data(), config, micro_batches(config))
try:
    for step in range(1000):
        loader.items(step, range(4))
        if step == 2:
            print("ready", flush=True)
        time.sleep(0.01)
except KeyboardInterrupt:
    # A step may need another batch to end.
    loader.items(step + 1, range(4))
    raise
finally:
    loader.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_stays_behind(number: int) -> None:
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", CTRL_C, here],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # A terminal sends Ctrl-C to the whole group.
        os.killpg(process.pid, number) if number == signal.SIGINT else process.kill()
        _, said = process.communicate(timeout=60)
    assert said.count("KeyboardInterrupt") == (number == signal.SIGINT), said
    deadline = time.monotonic() + 30
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(process.pid)


def alive(group: int) -> bool:
    """Return whether a process of the group runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
