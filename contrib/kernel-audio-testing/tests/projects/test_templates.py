"""The templates, tested where they are: each keeps every promise of its kind."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from pydantic import ValidationError

from kernel import ForeignFile, InputError, UsageError
from kernel.config import RunConfig
from kernel.kinds import KINDS
from kernel.registry import PluginInfo, Registry, locate
from kernel.runner.plan import Plan, plan_run
from kernel.runner.run import execute
from kernel_audio_testing import Check, Subject, checks_for
from kernel_audio_testing._pytest import hold

TEMPLATES = "kernel_audio_testing.projects.templates"
registry = Registry(
    tuple(
        PluginInfo(
            kind, "mine", "kernel-audio", "1.0", f"kernel_audio_testing.projects.templates.{kind}"
        )
        for kind in sorted(KINDS)
    )
)
templates = {info.kind: registry.load(info) for info in registry.plugins if info.kind != "model"}


def cases() -> Any:
    for info in registry.plugins:
        for check in checks_for(info.kind):
            yield pytest.param(Subject(info, registry), check, id=f"{info.kind}-{check.name}")


@pytest.mark.parametrize(("subject", "check"), list(cases()))
def test_conformance(subject: Subject, check: Check) -> None:
    hold(subject, check)


def planned(**settings: Any) -> tuple[RunConfig, Plan]:
    config = RunConfig.model_validate({"model": "mine", "device": "cpu", **settings})
    return config, plan_run(config, registry)


def test_the_model_makes_the_notes_that_are_asked_for(tmp_path: Path) -> None:
    config, plan = planned(count=10)
    record = execute(config, plan, tmp_path / "run")
    wrong = []
    for item in record["items"]:
        sound, rate = soundfile.read(tmp_path / "run" / item["file"])
        assert np.abs(sound).max() > 0.1
        power = np.abs(np.fft.rfft(sound, 8 * len(sound))) ** 2
        heard = power.argmax() / 8 / len(sound) * rate
        wanted = float(item["label"].removesuffix(" Hz"))
        if abs(12 * np.log2(heard / wanted)) > 0.5:
            wrong.append((wanted, heard))
    assert not wrong


def test_the_model_is_small_and_needs_no_code() -> None:
    folder = locate(f"{TEMPLATES}.model")
    assert folder is not None
    assert {path.name for path in folder.iterdir()} == {"model.toml", "model.safetensors"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 100_000


def test_the_metric_and_the_observer_join_a_run(tmp_path: Path) -> None:
    config, plan = planned(plugins=["metric.mine", "observer.mine"], count=2, steps=4)
    record = execute(config, plan, tmp_path / "run", plan.assembly.observers)
    (score,) = record["scores"]
    assert score["name"] == "mine" and -60 < score["value"] < 0
    rows = list(csv.reader((tmp_path / "run" / "steps.csv").read_text("utf-8").splitlines()))
    assert rows[0] == ["step", "total", "name", "value"]
    names = [(str(step), "4", name) for step in range(1, 5) for name in ("done", "sigma")]
    assert [tuple(row[:3]) for row in rows[1:]] == names
    assert float(rows[-1][3]) == 0


def test_the_metric_measures_decibels() -> None:
    module: Any = templates["metric"]().build(templates["task"]().audio)
    module.update(torch.full((1, 100), 0.1))
    assert float(module.compute()) == pytest.approx(-20)
    module.update(torch.zeros(1, 900))
    assert float(module.compute()) == pytest.approx(-30)
    module.reset()
    assert float(module.compute()) == -120


def test_the_observer_thins_out_but_keeps_the_last_step(tmp_path: Path) -> None:
    observer: Any = templates["observer"](every=4)
    observer.started(tmp_path, {})
    for index in range(1, 11):
        observer.step(index, 10, {"loss": 1.0})
    observer.started(tmp_path, {})
    rows = (tmp_path / "steps.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "4", "8", "10"]


def test_the_guidance_bounds_the_estimate() -> None:
    guidance: Any = templates["guidance"](limit=2)
    context: Any = SimpleNamespace(sigma_data=1.0)
    estimate = guidance.wrap(lambda x, sigma, condition: x, context)(
        torch.tensor([0.1, -9.0]), 1, None
    )
    assert estimate.tolist() == pytest.approx([0.1, -2.0], abs=1e-3)


class Held:
    """A tensor of a foreign file."""

    dtype = "float32"

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.shape = tuple(values.shape)

    def load(self) -> torch.Tensor:
        return self.values


def test_the_importer_takes_the_average_and_fuses_its_pairs() -> None:
    importer: Any = templates["importer"]()
    pair = {"ema.net.a.weight_g": [[10.0]], "ema.net.a.weight_v": [[3.0, 4.0]]}
    tensors = {name: Held(torch.tensor(values)) for name, values in pair.items()}
    tensors["model.net.b"] = Held(torch.ones(1))
    content = {"project": "mine", "config": {"sample_rate": 8000, "width": 32}, "step": 9}
    file = ForeignFile(Path("last.ckpt"), tensors, content)
    assert importer.detect(file)
    weights = importer.weights(file)
    assert {name: each.tolist() for name, each in weights.items()} == {"a.weight": [[6.0, 8.0]]}
    assert list(templates["importer"](averaged=False).weights(file)) == ["b"]
    said = importer.configuration(file)
    assert (said["options"]["backbone"], said["trained"]["steps"]) == ({"width": 32}, 9)
    content["config"]["network"] = "dit"
    with pytest.raises(InputError, match=r"last\.ckpt holds a network 'dit'; only 'unet' can be"):
        importer.configuration(file)


def test_the_backbone_refuses_a_sequence() -> None:
    from kernel.values import ConditionSpec, LatentSpec

    with pytest.raises(UsageError, match="takes no sequence"):
        templates["backbone"]().build(LatentSpec(1, (8,)), ConditionSpec(sequence=3))


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("schedule", {"sigma_min": 5, "sigma_max": 2}, "sigma_min 5.0 is not below sigma_max 2.0"),
        ("task", {"note": 24}, "note 24 is not among 0 to 23"),
    ],
)
def test_options_that_cannot_be_are_refused(
    kind: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        templates[kind].model_validate(options)


def test_the_task_makes_one_note_on_request() -> None:
    requests = templates["task"].model_validate({"note": 12}).requests((), 2)
    assert [request.name for request in requests] == ["00-440hz", "01-440hz"]
    (vector,) = {int(request.window.vector.argmax()) for request in requests}
    assert vector == 12


def test_the_task_knows_two_splits() -> None:
    with pytest.raises(UsageError, match="no split 'test'; take train or valid"):
        templates["task"]().dataset("test")
    with pytest.raises(UsageError, match="no split 'trian'; did you mean 'train'"):
        templates["task"]().dataset("trian")


def test_the_tasks_tones_have_the_pitch_of_their_condition() -> None:
    task: Any = templates["task"]()
    data = task.dataset("train")
    for index in range(0, len(data), 37):
        item = data.item(index, torch.Generator().manual_seed(index))
        note = int(item.vector.argmax())
        power = torch.fft.rfft(item.audio[0], 16 * task.samples).abs()
        heard = float(power.argmax()) / 16 / task.samples * task.sample_rate
        assert heard == pytest.approx(220 * 2 ** (note / 12), rel=0.02)


@pytest.mark.parametrize("sound", [torch.zeros(1, 100), torch.full((1, 100), torch.inf)])
def test_the_codec_cannot_be_fitted_to_no_sound(sound: torch.Tensor) -> None:
    from kernel import InputError

    codec: Any = templates["codec"]()
    with pytest.raises(InputError, match="finds no finite sound in the training data"):
        codec.fit(templates["task"]().audio, [sound])


def test_the_codec_keeps_a_level_that_is_set() -> None:
    codec: Any = templates["codec"](std=0.3)
    assert codec.fit(templates["task"]().audio, [torch.ones(1, 100)]) == codec


def test_the_command_prints_lengths_and_levels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "half.wav", np.full(800, 0.5), 8000)
    soundfile.write(tmp_path / "none.wav", np.zeros(1600), 8000)
    arguments = [str(tmp_path / name) for name in ("half.wav", "none.wav")]
    built = templates["command"]().build()  # type: ignore[attr-defined]
    result = CliRunner().invoke(built, [*arguments, "--digits", "2"])
    assert result.stdout.splitlines() == [
        f"{arguments[0]}: 0.10 s, -6.02 dB",
        f"{arguments[1]}: 0.20 s, silence",
    ]
