"""`kernel evaluate`: files scored alone and against references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000
METRICS = """
    from typing import ClassVar

    from kernel import InputError, Metric, hookimpl
    from pydantic import Field


    class Peak(Metric):
        '''Largest magnitude.'''

        gain: float = Field(1.0, description="factor")

        def build(self, audio):
            import torch

            class Module(torch.nn.Module):
                def reset(this):
                    this.peak = None

                def update(this, sound):
                    if not sound.any():
                        raise InputError("silence has no peak; make a sound")
                    this.peak = self.gain * sound.abs().max()

                def compute(this):
                    return this.peak

            return Module()


    class Error(Metric):
        '''Mean error and its reciprocal.'''

        higher_is_better: ClassVar[bool] = False

        @property
        def needs(self):
            return frozenset({"reference"})

        def build(self, audio):
            import torch

            class Module(torch.nn.Module):
                def reset(this):
                    this.error = None

                def update(this, sound, reference):
                    this.error = (sound - reference).abs().mean()

                def compute(this):
                    return {"mean": this.error, "reciprocal": 1 / this.error}

            return Module()


    class Count(Metric):
        '''How many sounds there are.'''

        scope: ClassVar[str] = "set"

        def build(self, audio):
            import torch

            class Module(torch.nn.Module):
                count = 0

                def reset(this):
                    this.count = 0

                def update(this, sound):
                    this.count += 1

                def compute(this):
                    return torch.tensor(float(this.count))

            return Module()


    @hookimpl
    def metric(name):
        return {"peak": Peak, "error": Error, "count": Count}[name]
"""


@pytest.fixture
def metrics(site):
    site.install(
        "lab-metrics",
        {f"metric.{name}": "lab_metrics" for name in ("peak", "error", "count")},
        {"lab_metrics.py": METRICS},
    )
    return site


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return two folders of the sounds a and b; those in the second are 0.1 lower."""
    sounds, references = tmp_path / "sounds", tmp_path / "references"
    for folder, offset in ((sounds, 0.0), (references, -0.1)):
        folder.mkdir()
        for name, level in (("a", 0.25), ("b", 0.75)):
            samples = np.full(RATE // 10, level + offset, np.float32)
            soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return sounds, references


def scores(result) -> dict[str, dict]:
    assert result.exit_code == 0, result.output
    return {entry["name"]: entry for entry in json.loads(result.stdout)["scores"]}


def test_each_sound_is_scored_and_the_set(metrics, folders) -> None:
    result = metrics.invoke("evaluate", str(folders[0]), "-p", "peak,count", "--json")
    found = scores(result)
    assert found["peak"]["value"] == pytest.approx(0.5)
    assert found["peak"]["std"] == pytest.approx(0.5 / 2**0.5)
    assert (found["peak"]["count"], found["count"]["value"], found["count"]["std"]) == (2, 2, None)
    items = json.loads(result.stdout)["items"]
    assert [(item["file"], item["scores"]["peak"]) for item in items] == [
        ("a.wav", pytest.approx(0.25)),
        ("b.wav", pytest.approx(0.75)),
    ]


def test_options_reach_a_metric(metrics, folders) -> None:
    arguments = ("evaluate", str(folders[0]), "-p", "peak,count", "-o", "metric.peak.gain=2")
    assert scores(metrics.invoke(*arguments, "--json"))["peak"]["value"] == pytest.approx(1.0)


def test_a_sound_is_compared_with_the_reference_of_its_name(metrics, folders) -> None:
    sounds, references = folders
    result = metrics.invoke(
        "evaluate", str(sounds), "--reference", str(references), "-p", "error", "--json"
    )
    found = scores(result)
    assert found["error.mean"]["value"] == pytest.approx(0.1, abs=1e-6)
    assert found["error.mean"]["higher_is_better"] is False
    assert found["error.reciprocal"]["value"] == pytest.approx(10, abs=1e-4)


def test_a_file_is_compared_with_a_file_of_another_rate(metrics, folders, tmp_path: Path) -> None:
    longer = tmp_path / "double.wav"
    soundfile.write(longer, np.full(2 * RATE // 10 + 1, 0.25, np.float32), 2 * RATE)
    result = metrics.invoke(
        "evaluate", str(folders[0] / "a.wav"), "--reference", str(longer), "-p", "error", "--json"
    )
    assert scores(result)["error.mean"]["value"] < 0.05


def test_a_score_that_is_not_finite_is_part_of_no_mean(metrics, folders) -> None:
    result = metrics.invoke(
        "evaluate", str(folders[0]), "--reference", str(folders[0]), "-p", "error"
    )
    assert result.exit_code == 0
    assert "note: error.reciprocal of a.wav is inf, which is no score" in result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("error.reciprocal")]
    assert line.split() == ["error.reciprocal", "0", "lower"]


def test_a_sound_that_a_metric_refuses_is_noted(metrics, folders) -> None:
    soundfile.write(folders[0] / "c.wav", np.zeros(10), RATE)
    result = metrics.invoke("evaluate", str(folders[0]), "-p", "peak,count", "--json")
    assert (scores(result)["peak"]["count"], scores(result)["count"]["value"]) == (2, 3)
    record = json.loads(result.stdout)
    assert record["warnings"] == ["peak of c.wav: silence has no peak; make a sound"]
    assert record["items"][2]["scores"] == {"peak": None}


def refuse(site, *arguments: object) -> str:
    result = site.invoke("evaluate", *map(str, arguments))
    assert result.exit_code in (2, 4), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_cannot_be_evaluated_is_said_in_one_sentence(metrics, folders, tmp_path) -> None:
    sounds, references = folders
    assert "needs 'reference', which nothing here offers" in refuse(metrics, sounds, "-p", "error")
    assert "there is no metric 'snr'" in refuse(metrics, sounds, "-p", "snr")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no sound in" in refuse(metrics, empty, "-p", "peak")
    compare = ("--reference", references, "-p", "error")
    assert "has to be one file too" in refuse(metrics, sounds / "a.wav", *compare)
    (references / "b.wav").unlink()
    assert "has no reference for b.wav" in refuse(metrics, sounds, *compare)
    soundfile.write(references / "b.wav", np.zeros(3), RATE)
    assert "cut them to the same part" in refuse(metrics, sounds, *compare)
    soundfile.write(sounds / "b.wav", np.zeros((800, 2)), RATE)
    assert "evaluate them separately" in refuse(metrics, sounds, *compare)
