from __future__ import annotations

import time

import pytest
import torch

from kernel.seeds import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17, 256, 1000, 4097])
def test_shuffled_is_a_permutation(count: int) -> None:
    for epoch in range(3):
        assert sorted(shuffled(i, count, 7, "epoch", epoch) for i in range(count)) == list(
            range(count)
        )


@pytest.mark.parametrize("count", [2, 3, 4, 6, 11])
def test_every_item_is_as_often_in_every_place(count: int) -> None:
    epochs = 1500
    seen = torch.zeros(count, count)
    for epoch in range(epochs):
        for index in range(count):
            seen[index, shuffled(index, count, 0, "epoch", epoch)] += 1
    expected = epochs / count
    # A chi-square with (count - 1)^2 degrees of freedom, four standard deviations above its mean.
    freedom = (count - 1) ** 2
    chi_square = ((seen - expected) ** 2 / expected).sum().item()
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5 + 4


@pytest.mark.parametrize("count", [1000, 10**6])
def test_neighbours_part_and_epochs_differ(count: int) -> None:
    picked = range(0, count, count // 1000)
    places = torch.tensor(
        [[shuffled(i, count, 3, "epoch", epoch) for i in picked] for epoch in (0, 1)],
        dtype=torch.float64,
    )
    following = torch.tensor(
        [shuffled((i + 1) % count, count, 3, "epoch", 0) for i in picked], dtype=torch.float64
    )
    for one, other in ((places[0], places[1]), (places[0], following)):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.12
    for epoch in places:
        # The Kolmogorov-Smirnov statistic of 1000 draws: 1.95 / sqrt(1000) has p = 0.001.
        uniform = (torch.arange(len(epoch)) + 0.5) / len(epoch)
        assert (epoch.sort().values / count - uniform).abs().max() < 0.062


def test_an_order_of_a_billion_needs_no_memory_and_no_time() -> None:
    began = time.perf_counter()
    found = {shuffled(index, 10**9, 0, "epoch", 0) for index in range(1000)}
    assert len(found) == 1000 and max(found) > 9 * 10**8
    assert time.perf_counter() - began < 1


def test_seed_and_place_decide_the_order() -> None:
    def order(*place: int | str) -> list[int]:
        return [shuffled(index, 20, *place) for index in range(20)]

    assert order(0, "epoch", 1) == order(0, "epoch", 1)
    assert order(0, "epoch", 1) != order(0, "epoch", 2)
    assert order(0, "epoch", 1) != order(1, "epoch", 1)
