from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import soundfile
import torch

from kernel import AudioSpec, Metric, UsageError
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.errors import DeviceError, MisfitError, NumericalError, OutputError
from kernel.kinds.observer import Observer
from kernel.registry import PluginInfo, Registry
from kernel.runner.device import Machine
from kernel.runner.plan import Plan, plan_run
from kernel.runner.run import execute, folder_for
from kernel.runner.sampling import Sampler
from kernel.runner.space import complete
from kernel.values import Condition, ConditionSpec, LatentSpec, Sound
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import plan_training

Planned = Callable[..., tuple[RunConfig, Plan]]


def listen(folder: Path) -> list[np.ndarray[Any, Any]]:
    return [soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))]


def test_a_run_leaves_sounds_a_record_and_what_its_observers_write(
    planned: Planned, tmp_path: Path
) -> None:
    config, plan = planned(count=3, plugins=("observer.page",))
    said: list[str | None] = []
    record = execute(config, plan, tmp_path / "out", plan.assembly.observers, said.append)
    assert said == [f"open {tmp_path / 'out' / 'index.html'} to listen"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00-high.wav",
        "01-low.wav",
        "02-high.wav",
        "index.html",
        "run.json",
        "spectrograms.png",
    ]
    stored = json.loads((tmp_path / "out" / "run.json").read_text())
    assert stored == json.loads(json.dumps(record))
    assert [item["label"] for item in stored["items"]] == ["high", "low", "high"]
    assert all(len(sound) == 2000 for sound in listen(tmp_path / "out"))


def test_the_record_says_whose_every_component_is(planned: Planned, tmp_path: Path) -> None:
    config, plan = planned(plugins=("heun",), options={"solver": {"s_churn": 0.5}})
    record = execute(config, plan, tmp_path / "out")
    solver = next(entry for entry in record["plugins"] if entry["kind"] == "solver")
    assert solver["name"] == "heun"
    assert solver["options"]["s_churn"] == 0.5
    assert solver["distribution"] == "kernel-audio-plugins"
    assert solver["hash"].startswith("sha256:")


class Peak(Metric):
    """Largest magnitude."""

    def build(self, audio: AudioSpec) -> torch.nn.Module:
        class Module(torch.nn.Module):
            def reset(self) -> None:
                self.peak = torch.tensor(torch.nan)

            def update(self, sound: torch.Tensor) -> None:
                self.peak = sound.abs().max()

            def compute(self) -> torch.Tensor:
                return self.peak

        return Module()


def test_a_metric_scores_what_the_run_writes(planned: Planned, tmp_path: Path) -> None:
    config, plan = planned(count=2)
    part = Part(PluginInfo("metric", "peak", "tests", "1", "tests"), Peak())
    plan = attrs.evolve(plan, assembly=Assembly((*plan.assembly.parts, part)))
    record = execute(config, plan, tmp_path / "out")
    peaks = [np.abs(sound).max() for sound in listen(tmp_path / "out")]
    scores = [item["scores"]["peak"] for item in record["items"]]
    assert scores == pytest.approx(peaks, abs=1e-4)
    (summary,) = record["scores"]
    assert (summary["name"], summary["count"]) == ("peak", 2)
    assert summary["value"] == pytest.approx(np.mean(peaks), abs=1e-4)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["scores"] == record["scores"]


def test_evaluations_are_counted_where_they_happen(planned: Planned, tmp_path: Path) -> None:
    config, plan = planned(plugins=("heun",), steps=4)
    sampling = execute(config, plan, tmp_path / "out")["sampling"]
    assert sampling["nfe"] == 7
    assert sampling["network_items"] == 7 * 2 * 2  # two sounds, two branches of the guidance


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_an_item_depends_on_the_seed_and_its_index_alone(
    planned: Planned, tmp_path: Path, solver: str
) -> None:
    options = {"solver": {"s_churn": 2.0}} if solver == "heun" else {}
    for batch in (1, 4):
        config, plan = planned(plugins=(solver,), count=4, batch=batch, seed=1, options=options)
        execute(config, plan, tmp_path / str(batch))
    for one, other in zip(listen(tmp_path / "1"), listen(tmp_path / "4"), strict=True):
        assert np.abs(one - other).max() < 1e-2 * np.abs(one).max()


def test_another_seed_makes_another_sound(planned: Planned, tmp_path: Path) -> None:
    for seed in (0, 1):
        config, plan = planned(count=1, seed=seed)
        execute(config, plan, tmp_path / str(seed))
    (one,), (other,) = listen(tmp_path / "0"), listen(tmp_path / "1")
    assert np.abs(one - other).max() > 0.2 * np.abs(one).max()


class Witness(Observer):
    """Writes down what it is told; ends the run at `stop`."""

    stop: int = 0

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "events", [])

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        object.__setattr__(self, "folder", directory)
        self.events.append("started")  # type: ignore[attr-defined]

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        self.events.append((index, total))  # type: ignore[attr-defined]
        if index == self.stop:
            raise KeyboardInterrupt

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        path = self.folder / entry["file"]  # type: ignore[attr-defined]
        samples, rate = soundfile.read(path)
        assert (sound.audio.shape[-1], sound.sample_rate) == (len(samples), rate)
        self.events.append((sound.name, sound.text, entry["label"]))  # type: ignore[attr-defined]

    def finished(self, directory: Path) -> None:
        assert directory.is_dir()
        self.events.append("finished")  # type: ignore[attr-defined]


def test_an_observer_sees_every_step_and_every_sound_once_its_file_is_there(
    planned: Planned, tmp_path: Path
) -> None:
    config, plan = planned(count=2, batch=1)
    witness = Witness()
    execute(config, plan, tmp_path / "out", [witness])
    first, second = [[(each, 6) for each in part] for part in ((1, 2, 3), (4, 5, 6))]
    sounds = [("00-high", "high", "high"), ("01-low", "low", "low")]
    told = ["started", *first, sounds[0], *second, sounds[1], "finished"]
    assert witness.events == told  # type: ignore[attr-defined]


class Counter(Observer):
    """Counts the sounds that are still in memory whenever another one is finished."""

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "alive", [])
        object.__setattr__(self, "made", [])

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        made: list[Any] = self.made  # type: ignore[attr-defined]
        self.alive.append(sum(each() is not None for each in made))  # type: ignore[attr-defined]
        made.append(weakref.ref(sound.audio))


def test_a_run_keeps_no_sound_that_it_has_finished(planned: Planned, tmp_path: Path) -> None:
    config, plan = planned(count=6, batch=1, plugins=("observer.page",))
    counter = Counter()
    execute(config, plan, tmp_path / "out", [*plan.assembly.observers, counter])
    assert len(counter.alive) == 6  # type: ignore[attr-defined]
    assert max(counter.alive) <= 1  # type: ignore[attr-defined]


def test_an_interrupted_run_leaves_nothing(planned: Planned, tmp_path: Path) -> None:
    config, plan = planned(count=2, batch=1)
    with pytest.raises(KeyboardInterrupt):
        execute(config, plan, tmp_path / "out", [Witness(stop=5)])
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_not_finite_names_the_step(planned: Planned) -> None:
    config, plan = planned()
    assembly = plan.assembly
    network = assembly.build_network(plan.model.condition)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    sampler = Sampler(
        assembly, plan.model.condition, network, assembly.build_codec(), Machine.choose(config)
    )
    requests = assembly.task.requests((), 1)
    with pytest.raises(NumericalError, match=r"step 1 of 3 \(to sigma .*guidance_scale=0.5"):
        list(sampler.sounds(requests, 3, 0, 1))


def test_the_name_of_a_run_counts_up_and_is_given_once(tmp_path: Path) -> None:
    config = RunConfig(plugins=("solver.heun",), out=tmp_path / "runs")
    with folder_for(config) as first, folder_for(config) as second:
        assert [first.name, second.name] == ["heun-1", "heun-2"]
        second.mkdir()
    with folder_for(config) as again:
        assert again.name == "heun-1"
    assert [path.name for path in config.out.iterdir()] == ["heun-2"]


def test_a_run_that_fails_leaves_no_folder_of_runs(tmp_path: Path) -> None:
    config = RunConfig(out=tmp_path / "runs")
    with pytest.raises(ZeroDivisionError), folder_for(config):
        _ = 1 / 0
    assert not config.out.exists()


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    config = RunConfig(out=tmp_path, name="mine")
    (tmp_path / "mine").mkdir()
    with (
        pytest.raises(OutputError, match="exists already; choose another --name"),
        folder_for(config),
    ):
        pass


def test_a_model_of_another_objective_is_refused(model: Path, registry: Registry) -> None:
    config = RunConfig(plugins=("rf",), model=str(model))
    with pytest.raises(MisfitError, match=r"was trained with objective.edm, but objective.rf was"):
        plan_run(config, registry)


def test_no_model_for_the_selected_parts_is_refused(registry: Registry) -> None:
    sentence = r"was trained with backbone.unet, objective.rf; `kernel models` lists"
    with pytest.raises(MisfitError, match=sentence):
        plan_run(RunConfig(plugins=("objective.rf", "unet")), registry)


def test_a_schedule_outside_the_trained_range_is_noted(planned: Planned) -> None:
    _, plan = planned(options={"schedule": {"sigma_max": 500.0}})
    (note,) = plan.notes
    assert "visits sigma 0.002 to 500" in note and "was trained from 0.002 to 80" in note


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        (1, "1 step is too few for the order 3 of solver.unipc; take more, or a solver of a lower"),
        (2, "2 steps are too few for the order 3 of solver.unipc; take more, or a solver of a low"),
        (3, ""),
    ],
)
def test_an_order_above_what_the_steps_allow_is_noted(
    planned: Planned, steps: int, note: str
) -> None:
    _, plan = planned(plugins=("unipc",), steps=steps)
    assert len(plan.notes) == bool(note)
    assert all(note in each for each in plan.notes)


def test_a_replaced_plugin_is_noted(planned: Planned) -> None:
    _, plan = planned(plugins=("euler", "heun"))
    assert plan.notes == (
        "solver.heun@kernel-audio-plugins replaces solver.euler@kernel-audio-plugins",
    )


def test_a_need_that_nothing_meets_names_both_sides(
    train: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    folder = train(tmp_path / "t", condition_dropout=0.0)
    with pytest.raises(MisfitError, match="guidance.cfg needs 'null-condition', which none of"):
        plan_run(RunConfig(model=str(folder / "model")), registry)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"solver": {"s_churm": 1}}, "'s_churm' does not exist; did you mean 's_churn'"),
        ({"solver": {"s_churn": -1}}, "'s_churn' cannot be -1: input should be greater than or"),
        (
            {"sollver": {"x": 1}},
            "sollver.x belongs to no selected component; did you mean 'solver'",
        ),
        ({"solver.euler": {"x": 1}}, "solver.euler.x belongs to no selected component"),
    ],
)
def test_an_option_that_cannot_be_is_one_sentence(
    planned: Planned, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        planned(plugins=("heun",), options=options)


def test_a_component_has_the_options_that_the_model_was_trained_with(
    train: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    options = {"guidance": {"guidance_scale": 1.7}, "schedule": {"rho": 5.0}}
    folder = train(tmp_path / "t", options=options)
    config = RunConfig(model=str(folder / "model"), options={"guidance": {"sigma_low": 0.1}})
    assembly = plan_run(config, registry).assembly
    guidance = assembly.guidances["cfg"]
    assert (
        guidance.model_dump() | {"guidance_scale": 1.7, "sigma_low": 0.1} == guidance.model_dump()
    )
    assert assembly.schedule.rho == 5.0  # type: ignore[attr-defined]


def test_an_option_may_carry_the_name_of_its_component(planned: Planned) -> None:
    _, plan = planned(options={"guidance.cfg": {"guidance_scale": 3.5}})
    assert plan.assembly.guidances["cfg"].guidance_scale == 3.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "xla", "cuda:-1", "meta"])
def test_an_unknown_or_absent_device_is_one_sentence(device: str) -> None:
    with pytest.raises(
        DeviceError, match=f"device '{device}' is (unknown|not there|not supported)"
    ):
        Machine.choose(RunConfig(device=device))


def test_a_cuda_graph_needs_cuda() -> None:
    with pytest.raises(DeviceError, match="a CUDA graph needs a CUDA device, not cpu"):
        Machine.choose(RunConfig(device="cpu"), cuda_graph=True)


def test_reduced_precision_stays_close(planned: Planned, tmp_path: Path) -> None:
    audio = {}
    for precision in ("float32", "bfloat16"):
        config, plan = planned(count=1, precision=precision)
        record = execute(config, plan, tmp_path / precision)
        assert record["device"]["precision"] == precision
        audio[precision] = listen(tmp_path / precision)[0]
    difference = np.abs(audio["float32"] - audio["bfloat16"])
    assert 0 < difference.max() < np.abs(audio["float32"]).max()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sample_rate": 16000}, "the task works at 16000 Hz, but model .* was trained at 8000 Hz"),
        ({"channels": 2}, "works at 2 channels, but .*; set task.channels=1"),
        ({"labels": ["a", "b", "c"]}, "has a vector of width 3, but model .* was trained with 2"),
    ],
)
def test_a_task_that_is_not_the_trained_one_is_one_sentence(
    planned: Planned, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(MisfitError, match=sentence):
        planned(options={"task": options})


def test_another_task_samples_the_null_condition_without_the_guidance(
    planned: Planned, tmp_path: Path
) -> None:
    options = {"task": {"sample_rate": 8000, "seconds": 0.25}}
    config, plan = planned(plugins=("task.unconditional",), options=options, count=2)
    assert plan.assembly.guidances == {}
    record = execute(config, plan, tmp_path / "out")
    assert record["sampling"]["network_items"] == 3 * 2
    assert all(np.isfinite(sound).all() for sound in listen(tmp_path / "out"))


def test_a_guidance_that_compares_conditions_needs_a_task_that_gives_one(planned: Planned) -> None:
    options = {"task": {"sample_rate": 8000, "seconds": 0.25}}
    with pytest.raises(MisfitError, match="guidance.cfg needs 'null-condition', which none of"):
        planned(plugins=("unconditional", "cfg"), options=options)


def test_a_run_starts_from_the_origin_that_a_window_gives(planned: Planned) -> None:
    config, plan = planned(options={"schedule": {"sigma_min": 1e-4, "sigma_max": 1e-3}})
    assembly = plan.assembly
    codec = assembly.build_codec()
    codec.decode = lambda latent, samples: latent  # type: ignore[assignment]
    codec.encode = lambda audio: origin  # type: ignore[assignment]
    origin = torch.randn(2, *assembly.latent.shape, generator=torch.Generator().manual_seed(3))
    requests = [
        attrs.evolve(each, window=attrs.evolve(each.window, origin=torch.zeros(1, 2000)))
        for each in assembly.task.requests((), 2)
    ]
    network = assembly.build_network(plan.model.condition)
    sampler = Sampler(assembly, plan.model.condition, network, codec, Machine.choose(config))
    found = torch.stack([sound.audio for _, sound in sampler.sounds(requests, 2, 0, 2)])
    assert (found - origin).abs().max() < 0.02


def test_the_plan_of_a_training_has_no_model(
    training: Callable[..., TrainConfig], registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="has no model yet"):
        plan_training(training(tmp_path), registry).model  # noqa: B018


def test_every_part_that_a_task_lacks_is_null() -> None:
    spec, latent = ConditionSpec(vector=3, sequence=4, aligned=2), LatentSpec(5, (6, 7))
    vector = torch.ones(2, 3)
    found = complete(Condition(vector=vector), spec, 2, latent)
    assert found.vector is vector
    whole = Condition(vector, torch.ones(2, 1, 4), torch.ones(2, 1) > 0, torch.ones(2, 2, 6, 7))
    null = whole.dropped()
    for part in ("sequence", "mask", "aligned"):
        torch.testing.assert_close(getattr(found, part), getattr(null, part))


def test_the_items_of_every_batch_are_counted(planned: Planned) -> None:
    config, plan = planned(count=3, batch=2)
    sampler = Sampler.of(plan.assembly, plan.model, Machine.choose(config))
    list(sampler.sounds(plan.assembly.task.requests((), 3), plan.steps, 0, config.batch))
    branches = 2  # of the guidance
    assert sampler.network_items == sampler.evaluations * 3 * branches
