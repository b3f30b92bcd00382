"""Encoders in whole runs: recorded, compared, repeated; metrics that listen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kernel.cli import main

LAB = """
    from pathlib import Path

    import kernel

    class Near(kernel.Metric):
        "The mean of what an encoder hears."
        scope = "item"
        encoder: str = "level"

        @property
        def encoders(self):
            return (self.encoder,)

        def listen(self, audio, encoder):
            import torch
            hear = encoder(self.encoder)

            class Module(torch.nn.Module):
                def reset(self): self.heard = []
                def update(self, sound): self.heard.append(hear(sound[None], audio.sample_rate))
                def compute(self): return torch.cat(self.heard).mean()

            return Module()

    class Level(kernel.Encoder):
        "The mean square, times a weight from a file."
        weights: Path | None = None
        times: float = 1.0

        def build(self):
            import torch
            weight = float(self.weights.read_text()) if self.weights else 1.0
            times = self.times

            class Module(torch.nn.Module):
                def forward(self, audio, sample_rate):
                    return times * weight * audio.square().mean((1, 2))[:, None]

            return Module()

    @kernel.hookimpl
    def metric(name):
        return Near

    @kernel.hookimpl
    def encoder(name):
        return Level
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with a distribution of a metric that listens and of what it listens with."""
    site = tmp_path / "site"
    info = site / "lab_b-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lab_level.py").write_text(dedent(LAB))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-b\nVersion: 1.0\n")
    entries = '"metric.near" = "lab_level"\n"encoder.level" = "lab_level"\n'.replace('"', "")
    (info / "entry_points.txt").write_text(f"[kernel.v1]\n{entries}")
    (info / "RECORD").write_text("lab_level.py,sha256=aaaa,1\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.txt").write_text("2")
    yield tmp_path
    import sys

    sys.modules.pop("lab_level", None)


@pytest.fixture
def kernel() -> Callable[..., Result]:
    def run(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(each) for each in arguments], prog_name="kernel")
        assert result.exit_code == code, result.stderr
        return result

    return run


def record(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("runs", folder, "run.json").read_text())
    return found


def test_a_run_records_the_encoder_and_locks_it(
    lab: Path, kernel: Callable[..., Result], model: Path
) -> None:
    given = ["--plugins", "near", "--model", model, "-n", "2", "--steps", "2", "--device", "cpu"]
    options = ["-o", "encoder.level.weights=two.txt", "-o", "encoder.times=3"]
    kernel("run", *given, "--name", "one")
    kernel("run", *given, *options, "--name", "six")
    one, six = record("one"), record("six")
    assert six["scores"][0]["value"] == pytest.approx(6 * one["scores"][0]["value"])
    (part,) = [each for each in six["plugins"] if each["kind"] == "encoder"]
    assert (part["name"], part["distribution"], part["version"]) == ("level", "lab-b", "1.0")
    assert part["hash"].startswith("sha256:")
    assert part["options"] == {"weights": "two.txt", "times": 3.0}
    assert six["inputs"]["encoder.level.weights"]["hash"].startswith("sha256:")
    kernel("run", "--from", "runs/six", "--locked", "--name", "again")
    assert record("again")["scores"] == six["scores"]
    Path("two.txt").write_text("2.0")
    refused = kernel("run", "--from", "runs/six", "--locked", "--name", "no", code=9)
    assert "content of encoder.level.weights" in refused.stderr


def test_files_are_scored_with_an_encoder_too(
    lab: Path, kernel: Callable[..., Result], tones: Path
) -> None:
    args = ["evaluate", tones, "--plugins", "near", "--json", "--device", "cpu"]
    one = json.loads(kernel(*args).stdout)["scores"][0]["value"]
    five = json.loads(kernel(*args, "-o", "encoder.times=5").stdout)["scores"][0]["value"]
    assert five == pytest.approx(5 * one)


def test_a_run_that_listens_names_who_listens(
    lab: Path, kernel: Callable[..., Result], model: Path
) -> None:
    given = ["--model", model, "-n", "1", "--steps", "2", "--device", "cpu", "--name", "heard"]
    options = ["-o", "task.encoder=digits", "-o", "task.target=1", "-o", "task.normalize=none"]
    kernel("run", "--plugins", "classify", *given, *options)
    (part,) = [each for each in record("heard")["plugins"] if each["kind"] == "encoder"]
    assert (part["name"], part["distribution"]) == ("digits", "kernel-audio-plugins")
    refused = kernel("run", "--plugins", "classify", *given, "-o", "task.encoder=digit", code=2)
    assert "task.classify names an encoder, but there is no encoder 'digit'" in refused.stderr
