"""Killed trainings end where an undisturbed one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training" / "kills.py"


@pytest.mark.slow
def test_killed_trainings_end_where_an_undisturbed_one_does() -> None:
    words = ("--kills", "4", "--workers", "1", "--steps", "24")
    done = subprocess.run(
        [sys.executable, SCRIPT, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("1 workers: 4 kills, ")
    assert "files equal in" in done.stdout
