"""Validation on one weight, whose loss is the weight itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import Batch, Item
from kernel.errors import NumericalError, PluginError, UsageError
from kernel.runner.processes import Processes
from kernel_audio_training.batches import Feed
from kernel_audio_training.trainer import Trainer
from tests.training.test_training import SAMPLES, Data, Slope, trainer, weight


class Watched(Slope):
    """A recipe that watches its weight, and twice that."""

    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        assert not module.training
        assert not torch.is_grad_enabled()
        assert (batch.condition.vector == 1).all()
        value = module.net.weight.flatten().expand(len(batch.audio))  # type: ignore[union-attr]
        return {"once": value, "twice": 2 * value}


class Heard:
    """An observer that keeps the scalars of every step."""

    def __init__(self) -> None:
        self.scalars: dict[int, dict[str, float]] = {}

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        self.scalars[index] = scalars

    def checkpoint(self, path: Path) -> None: ...


def watched(recipe: type[Slope] = Watched, **given: Any) -> tuple[Trainer, Heard]:
    told = {"learning_rate": 0.1, "weight_decay": 0, "condition_dropout": 1.0, **given}
    tested = trainer(recipe=recipe, held=Data(), **told)
    tested._observers = (heard := Heard(),)  # type: ignore[assignment]
    return tested, heard


def test_the_averaged_weights_are_validated_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    tested, heard = watched(validate_every=2, steps=5, ema=0.9, micro_batch=2)
    tested.run(tmp_path)
    seen = {at: found for at, found in heard.scalars.items() if "valid.loss" in found}
    assert sorted(seen) == [2, 4, 5]
    average = tested._kept["ema"]["backbone.weight"].item()
    assert seen[5]["valid.loss.once"] == pytest.approx(average, rel=1e-6)
    assert seen[5]["valid.loss"] == pytest.approx(1.5 * average, rel=1e-6)
    assert average != pytest.approx(weight(tested).item())


def test_without_an_average_the_weights_are_validated(tmp_path: Path) -> None:
    tested, heard = watched(validate_every=5, ema=0.0)
    tested.run(tmp_path)
    assert heard.scalars[5]["valid.loss.once"] == weight(tested).item()


def test_weights_and_modes_are_as_they_were_after_a_validation(tmp_path: Path) -> None:
    alone = trainer(recipe=Watched, ema=0.5)
    alone.run(tmp_path)
    again = trainer(recipe=Watched, held=Data(), validate_every=1, ema=0.5)
    again.module.net.eval()  # type: ignore[union-attr]
    (tmp_path / "again").mkdir()
    again.run(tmp_path / "again")
    assert torch.equal(weight(alone), weight(again))
    assert torch.equal(alone._kept["ema"]["backbone.weight"], again._kept["ema"]["backbone.weight"])
    assert again.module.training
    assert not again.module.net.training  # type: ignore[union-attr]


def test_validation_is_as_frequent_as_checkpoints_where_nothing_is_said(tmp_path: Path) -> None:
    tested, heard = watched(checkpoint_every=2, steps=4)
    tested.run(tmp_path)
    assert [at for at, found in heard.scalars.items() if "valid.loss" in found] == [2, 4]


@pytest.mark.parametrize("given", [{"validate_every": 0}, {"held": None}])
def test_nothing_is_validated_where_that_is_wished_or_nothing_is_held_out(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    tested = trainer(recipe=Watched, **{"held": Data(), **given})
    tested._observers = (heard := Heard(),)  # type: ignore[assignment]
    tested.run(tmp_path)
    assert not any("valid.loss" in found for found in heard.scalars.values())


def test_held_out_items_have_one_noise_in_every_training() -> None:
    one, other = (watched(seed=seed, batch=size)[0] for seed, size in ((0, 4), (5, 2)))
    first, second = (each._validation._feed.fixed(range(2)) for each in (one, other))  # type: ignore[union-attr]
    assert torch.equal(first.normal(), second.normal())


def test_validation_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"valid split has none; set task.valid_fraction, or le"):
        trainer(recipe=Watched, validate_every=2)
    with pytest.raises(UsageError, match=r"^recipe.mine does not validate; leave validate_every o"):
        trainer(held=Data(), validate_every=2)


class Numbered(Slope):
    """A recipe that watches the number of each item."""

    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        number = batch.audio.mean((1, 2))
        return {"one": number, "square": number.square()}


class Many(Data):
    """Sounds that are their own numbers."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def item(self, index: int, generator: torch.Generator) -> Item:
        return Item(SAMPLES, torch.full((1, SAMPLES), 1.0 + index), None, torch.ones(2))


@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize(("items", "count"), [(7, 1), (7, 2), (8, 3), (2, 4), (9, 5)])
def test_processes_share_the_items_and_go_through_the_module_together(
    monkeypatch: pytest.MonkeyPatch, items: int, count: int, size: int | None
) -> None:
    sums, seen = torch.zeros(2, dtype=torch.float64), [list[range]() for _ in range(count)]

    class Among(Processes):
        """One process whose sums are those of the ones before it too."""

        def sum(self, tensors: Sequence[Tensor]) -> None:
            for place, each in enumerate(tensors):
                sums[place] += each
                each.copy_(sums[place])

    fixed = Feed.fixed
    for rank in range(count):

        def note(feed: Feed, rows: range, rank: int = rank) -> Batch:
            seen[rank].append(rows)
            return fixed(feed, rows)

        monkeypatch.setattr(Feed, "fixed", note)
        tested = trainer(recipe=Numbered, held=Many(items), micro_batch=size)
        tested._validation._processes = Among(rank, count)
        found = tested._validation.scalars(tested.module)
    assert found["valid.loss.one"] == pytest.approx((items + 1) / 2)
    assert found["valid.loss.square"] == pytest.approx((items + 1) * (2 * items + 1) / 6)
    assert len({len(parts) for parts in seen}) == 1
    assert max(len(rows) for parts in seen for rows in parts) <= (size or 4)
    assert sum(len(rows) for rows in seen[0]) <= -(-items // count)


class Summed(Slope):
    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return {"sum": torch.zeros(())}


class Lost(Slope):
    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return {"far": torch.full((len(batch.audio),), torch.inf)}


def test_losses_that_are_none_of_items_are_refused(tmp_path: Path) -> None:
    tested, _ = watched(Summed)
    with pytest.raises(PluginError, match=r"recipe.mine validates 'sum' with .* shape \(\), not"):
        tested.run(tmp_path)


def test_a_validation_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    tested, _ = watched(Lost)
    with pytest.raises(NumericalError, match=r"^valid.loss is not finite at step 5; "):
        tested.run(tmp_path)
