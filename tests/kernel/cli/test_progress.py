from __future__ import annotations

from pathlib import Path

from kernel.cli._progress import Bar


def test_counts_are_shown_whole_and_measures_with_three_digits(tmp_path: Path) -> None:
    bar = Bar()
    bar.started(tmp_path, {})
    try:
        bar.step(3, 16, {"sigma": 0.123456, "done": 12345})
        (task,) = bar._progress.tasks
    finally:
        bar.close()
    assert (task.completed, task.total) == (3, 16)
    assert task.fields["scalars"] == "sigma 0.123  done 12345"
