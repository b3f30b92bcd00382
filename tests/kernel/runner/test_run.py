"""What a run writes of a sound and of the recording that it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernel import Sound, read_audio
from kernel.runner.run import write_sound

RATE = 1000


def recording(seconds: float) -> torch.Tensor:
    """Return samples that tell where they are from."""
    return torch.arange(round(seconds * RATE))[None] / 2**16


@pytest.mark.parametrize(
    ("seconds", "made", "spans", "part"),
    [
        (60, 60, (), (0, 60)),
        (60, 60, ((30, 31),), (29, 32)),
        (60, 60, ((30, 32), (34, 35)), (25, 40)),
        (60, 60, ((30, 30.1),), (29, 31.1)),
        (60, 60, ((0, 2),), (0, 4)),
        (60, 60, ((59, 60),), (58, 60)),
        (60, 60, ((20, 40),), (0, 60)),
        (6, 6, ((3, 4),), (0, 6)),
        (60, 63, ((60, 63),), (57, 60)),
    ],
)
def test_of_a_long_recording_what_was_made_anew_and_its_surroundings_are_kept(
    tmp_path: Path,
    seconds: float,
    made: float,
    spans: tuple[tuple[float, float], ...],
    part: tuple[float, float],
) -> None:
    given = recording(seconds)
    sound = Sound("a", recording(made), RATE, given=given, spans=spans, subtype="FLOAT")
    entry = write_sound(tmp_path, sound)
    assert entry["given_part"] == pytest.approx(part)
    kept, rate = read_audio(tmp_path / entry["given"])
    first, last = (round(moment * RATE) for moment in part)
    assert rate == RATE and torch.equal(kept, given[:, first:last])
    assert entry["file"] == "a.wav" and entry["spans"] == [list(span) for span in spans]


def test_a_sound_that_was_made_of_nothing_has_no_recording(tmp_path: Path) -> None:
    entry = write_sound(tmp_path, Sound("a", recording(2), RATE))
    assert entry["given"] is None and "given_part" not in entry
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
