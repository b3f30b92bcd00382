"""What several processes share, on one."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel.errors import DeviceError, UsageError
from kernel.runner import device
from kernel.runner.device import Machine
from kernel.runner.processes import ALONE, Processes, _messages
from kernel_audio_training.checkpoints import checksum
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.groups import Groups
from kernel_audio_training.trainer import Trainer


@pytest.mark.parametrize(("batch", "count"), [(8, 1), (8, 4), (5, 2), (7, 7), (100, 13)])
def test_the_rows_of_all_processes_are_the_batch(batch: int, count: int) -> None:
    shares = [Processes(rank, count).rows(batch) for rank in range(count)]
    assert [row for share in shares for row in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_that_leaves_a_process_without_rows_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^a batch of 3 cannot be shared by 4 .* set --batch to 4"
    ):
        Processes(0, 4).rows(3)


def test_one_process_changes_and_tells_nothing() -> None:
    given = torch.ones(3)
    ALONE.sum([given])
    assert given.tolist() == [1, 1, 1]
    assert ALONE.told(lambda: "said") == "said"
    assert ALONE.odd(torch.arange(3)) is None


def test_tensors_are_sent_in_messages_of_a_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.runner.processes.MESSAGE", 10)
    sizes = [
        [len(each) for each in parts] for parts in _messages([*map(torch.ones, (4, 6, 1, 30))])
    ]
    assert sizes == [[4, 6], [1], [30]]


class Twice(Processes):
    """Two processes with the same gradients."""

    def sum(self, tensors: Sequence[Tensor]) -> None:
        for each in tensors:
            each.mul_(2)


def test_a_parameter_that_no_process_used_stays_without_gradient() -> None:
    module = nn.ParameterDict(
        {"used": torch.ones(2), "idle": torch.ones(2), "other": torch.ones(1)}
    )
    listed = {"a": [module["used"], module["idle"]], "b": [module["other"]]}
    module.groups = listed
    groups = Groups("recipe.mine", module, TrainConfig())
    means = groups.gather({"a": (module["used"] * torch.tensor([1.0, 3.0]))}, 2, 4)
    told = torch.tensor([0.0])
    groups.reduce(means, told, Twice(0, 2))
    assert module["used"].grad.tolist() == [0.5, 1.5]
    assert module["idle"].grad is None and module["other"].grad is None
    assert means["a"].item() == 2.0


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.int64, torch.complex64],
)
def test_a_checksum_tells_one_bit(dtype: torch.dtype) -> None:
    one = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    other = one.clone()
    assert checksum(one) == checksum(other)
    other[1, 1] = 1
    assert checksum(one) != checksum(other)


def test_each_process_has_the_cuda_device_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_count", lambda kind: {"cuda": 2, "cpu": 1}.get(kind, 0))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    chosen = [
        Machine.choose(TrainConfig(precision="float32"), processes=Processes(rank, 4, rank % 2))
        for rank in range(4)
    ]
    assert [str(each.device) for each in chosen] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    alone = Machine.choose(TrainConfig(device="cuda:1", precision="float32"), processes=ALONE)
    assert str(alone.device) == "cuda:1"
    with pytest.raises(
        DeviceError, match=r"machine with 2 CUDA devices; start 2 processes on each"
    ):
        Machine.choose(TrainConfig(precision="float32"), processes=Processes(2, 3, 2))
    with pytest.raises(DeviceError, match=r"^device 'cuda:1' cannot be shared by 3 processes; use"):
        Machine.choose(TrainConfig(device="cuda:1"), processes=Processes(0, 3))


@pytest.mark.parametrize(
    ("groups", "scaled", "said"),
    [
        (
            "ab",
            False,
            "^recipe.mine trains the groups a and b, and shard takes a recipe of one; le",
        ),
        ("a", True, "^shard takes no float16; use --precision bfloat16 or float32$"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(groups: str, scaled: bool, said: str) -> None:
    class Named(dict[str, None]):
        scaler = SimpleNamespace(is_enabled=lambda: scaled)

    trainer: Any = SimpleNamespace(_groups=Named.fromkeys(groups), _owner="recipe.mine")
    with pytest.raises(UsageError, match=said):
        Trainer._share(trainer)
