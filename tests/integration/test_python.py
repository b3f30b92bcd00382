"""The Python API: models, solvers and one's own denoisers, called from a program."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import soundfile
import torch
from torch import Tensor, nn

import kernel
from kernel.registry import Registry
from kernel.runner.plan import Plan
from kernel_audio_training.config import TrainConfig


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """Return D of data that is N(3, 0.5^2)."""
    return (0.25 * x + sigma**2 * 3) / (0.25 + sigma**2)


def test_a_loaded_model_plays_what_the_command_writes(model: Path, tmp_path: Path) -> None:
    voice = kernel.load(model, ["heun"])
    sounds = voice.sample(count=2, steps=3, seed=1)
    again = voice.sample(count=2, steps=3, seed=1)
    made = kernel.run(["heun"], model=model, count=2, steps=3, seed=1, out=tmp_path / "runs")
    assert [sound.name for sound in sounds] == [sound.name for sound in made]
    assert made.folder == tmp_path / "runs" / "heun-1"
    assert made.record["sampling"]["nfe"] == 5
    for sound, same, written in zip(sounds, again, made.sounds, strict=True):
        assert torch.equal(sound.audio, same.audio)
        assert sound.text == written.text
        scale = max(1.0, float(sound.audio.abs().max()))
        torch.testing.assert_close(sound.audio / scale, written.audio, rtol=0, atol=2**-15)


def test_options_of_the_task_are_keywords(model: Path) -> None:
    voice = kernel.load(model)
    (sound,) = voice.sample(count=1, steps=2, label="low")
    assert sound.text == "low"
    with pytest.raises(kernel.UsageError, match=r"'lable' does not exist; did you mean 'label'"):
        voice.sample(count=1, lable="low")
    with pytest.raises(kernel.UsageError, match="'steps' cannot be 0"):
        voice.sample(steps=0)


def test_a_loaded_model_is_played_with_other_parts(model: Path) -> None:
    voice = kernel.load(model, ["heun"])
    by_name = voice.using("euler")
    component = voice.using(kernel.component("euler"))
    (named,), (given,) = (each.sample(count=1, steps=3) for each in (by_name, component))
    assert torch.equal(named.audio, given.audio)
    assert (by_name.evaluations, component.evaluations) == (3, 3)
    assert not torch.equal(named.audio, voice.sample(count=1, steps=3)[0].audio)
    assert voice.evaluations == 5
    assert by_name.plan.model.folder == voice.plan.model.folder


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("objective.rf", "belong to its objective"),
        ("guidance.cfg", "a run takes guidances by name"),
        ("metric", "a run takes metrics by name"),
    ],
)
def test_a_part_that_has_no_place_of_its_own_is_refused(
    model: Path, part: str, sentence: str
) -> None:
    class Level(kernel.Metric):
        """Nothing."""

    given = Level() if part == "metric" else kernel.component(part)
    with pytest.raises(kernel.UsageError, match=sentence):
        kernel.load(model).using(given)


def test_options_of_components_have_their_names_on_the_command_line(model: Path) -> None:
    loud, plain = (
        kernel.load(model, options={"guidance.guidance_scale": scale}).sample(count=1, steps=2)
        for scale in (3, 1)
    )
    assert not torch.equal(loud[0].audio, plain[0].audio)
    with pytest.raises(kernel.UsageError, match="'guidance_scale' is not of the form KIND"):
        kernel.load(model, options={"guidance_scale": 2})


def test_what_a_model_is_not_played_with_as_it_was_trained_is_a_warning(model: Path) -> None:
    with pytest.warns(UserWarning, match="expect artefacts"):
        kernel.load(model, options={"schedule.sigma_max": 500})


def test_a_sound_is_saved_and_plays_in_a_notebook(model: Path, tmp_path: Path) -> None:
    (sound,) = kernel.load(model).sample(count=1, steps=1)
    sound.save(tmp_path / "a.flac")
    assert soundfile.info(tmp_path / "a.flac").samplerate == sound.sample_rate
    found = re.search(r'src="data:audio/wav;base64,([^"]+)"', sound._repr_html_())
    assert found is not None
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])))
    assert (len(samples), rate) == (sound.audio.shape[-1], sound.sample_rate)


@pytest.mark.parametrize("solver", ["euler", "heun", "unipc", "dpmpp-sde"])
def test_any_denoiser_is_followed_in_one_call(solver: str) -> None:
    noise = torch.randn(64, 1, 100, generator=torch.Generator().manual_seed(0))
    x0 = kernel.sample(gaussian, noise, solver=solver, schedule="edm", steps=64)
    assert x0.shape == noise.shape
    assert abs(float(x0.mean()) - 3) < 0.05
    assert abs(float(x0.std()) - 0.5) < 0.03


def test_a_batch_is_its_items_and_their_noise_depends_on_the_seed() -> None:
    noise = torch.randn(4, 2, 300, generator=torch.Generator().manual_seed(0))

    def follow(part: Tensor, seed: int = 0) -> Tensor:
        solver = kernel.component("dpmpp-sde")
        return kernel.sample(gaussian, part, solver=solver, schedule="edm", steps=4, seed=seed)

    torch.testing.assert_close(follow(noise)[:2], follow(noise[:2]))
    assert not torch.equal(follow(noise), follow(noise, seed=1))


def test_a_grid_of_ones_own_and_an_origin() -> None:
    noise = torch.zeros(1, 1, 8, dtype=torch.float64)
    seen = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return x

    origin = torch.ones_like(noise)
    x0 = kernel.sample(denoise, noise, solver="euler", schedule=[2, 1, 0], origin=origin)
    assert torch.equal(x0, origin)
    assert seen == [2.0, 1.0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"schedule": "edm"}, "needs steps"),
        ({"schedule": [1.0, 2.0, 0.0]}, "the list of sigmas goes from 1 to 2"),
        ({"schedule": [1.0, 0.0], "steps": 3}, "the list of sigmas has 2 values"),
        ({"schedule": "edn", "steps": 3}, "there is no schedule 'edn'; did you mean 'edm'"),
        ({"schedule": "edm", "steps": 3, "solver": "edm"}, "there is no solver 'edm'"),
    ],
)
def test_a_mistake_is_one_sentence(given: dict[str, object], sentence: str) -> None:
    noise = torch.randn(1, 1, 8)
    with pytest.raises(kernel.UsageError, match=re.escape(sentence)):
        kernel.sample(gaussian, noise, **{"solver": "euler", **given})  # type: ignore[arg-type]


def test_noise_that_was_scaled_already_is_refused() -> None:
    noise = 80 * torch.randn(1, 1, 2000)
    with pytest.raises(kernel.UsageError, match="root mean square of [78]"):
        kernel.sample(gaussian, noise, solver="euler", schedule="edm", steps=2)


def test_a_module_of_ones_own_is_a_denoiser_in_a_few_lines() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor, condition: None) -> Tensor:
            return torch.zeros_like(x)

    edm, net = kernel.component("objective.edm", sigma_data=0.5), Net()
    noise = torch.randn(8, 1, 500, generator=torch.Generator().manual_seed(0))
    x0 = kernel.sample(
        lambda x, sigma: edm.denoise(net, x, sigma, None),
        noise,
        solver="heun",
        schedule="edm",
        steps=32,
    )
    # With F = 0, D is that of Gaussian data with the standard deviation sigma_data.
    assert abs(float(x0.std()) - 0.5) < 0.03


def test_a_solver_is_iterated_with_a_plain_for() -> None:
    noise = torch.randn(2, 1, 16)
    sigmas = kernel.component("schedule.edm").sigmas(5)
    solver = kernel.component("solver.unipc", predictor_order=3)
    reached = [
        step.sigma
        for step in solver.trajectory(gaussian, noise * sigmas[0], sigmas, kernel.noise_like(noise))
    ]
    assert reached == sigmas[1:]


def test_a_component_takes_its_options_and_no_others() -> None:
    assert kernel.component("unipc", predictor_order=3).predictor_order == 3
    with pytest.raises(kernel.UsageError, match=r"stands for several plugins; write objective.edm"):
        kernel.component("edm")
    with pytest.raises(kernel.UsageError, match=r"did you mean 'predictor_order'"):
        kernel.component("unipc", predictor_ordr=3)


def test_plugins_are_listed() -> None:
    assert [info.name for info in kernel.plugins("recipe")][:1] == ["denoise"]
    assert {info.kind for info in kernel.plugins()} >= {"solver", "model", "command"}


def test_a_run_is_repeated_and_told_of(model: Path, tmp_path: Path) -> None:
    plans: list[Plan] = []
    once = kernel.run(
        ["heun", "page"], model=model, count=1, steps=2, out=tmp_path, planned=plans.append
    )
    again = kernel.run(source=once.folder, out=tmp_path, locked=True)
    assert again.folder.name == "heun-page-2"
    assert torch.equal(once.sounds[0].audio, again.sounds[0].audio)
    assert [plan.steps for plan in plans] == [2]
    assert "open" in once.remarks[0]


def test_one_watches_a_run_with_an_observer_of_ones_own(model: Path, tmp_path: Path) -> None:
    class Watcher(kernel.Observer):
        """Count steps."""

        steps: ClassVar[list[int]] = []

        def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
            self.steps.append(index)

    kernel.run(model=model, count=1, steps=3, out=tmp_path, observers=[Watcher()])
    assert Watcher.steps == [1, 2, 3]


def test_a_part_that_ends_the_process_is_an_error(model: Path, tmp_path: Path) -> None:
    class Quitter(kernel.Observer):
        """Leave at the first step."""

        def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
            sys.exit(0)

    with pytest.raises(kernel.KernelError, match=r"test_python.py:\d+ ended the process with sys"):
        kernel.run(model=model, count=1, steps=3, out=tmp_path / "runs", observers=[Quitter()])
    assert not (tmp_path / "runs").exists()


def test_memory_that_is_used_up_is_one_sentence(model: Path, tmp_path: Path) -> None:
    class Hungry(kernel.Observer):
        """Take more memory than there is."""

        def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
            torch.empty(10**15)

    with pytest.raises(kernel.KernelError, match="the memory is used up .*take a smaller batch"):
        kernel.run(model=model, count=1, steps=3, out=tmp_path, observers=[Hungry()])


def test_a_model_is_trained_and_loaded(
    training: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = training(tmp_path / "t")
    options = {
        f"{kind}.{name}": value
        for kind, given in config.options.items()
        for name, value in given.items()
    }
    made = kernel.train(config.plugins, options=options, out=config.out, steps=4, batch=4)
    assert made.record["config"]["steps"] == 4
    assert kernel.load(made.model).sample(count=1, steps=1)[0].audio.isfinite().all()
    assert kernel.train(resume=made.folder).folder == made.folder
    with pytest.raises(kernel.UsageError, match="takes every setting from the training's folder"):
        kernel.train(resume=made.folder, batch=2)


def test_sounds_are_scored(model: Path, tmp_path: Path) -> None:
    with pytest.raises(kernel.UsageError, match="there is no metric 'nothing'"):
        kernel.evaluate(tmp_path, ["nothing"])


def test_a_registry_settles_what_is_preferred(registry: Registry) -> None:
    preferring = registry.preferring({"solver.heun": "kernel-audio-plugins"})
    assert kernel.component("heun", registry=preferring).order == 2
    absent = registry.preferring({"solver.heun": "lab"})
    with pytest.raises(kernel.UsageError, match="no distribution 'lab' that offers solver.heun"):
        kernel.component("heun", registry=absent)


def test_python_runs_the_package() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kernel", "--version"], capture_output=True, text=True, check=True
    )
    assert kernel.__version__ in done.stdout


def test_the_api_is_imported_when_it_is_used() -> None:
    code = "import kernel, sys; kernel.plugins(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
