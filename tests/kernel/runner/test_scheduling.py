from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from kernel import AudioSpec, Making, Request, Task, Window
from kernel.errors import PluginError
from kernel.runner.scheduling import Scheduler, Seat

SAMPLES = 4


class Coroutines(Task):
    """Makes requests with a function that is given."""

    with_: Callable[[Request], Making]

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    def make(self, request: Request) -> Making:
        return self.with_(request)


class Batches:
    """A run that notes its batches; a window's audio is its request's index."""

    def __init__(self) -> None:
        self.seats: list[list[Seat]] = []

    def __call__(self, seats: Sequence[Seat]) -> list[Tensor]:
        self.seats.append(list(seats))
        return [torch.full((1, seat.window.samples), float(seat.place[0])) for seat in seats]

    @property
    def indices(self) -> list[list[int]]:
        return [[seat.place[0] for seat in seats] for seats in self.seats]

    @property
    def places(self) -> list[list[tuple[int, ...]]]:
        return [[seat.place for seat in seats] for seats in self.seats]


def requests(count: int) -> list[Request]:
    return [Request(str(index), Window(SAMPLES)) for index in range(count)]


def scheduler(make: Callable[[Request], Making], count: int, batch: int) -> Scheduler:
    return Scheduler(Coroutines(with_=make), requests(count), batch)


def made(make: Callable[[Request], Making], count: int, batch: int) -> Batches:
    """Return the batches of a run whose sounds come in order."""
    run = Batches()
    found = list(scheduler(make, count, batch).sounds(run))
    assert [index for index, _ in found] == sorted(index for index, _ in found)
    assert {index for index, _ in found} == set(range(count))
    for index, sound in found:
        assert bool((sound.audio == index).all())
    return run


def yields(*lists: Callable[[int], list[Window]]) -> Callable[[Request], Making]:
    """Return a coroutine that yields lists of windows, each from the request's index."""

    def make(request: Request) -> Making:
        every: list[Tensor] = []
        for windows in lists:
            asked = windows(int(request.name))
            answer = yield asked
            assert [each.shape[-1] for each in answer] == [each.samples for each in asked]
            every += answer
        return [request.finished(torch.cat(every, -1), 8000)]

    return make


def same(count: int) -> Callable[[int], list[Window]]:
    return lambda index: [Window(SAMPLES) for _ in range(count)]


def test_windows_of_many_requests_share_batches() -> None:
    run = made(yields(same(3)), 3, 4)
    assert run.indices == [[0, 0, 0, 1], [1, 1, 2, 2], [2]]
    assert run.places[1] == [(1, 1), (1, 2), (2,), (2, 1)]


def test_windows_are_numbered_over_the_whole_coroutine() -> None:
    run = made(yields(same(2), same(1), same(2)), 1, 8)
    assert run.places == [[(0,), (0, 1)], [(0, 2)], [(0, 3), (0, 4)]]


def test_a_stream_is_a_number_of_its_own() -> None:
    run = made(yields(lambda index: [Window(SAMPLES, stream=each) for each in (5, 0, 5)]), 1, 8)
    assert run.places == [[(0, 5), (0,), (0, 5)]]


@pytest.mark.parametrize("part", ["samples", "start", "model"])
def test_a_batch_has_one_length_one_start_and_one_model(part: str) -> None:
    values = {"samples": (4, 8), "start": (None, 2.0), "model": (None, "other")}[part]

    def windows(index: int) -> list[Window]:
        return [Window(**{"samples": SAMPLES, part: value}) for value in values]

    run = made(yields(windows), 4, 2)
    assert run.indices == [[0, 1], [0, 1], [2, 3], [2, 3]]
    for seats in run.seats:
        assert len({getattr(seat.window, part) for seat in seats}) == 1


def test_a_joint_is_never_split_and_may_have_several_models() -> None:
    def windows(index: int) -> list[Window]:
        return [Window(SAMPLES, joint=each, model=name) for name in "ab" for each in (0, 1)]

    for batch, sizes in ((1, [2, 2, 2, 2]), (3, [2, 2, 2, 2]), (4, [4, 4])):
        run = made(yields(windows), 2, batch)
        assert [len(seats) for seats in run.seats] == sizes
        for seats in run.seats:
            for one, other in zip(seats[::2], seats[1::2], strict=True):
                assert (one.place[0], one.window.joint) == (other.place[0], other.window.joint)
                assert (one.window.model, other.window.model) == ("a", "b")


def test_windows_outside_of_a_joint_are_not_taken_for_a_part_of_it() -> None:
    def windows(index: int) -> list[Window]:
        return [Window(SAMPLES), Window(SAMPLES, joint=0), Window(SAMPLES, joint=0)]

    run = made(yields(windows), 2, 4)
    assert run.indices == [[0, 0, 1, 1], [0, 1]]
    assert [seat.window.joint for seat in run.seats[1]] == [None, None]


def test_joint_windows_that_differ_are_refused() -> None:
    windows = [Window(SAMPLES, joint=3), Window(SAMPLES + 1, joint=3)]
    with pytest.raises(PluginError, match="windows of request 0 with the joint 3 have different l"):
        made(yields(lambda index: windows), 1, 2)


def test_later_windows_of_one_request_share_batches_with_those_of_others() -> None:
    run = made(yields(same(1), same(1)), 4, 2)
    assert [len(seats) for seats in run.seats] == [2, 2, 2, 2]
    assert run.indices == [[0, 1], [0, 1], [2, 3], [2, 3]]


def test_a_request_that_needs_no_window_is_made_without_one() -> None:
    def make(request: Request) -> Making:
        yield []
        return [request.finished(torch.full((1, 1), float(request.name)), 8000)]

    assert made(make, 5, 2).seats == []


def test_a_request_may_become_several_sounds() -> None:
    def make(request: Request) -> Making:
        (audio,) = yield [request.window]
        one, two = audio.split(SAMPLES // 2, -1)
        whole = request.finished(one, 8000)
        return [whole, type(whole)(f"{request.name}-two", two, 8000)]

    found = list(scheduler(make, 2, 2).sounds(Batches()))
    named = [(index, sound.name) for index, sound in found]
    assert named == [(0, "0"), (0, "0-two"), (1, "1"), (1, "1-two")]


def test_two_sounds_of_one_name_are_refused() -> None:
    def make(request: Request) -> Making:
        (audio,) = yield [request.window]
        return [Request("x", request.window).finished(audio, 8000)]

    with pytest.raises(PluginError, match="Coroutines makes two sounds called 'x', one of t"):
        list(scheduler(make, 2, 2).sounds(Batches()))


@pytest.mark.parametrize("rare", [False, True])
def test_memory_does_not_grow_with_the_number_of_requests(rare: bool) -> None:
    """Every hundredth request, with `rare`, has a length of its own and waits for others."""
    batch, opened, most = 8, 0, 0
    tensors: list[weakref.ref[Tensor]] = []

    def make(request: Request) -> Making:
        nonlocal opened, most
        opened += 1
        odd = rare and int(request.name) % 100 == 1
        (audio,) = yield [Window(SAMPLES + odd)]
        (audio,) = yield [Window(SAMPLES)]
        opened -= 1
        return [request.finished(audio, 8000)]

    class Watched(Batches):
        def __call__(self, seats: Sequence[Seat]) -> list[Tensor]:
            nonlocal most
            most = max(most, opened)
            found = [torch.full((1, SAMPLES), float(seat.place[0])) for seat in seats]
            tensors.extend(weakref.ref(each) for each in found)
            return found

    count, alive = 0, 0
    for number, (index, sound) in enumerate(scheduler(make, 1000, batch).sounds(Watched())):
        assert index == number and float(sound.audio[0, 0]) == index
        count += 1
        if number % 50 == 0:
            gc.collect()
            alive = max(alive, sum(each() is not None for each in tensors))
    assert (count, opened) == (1000, 0)
    assert most <= 2 * batch
    assert alive <= 4 * batch


def test_requests_are_read_one_after_another() -> None:
    read: list[int] = []

    class Lazy(Sequence[Request]):
        def __len__(self) -> int:
            return 100

        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            read.append(index)
            return Request(str(index), Window(SAMPLES))

    task = Coroutines(with_=yields(same(1)))
    sounds = Scheduler(task, Lazy(), 4).sounds(Batches())
    assert next(sounds)[0] == 0
    assert read == [0, 1, 2, 3]
    sounds.close()  # type: ignore[attr-defined]


def test_what_is_open_is_closed_when_a_run_fails() -> None:
    closed: list[str] = []

    def make(request: Request) -> Making:
        try:
            yield [request.window]
        finally:
            closed.append(request.name)
        return []

    def fail(seats: Sequence[Seat]) -> list[Tensor]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(scheduler(make, 3, 2).sounds(fail))
    assert closed == ["0", "1"]


def test_the_batches_to_come_are_those_of_windows_known_and_one_for_each_request() -> None:
    one = scheduler(yields(same(1)), 5, 2)
    left: list[tuple[int, int]] = []

    def run(seats: Sequence[Seat]) -> list[Tensor]:
        left.append((one.batches, one.done))
        return Batches()(seats)

    list(one.sounds(run))
    assert left == [(2, 0), (1, 2), (0, 4)]
