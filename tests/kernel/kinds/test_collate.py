from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernel import AudioSpec, Condition, ConditionSpec, Item, LatentSpace, LatentSpec, Task
from kernel.config import RunConfig
from kernel.errors import PluginError
from kernel.runner.device import Machine
from kernel.runner.space import collated
from kernel_audio_training.batches import sounds
from kernel_plugins.tasks.unconditional import Unconditional

SAMPLES = 6
MACHINE = Machine.choose(RunConfig(device="cpu"))


def space() -> LatentSpace:
    """Return a space of two samples a frame, three times as loud."""

    def encode(audio: Tensor) -> Tensor:
        return 3 * audio.reshape(len(audio), 2, SAMPLES // 2)

    return LatentSpace(
        AudioSpec(8000),
        SAMPLES,
        LatentSpec(2, (3,)),
        encode,
        lambda x0, samples: x0.reshape(len(x0), 1, samples) / 3,
        lambda spelling: pytest.fail(spelling),
        torch.float32,
        torch.device("cpu"),
    )


def collate(*items: Item) -> Condition:
    return Task().collate(items, space())


def sound(value: float) -> Tensor:
    return torch.full((1, SAMPLES), value)


def test_items_that_say_nothing_have_no_condition() -> None:
    assert collate(Item(SAMPLES, sound(1)), Item(SAMPLES)).empty


def test_vectors_are_stacked_and_null_where_there_is_none() -> None:
    found = collate(Item(SAMPLES), Item(SAMPLES, vector=torch.tensor([1.0, 2.0])))
    assert found.vector is not None
    assert found.vector.tolist() == [[0, 0], [1, 2]]


def test_frames_are_valid_that_lie_not_wholly_in_the_padding() -> None:
    items = [Item(SAMPLES, valid=count) for count in (6, 5, 4, 1, None)]
    found = collate(*items).valid
    assert found is not None and found.sum(1).tolist() == [3, 3, 2, 1, 3]
    assert found[2].tolist() == [True, True, False]
    assert collate(Item(SAMPLES), Item(SAMPLES)).valid is None


def test_sequences_of_any_length_are_padded_and_masked() -> None:
    rows = torch.arange(1.0, 7.0).reshape(3, 2)
    items = [Item(SAMPLES, sequence=part) for part in (rows[:1], rows, rows[:0], None)]
    found = collate(*items)
    assert found.sequence is not None and found.mask is not None
    assert found.sequence.shape == (4, 3, 2)
    assert found.mask.tolist() == [[True, False, False], [True] * 3, [False] * 3, [False] * 3]
    assert torch.equal(found.sequence[0], torch.stack([rows[0], *torch.zeros(2, 2)]))
    assert torch.equal(found.sequence[1], rows)


def test_an_empty_sequence_alone_has_a_row_that_is_masked() -> None:
    found = collate(Item(SAMPLES, sequence=torch.zeros(0, 2)))
    assert found.sequence is not None and found.mask is not None
    assert (found.sequence.shape, found.mask.tolist()) == ((1, 1, 2), [[False]])


@pytest.mark.parametrize("part", ["aligned", "origin"])
def test_audio_goes_through_the_codec_at_the_scale_of_the_clean_sound(part: str) -> None:
    items = [Item(SAMPLES, sound(1), **{part: sound(1)}), Item(SAMPLES, sound(1))]
    found = getattr(collate(*items), part)
    assert torch.equal(found[0], space().encode(sounds(items))[0])
    assert not found[1].any()


def test_what_the_network_takes_and_no_item_has_is_null() -> None:
    spec = ConditionSpec(vector=2, sequence=4, aligned=2)
    found = collated(Unconditional(), [Item(SAMPLES), Item(SAMPLES)], space(), spec, MACHINE)
    shapes = [getattr(found, name).shape for name in ("vector", "sequence", "mask", "aligned")]
    assert shapes == [(2, 2), (2, 1, 4), (2, 1), (2, 2, 3)]
    assert not any(getattr(found, name).any() for name in ("vector", "sequence", "mask", "aligned"))


def test_an_item_to_learn_has_audio() -> None:
    with pytest.raises(
        PluginError, match="has items without audio, .* give every item its `audio`"
    ):
        sounds([Item(SAMPLES, sound(1)), Item(SAMPLES)])
