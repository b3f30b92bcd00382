"""What waits for a checkpoint."""

from __future__ import annotations

import itertools

from kernel_audio_tracking import ROWS, Buffer


def test_a_long_run_keeps_points_of_all_of_it_in_bounded_memory() -> None:
    buffer = Buffer(1, 0)
    for step in range(1, 100_001):
        buffer.step(step, 100_000, {"sigma": 1.0})
    steps = [row[0] for row in buffer.rows]
    assert ROWS // 2 <= len(steps) <= ROWS + 1
    assert (steps[0], steps[-1]) == (1, 100_000)
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 16
