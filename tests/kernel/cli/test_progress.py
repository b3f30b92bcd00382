from __future__ import annotations

from pathlib import Path

import pytest

from kernel.cli import progress
from kernel.cli.progress import Bar


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


def test_lines_tell_of_the_progress_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar = Bar(what="training")
    bar.started(tmp_path, {})
    monkeypatch.setattr(bar._progress, "get_time", lambda: now)
    for step in range(100, 120):
        now += 5.0
        bar.step(step, 200, {"loss": 0.5, "valid.loss": 0.25, "valid.loss.sigma-2": 0.1})
    bar.close()
    said = capsys.readouterr()
    assert not said.out
    lines = said.err.splitlines()
    # A line at most every 15 seconds; 5 seconds a step, and not those of the resumed part.
    assert len(lines) == 6
    assert lines[-1] == ("training 117/200  0:06:55 left  0.2 steps/s  loss 0.5  valid.loss 0.25")
