"""Sounds on their way from one process to another."""

from __future__ import annotations

import attrs
import torch

from kernel import Sound
from kernel.runner.processes import Processes
from kernel.runner.sharing import _packed, _unpacked, owner


def test_a_sound_arrives_as_it_was_sent() -> None:
    plain = Sound("a", torch.randn(1, 9), 8000)
    full = Sound(
        "b", torch.randn(2, 5).T.contiguous().T, 16000, "sieben", torch.randn(1, 4),
        torch.randn(1, 3), ((0.5, 1.25),), (("mask", torch.rand(2, 3)),), "FLOAT", ("loud",),
    )  # fmt: skip
    found = _unpacked(*_packed([plain, full]))
    for sent, got in zip([plain, full], found, strict=True):
        for field in attrs.fields(Sound):
            one, other = getattr(sent, field.name), getattr(got, field.name)
            if isinstance(one, torch.Tensor):
                assert torch.equal(one, other)
            elif field.name == "pictures":
                assert [title for title, _ in one] == [title for title, _ in other]
                assert all(torch.equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))
            else:
                assert one == other
    assert _unpacked(*_packed([])) == []


def test_whole_batches_are_dealt_out_in_turn() -> None:
    assert [owner(index, 2, Processes(0, 3)) for index in range(9)] == [0, 0, 1, 1, 2, 2, 0, 0, 1]
