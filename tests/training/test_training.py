"""The loop of a training on one weight, whose every step is known."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Batch,
    Component,
    ConditionSpec,
    Dataset,
    Item,
    Parts,
    Recipe,
    Task,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.errors import InputError, NumericalError, OutputError, UsageError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.tensors import read_tensors
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.execution import _heard
from kernel_audio_training.trainer import Trainer
from kernel_plugins.codecs.waveform import Waveform

SAMPLES = 8


class Told(Task):
    """Sounds of ones with a vector; the half that is padding is loud."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=2)


class Data:
    def __len__(self) -> int:
        return 3

    def item(self, index: int, generator: torch.Generator) -> Item:
        audio = torch.ones(1, SAMPLES)
        audio[:, SAMPLES // 2 :] = 1000
        return Item(SAMPLES, audio, SAMPLES // 2, torch.ones(2), name=f"take-{index}.wav")


class Slope(Recipe):
    """A loss that is a multiple of the one weight, so that its gradient is known."""

    slope: float = 1.0

    def build(self, parts: Parts) -> nn.Module:
        return Line(self.slope)


class Line(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope, self.net = slope, nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.net.weight, 3.0)
        self.net.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.seen: list[Batch] = []
        self.before: Callable[[int], object] = lambda k: None

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {"net": [self.net.weight]}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        return {"backbone": self.net}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        self.before(k)
        self.seen.append(batch)
        return {"net": self.slope * self.net.weight.flatten().expand(len(batch.audio))}


def trainer(
    slope: float = 1.0,
    recipe: type[Slope] = Slope,
    held: Dataset | None = None,
    machine: Machine | None = None,
    **given: Any,
) -> Trainer:
    parts: tuple[Component, ...] = (Waveform(std=1.0), Told(), recipe(slope=slope))
    assembly = Assembly(
        tuple(Part(PluginInfo(each.kind, "mine", "tests", "1", "tests"), each) for each in parts)
    )
    told = {"steps": 5, "batch": 4, "warmup": 1, "decay": "constant", "device": "cpu"}
    config = TrainConfig.model_validate({**told, **given})
    machine = machine or Machine.choose(RunConfig(device="cpu"))
    return Trainer(assembly, Data(), config, machine, held=held)


def weight(tested: Trainer) -> Any:
    module: Any = tested.module
    return module.net.weight


def kept(folder: Path) -> list[str]:
    return [path.name.lstrip("0") for path in checkpoints(folder)]


@pytest.mark.parametrize(("clip", "norm"), [(0.5, 0.5), (7.0, 4.0)])
def test_a_gradient_is_no_larger_than_clip(tmp_path: Path, clip: float, norm: float) -> None:
    tested = trainer(slope=4.0, clip=clip, steps=1)
    tested.run(tmp_path)
    (moments,) = tested._groups.optimizer.state.values()
    assert moments["exp_avg"].item() == pytest.approx(0.1 * norm, rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_weight_decays_as_it_is_told(tmp_path: Path, decay: float) -> None:
    tested = trainer(learning_rate=0.01, weight_decay=decay, steps=1)
    tested.run(tmp_path)
    # The first step of Adam is of the size of the rate.
    assert weight(tested).item() == pytest.approx(3.0 * (1 - 0.01 * decay) - 0.01, rel=1e-6)


@pytest.mark.parametrize("ema", [0.9, 0.15])
def test_the_average_is_that_of_its_decay(tmp_path: Path, ema: float) -> None:
    """A young one forgets faster: its decay is (1 + k) / (10 + k) after step k, at most `ema`."""
    tested = trainer(learning_rate=0.1, weight_decay=0, ema=ema)
    tested.run(tmp_path)
    wanted, now = 3.0, 3.0
    for step in range(1, 6):
        now -= 0.1
        decay = min(ema, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * now
    assert tested._kept["ema"]["backbone.weight"].item() == pytest.approx(wanted, rel=1e-5)
    assert tested.averaged(tmp_path)["backbone"].weight.item() == pytest.approx(wanted, rel=1e-5)


def test_a_mask_stays_as_it_is_in_the_average(tmp_path: Path) -> None:
    tested = trainer()
    tested.run(tmp_path)
    assert tested._kept["ema"]["backbone.mask"].tolist() == [0.0, -torch.inf]


@pytest.mark.parametrize("dropout", [0.0, 0.2, 1.0])
def test_as_many_items_lose_their_condition_as_is_said(tmp_path: Path, dropout: float) -> None:
    tested: Any = trainer(condition_dropout=dropout, steps=4, batch=100)
    tested.run(tmp_path)
    told = torch.cat([batch.condition.vector for batch in tested.module.seen])
    null = (told == 0).all(1)
    assert (null | (told == 1).all(1)).all()
    assert null.float().mean().item() == pytest.approx(dropout, abs=0.06)


def test_a_codec_is_fitted_to_what_is_no_padding() -> None:
    heard = list(_heard(Data()))
    assert len(heard) == 3
    for each in heard:
        assert torch.equal(each, torch.ones(1, SAMPLES // 2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_is_finished_and_kept(tmp_path: Path, number: signal.Signals) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(number, interrupt)
    try:
        cut: Any = trainer(checkpoint_every=2)
        cut.module.before = lambda k: k == 2 and os.kill(os.getpid(), number)
        said = f"^at step 3 of 5; kernel train --resume {tmp_path} goes on from step 3$"
        with pytest.raises(KeyboardInterrupt, match=said):
            cut.run(tmp_path)
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, usual)
    assert kept(tmp_path) == ["2", "3"]
    told = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in told] == [2, 3]
    assert all("loss" in entry for entry in told)
    resumed, whole = trainer(checkpoint_every=2), trainer(checkpoint_every=2)
    resumed.resume(tmp_path)
    resumed.run(tmp_path)
    (tmp_path / "whole").mkdir()
    whole.run(tmp_path / "whole")
    for name in ("weights", "ema", "optimizer"):
        one, other = (
            checkpoints(folder)[-1] / f"{name}.safetensors"
            for folder in (tmp_path, tmp_path / "whole")
        )
        assert one.read_bytes() == other.read_bytes()


def test_a_second_interruption_does_not_wait(tmp_path: Path) -> None:
    cut: Any = trainer(checkpoint_every=2)

    def twice(k: int) -> None:
        for _ in range(2 * (k == 3)):
            os.kill(os.getpid(), signal.SIGINT)

    cut.module.before = twice
    with pytest.raises(KeyboardInterrupt, match=r"^at step 3 of 5; .* goes on from step 2$"):
        cut.run(tmp_path)
    assert kept(tmp_path) == ["2"]


def test_an_interruption_that_finds_nothing_new_writes_nothing(tmp_path: Path) -> None:
    cut: Any = trainer()

    def interrupted(k: int) -> None:
        raise KeyboardInterrupt

    cut.module.before = interrupted
    with pytest.raises(KeyboardInterrupt, match="^at step 0 of 5; "):
        cut.run(tmp_path)
    assert kept(tmp_path) == []


def test_a_training_in_a_thread_is_sent_no_signals(tmp_path: Path) -> None:
    tested = trainer()
    thread = threading.Thread(target=tested.run, args=(tmp_path,))
    thread.start()
    thread.join()
    assert kept(tmp_path) == ["5"]


class Spoil:
    """An observer that puts NaN into a tensor at a step, after a report of its finite loss."""

    def __init__(self, tensor: Tensor, step: int) -> None:
        self.tensor, self.at = tensor, step

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        if index == self.at:
            self.tensor.data.fill_(torch.nan)

    def checkpoint(self, path: Path) -> None: ...


@pytest.mark.parametrize(
    ("average", "named", "precision", "remedy"),
    [
        (False, "the weight 'net.weight'", "float32", ""),
        (True, "the averaged weight 'backbone.weight'", "bfloat16", " --precision float32"),
    ],
)
def test_no_checkpoint_has_a_weight_that_is_not_finite(
    tmp_path: Path, average: bool, named: str, precision: str, remedy: str
) -> None:
    machine = Machine.choose(RunConfig(device="cpu", precision=precision))  # type: ignore[arg-type]
    tested = trainer(checkpoint_every=2, machine=machine)
    spoilt = tested._kept["ema"]["backbone.weight"] if average else weight(tested)
    tested._observers = (Spoil(spoilt, 4),)  # type: ignore[assignment]
    with pytest.raises(NumericalError) as caught:
        tested.run(tmp_path)
    assert str(caught.value) == (
        f"{named} is not finite at step 4; the last good checkpoint is "
        f"{tmp_path}/checkpoints/00000002; go on from there with kernel train --resume {tmp_path} "
        f"--learning-rate 0.00025{remedy}"
    )
    (good,) = checkpoints(tmp_path)
    assert read_tensors(good / "weights.safetensors")["net.weight"].isfinite().all()


def test_the_first_checkpoint_is_early(tmp_path: Path) -> None:
    trainer(steps=30, checkpoint_every=25, keep=9).run(tmp_path)
    assert kept(tmp_path) == ["10", "25", "30"]


def test_a_loss_that_is_not_finite_names_its_step_and_its_items(tmp_path: Path) -> None:
    tested: Any = trainer(steps=20, batch=12, checkpoint_every=3)
    tested.module.before = lambda k: k == 7 and tested.module.net.weight.data.fill_(torch.nan)
    names = tested._feed.names(7, range(8))
    assert set(names) <= {"take-0.wav", "take-1.wav", "take-2.wav"}
    with pytest.raises(NumericalError) as caught:
        tested.run(tmp_path)
    assert str(caught.value).startswith(
        f"loss is not finite at step 8, which learnt from the items "
        f"{', '.join(names)} and 4 more of the data; the last good checkpoint is "
        f"{tmp_path}/checkpoints/00000006; go on from there with kernel train --resume"
    )


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, harm: str) -> None:
    trainer(checkpoint_every=2, steps=4).run(tmp_path)
    file = checkpoints(tmp_path)[-1] / "ema.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-9] if harm == "cut" else data)
    again = trainer(checkpoint_every=1, steps=4, keep=1)
    with pytest.warns(UserWarning, match=r"^checkpoint .*/00000004 is damaged \(.*ema.*\) and is "):
        again.resume(tmp_path)
    assert again.step == 2
    # What is passed over is not kept in place of what is good.
    again._config = again._config.model_copy(update={"steps": 3})
    again.run(tmp_path)
    assert kept(tmp_path) == ["3"]


def test_checkpoints_that_are_all_damaged_are_one_sentence(tmp_path: Path) -> None:
    trainer(checkpoint_every=2, steps=4).run(tmp_path)
    for place in checkpoints(tmp_path):
        (place / "state.json").write_text("{")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(InputError, match=r"^all 2 checkpoints in .* are damaged; train anew with"),
    ):
        trainer().resume(tmp_path)


def test_a_checkpoint_from_before_hashes_is_taken(tmp_path: Path) -> None:
    trainer(steps=4).run(tmp_path)
    (checkpoints(tmp_path)[-1] / "state.json").unlink()
    again = trainer()
    again.resume(tmp_path)
    assert again.step == 4


def test_fewer_steps_than_were_taken_are_refused(tmp_path: Path) -> None:
    trainer(steps=4).run(tmp_path)
    with pytest.raises(UsageError, match=r"has taken 4 steps already; set --steps to that or mo"):
        trainer(steps=3).resume(tmp_path)


def test_a_full_disk_ends_with_a_sentence_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: Any = trainer(checkpoint_every=2)
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if tested.step == 4 and path.name == "ema.safetensors":
            written(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"^cannot write .*: no space is left on ") as caught:
        tested.run(tmp_path)
    assert str(caught.value).endswith(
        f"; then kernel train --resume {tmp_path} goes on from step 2"
    )
    assert OutputError.exit_code == 5
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["00000002"]
    resumed = trainer(checkpoint_every=2)
    resumed.resume(tmp_path)
    assert resumed.step == 2
