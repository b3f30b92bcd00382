"""Batches of similar lengths, in an order that the seed and the place alone decide."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from kernel import Backbone, Component, Dataset
from kernel.assembly import Assembly, Part
from kernel.errors import UsageError
from kernel.registry import PluginInfo
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.order import Buckets, Order, order
from kernel_plugins.codecs.mel import Mel
from kernel_plugins.codecs.waveform import Waveform
from tests.training.test_training import Data, Slope, Told

SIZES = [(10, 4), (64, 4), (1000, 7), (5, 8), (2000, 16)]


def lengths(count: int) -> list[int]:
    """Return lengths from 20 to 100, most of them short."""
    draws = torch.rand(count, generator=torch.Generator().manual_seed(7))
    return (20 + 80 * draws.square()).int().tolist()


def config(batch: int, **given: object) -> TrainConfig:
    return TrainConfig.model_validate({"batch": batch, "buckets": 4, **given})


def buckets(count: int, batch: int, seed: int = 0) -> Buckets:
    return Buckets(config(batch, seed=seed), lengths(count), [30, 50, 70, 100])


@pytest.mark.parametrize(("count", "batch"), SIZES)
def test_each_epoch_has_every_item_once(count: int, batch: int) -> None:
    for tested in (Order(count, config(batch)), buckets(count, batch)):
        places = [tested.index(place) for place in range(3 * count)]
        for first in range(0, 3 * count, count):
            assert sorted(places[first : first + count]) == list(range(count))
        assert places[:count] != places[count : 2 * count]


@pytest.mark.parametrize(("count", "batch"), SIZES)
def test_an_item_depends_on_the_seed_and_the_place_alone(count: int, batch: int) -> None:
    forwards, backwards = buckets(count, batch), pickle.loads(pickle.dumps(buckets(count, batch)))
    places = range(2 * count + 3)
    found = [backwards.index(place) for place in reversed(places)][::-1]
    assert [forwards.index(place) for place in places] == found
    steps = range(2 * count // batch)
    assert [forwards.samples(k) for k in steps] == [backwards.samples(k) for k in steps]
    other = buckets(count, batch, seed=1)
    assert [other.index(place) for place in places] != found


@pytest.mark.parametrize(("count", "batch"), SIZES)
def test_a_batch_is_as_long_as_the_bucket_of_its_longest_item(count: int, batch: int) -> None:
    tested, known = buckets(count, batch), lengths(count)
    for step in range(2 * count // batch):
        longest = max(known[tested.index(step * batch + row)] for row in range(batch))
        samples = tested.samples(step)
        assert samples in (30, 50, 70, 100)
        assert samples - 30 < longest <= samples


def test_batches_of_similar_items_hold_little_padding_and_come_in_no_order_of_length() -> None:
    tested, known, batch = buckets(2000, 16), lengths(2000), 16
    steps = range(2000 // batch)
    spans = [[known[tested.index(step * batch + row)] for row in range(batch)] for step in steps]
    assert sum(max(each) - min(each) for each in spans) / len(spans) < 4
    made = sum(tested.samples(step) for step in steps)
    assert sum(known) / batch < made < 1.35 * sum(known) / batch
    rising = sum(max(a) < max(b) for a, b in pairwise(spans))
    assert 0.3 < rising / len(spans) < 0.7
    # Nor do the items of a batch, of which a recipe may draw something in the order of its rows.
    rising = sum(a < b for each in spans for a, b in pairwise(each))
    falling = sum(a > b for each in spans for a, b in pairwise(each))
    assert 0.7 < rising / falling < 1.4


class Blind(Backbone):
    """A backbone that hears the padding."""


class Masking(Backbone):
    masks = True


class Known(Told):
    """Sounds of 1,000 samples at most."""

    known: tuple[int, ...] | None = (120, 500, 310, 990, 260, 255)

    @property
    def samples(self) -> int:
        return 1000

    def lengths(self, data: Dataset) -> Sequence[int] | None:
        return self.known


def made(*components: Component) -> Order:
    parts = (Known(), Slope(), *components)
    kinds: dict[str, Any] = {each.kind: each for each in parts}
    infos = {kind: PluginInfo(kind, "mine", "tests", "1", "tests") for kind in kinds}
    assembly = Assembly(tuple(Part(infos[kind], each) for kind, each in kinds.items()))
    return order(assembly, Data(), config(2, buckets=3))


def test_the_lengths_are_those_of_equally_many_items_and_whole_frames() -> None:
    codec = Mel(hop=64, n_fft=256)
    found = made(Masking(), codec)
    assert isinstance(found, Buckets)
    # A third of the items has at most 255 samples, two thirds 310.
    assert found.lengths == (256, 320, 1000)
    plain = made(Masking(), Waveform(std=1.0))
    assert isinstance(plain, Buckets)
    assert plain.lengths == (255, 310, 990)


def test_a_backbone_that_hears_the_padding_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^buckets pads the items of a batch, and backbone.mine "):
        made(Blind(), Waveform(std=1.0))


def test_a_task_that_knows_no_lengths_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^buckets needs the length of every item, and task.mine"):
        made(Masking(), Waveform(std=1.0), Known(known=None))


def test_without_buckets_no_length_is_asked_for() -> None:
    class Silent(Known):
        def lengths(self, data: Dataset) -> Sequence[int] | None:
            raise AssertionError

    part = Part(PluginInfo("task", "mine", "tests", "1", "tests"), Silent())
    found = order(Assembly((part,)), Data(), config(2, buckets=None))
    assert found.samples(0) is None
