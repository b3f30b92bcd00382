"""CUDA graphs, recorded by a stand-in that repeats what was recorded: one for each layout."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kernel.config import RunConfig
from kernel.errors import DeviceError
from kernel.runner.device import Captured, Machine


class Recorder:
    """Repeats what it recorded in place, as a CUDA graph does, and counts the recordings."""

    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, evaluate: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recordings += 1
        result = evaluate()

        def replay() -> None:
            result.copy_(evaluate())

        return replay, result


def network(x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
    keys, mask = condition["memories"][0], condition["mask"]
    return x * c_noise.view(-1, 1, 1) + (keys * mask).sum(1).view(-1, 1, 1)


def prompt(length: int, value: float = 1.0, batch: int = 2) -> Any:
    return {
        "memories": (torch.full((batch, length), value), None),
        "mask": torch.ones(batch, length, dtype=torch.bool),
    }


def test_equal_batches_share_a_graph_and_a_longer_prompt_has_its_own() -> None:
    recorder = Recorder()
    captured = Captured(network, recorder)
    for batch in range(8):
        told = prompt(5, float(batch))
        for step in range(3):
            x, c_noise = torch.randn(2, 1, 4), torch.full((2,), float(step))
            assert captured(x, c_noise, told).equal(network(x, c_noise, told))
    assert recorder.recordings == 1
    x, c_noise, longer = torch.ones(2, 1, 4), torch.ones(2), prompt(6)
    assert captured(x, c_noise, longer).equal(network(x, c_noise, longer))
    assert recorder.recordings == 2
    again = prompt(5, 9.0)
    assert captured(x, c_noise, again).equal(network(x, c_noise, again))
    assert recorder.recordings == 2


@pytest.mark.parametrize(
    ("x", "c_noise"),
    [
        (torch.ones(2, 1, 5), torch.ones(2)),
        (torch.ones(2, 1, 4).double(), torch.ones(2)),
        (torch.ones(2, 1, 4), torch.ones(2, 1)),
    ],
    ids=["length", "dtype", "times"],
)
def test_another_shape_or_dtype_has_a_graph_of_its_own(x: Tensor, c_noise: Tensor) -> None:
    recorder = Recorder()
    captured = Captured(network, recorder)
    told = prompt(3)
    captured(torch.ones(2, 1, 4), torch.ones(2), told)
    assert captured(x, c_noise, told).equal(network(x, c_noise, told))
    assert recorder.recordings == 2


def test_what_a_graph_returned_stays_when_it_is_replayed() -> None:
    captured = Captured(network, Recorder())
    first = captured(torch.ones(2, 1, 4), torch.ones(2), prompt(3))
    before = first.clone()
    captured(torch.zeros(2, 1, 4), torch.ones(2), prompt(3, 7.0))
    assert first.equal(before)


def test_no_batch_is_kept_but_the_last() -> None:
    captured = Captured(network, Recorder())
    gone = []
    for batch in range(3):
        told = prompt(3, float(batch))
        gone.append(weakref.ref(told["mask"]))
        captured(torch.ones(2, 1, 4), torch.ones(2), told)
        del told
    gc.collect()
    assert [each() is None for each in gone] == [True, True, False]


def test_double_precision_is_that_of_weights_and_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine.choose(RunConfig(device="cpu", precision="float64"))
    assert machine.precision == "float64"
    assert machine.place(torch.nn.Linear(1, 1)).weight.dtype == torch.float64
    assert machine.put(torch.ones(1)).dtype == torch.float64
    assert machine.put(torch.ones(1, dtype=torch.bool)).dtype == torch.bool
    monkeypatch.setattr("kernel.runner.device._count", lambda kind: 1)
    with pytest.raises(DeviceError, match="^device mps has no float64; use --device cpu or --prec"):
        Machine.choose(RunConfig(device="mps", precision="float64"))
