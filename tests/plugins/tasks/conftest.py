"""Recordings, and runs of a task with a model whose denoiser is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor, nn

from kernel import (
    Backbone,
    Component,
    Condition,
    ConditionSpec,
    Guidance,
    LatentSpace,
    LatentSpec,
    Task,
)
from kernel.assembly import Assembly, Part
from kernel.audio import read_audio, write_audio
from kernel.config import RunConfig
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.heun import Heun


class Exact(Backbone):
    """A perfect network for white Gaussian sounds of a standard deviation."""

    std: float

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        variance = self.std**2

        class Module(nn.Module):
            def prepare(self, condition: Condition) -> None: ...

            def forward(self, given: Tensor, c_noise: Tensor, condition: None) -> Tensor:
                sigma = math.exp(4 * float(c_noise[0]))
                scale = Edm(sigma_data=0.5).precondition(sigma)
                x = given / scale.c_in
                answer: Tensor = (variance / (variance + sigma**2) - scale.c_skip) * x / scale.c_out
                return answer

        return Module()


class Given(Guidance):
    """Puts the known part in its place at every evaluation and at the end."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        return lambda x, sigma, condition: context.measurement.project(denoise(x, sigma, condition))


Runs = Callable[..., list[Tensor]]


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    """Return a function from a task and its files to the sounds of a run, written and read.

    They have the level that they had before a file turned them down to full scale.
    """

    def made(
        task: Task,
        files: Sequence[Path],
        count: int = 1,
        std: float = 0.07,
        guidance: Guidance | None = None,
        steps: int = 8,
        beside: Sequence[Component] = (),
    ) -> list[Tensor]:
        parts: list[Component] = [Edm(sigma_data=0.5), EdmSchedule(), Heun(), Exact(std=std)]
        parts += [
            Waveform(std=1.0),
            task,
            *([guidance or Given()] if "measurement" in task.offers else []),
            *beside,
        ]
        assembly = Assembly(
            tuple(
                Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", ""), each)
                for each in parts
            )
        )
        network, codec = assembly.build_network(task.condition), assembly.build_codec()
        machine = Machine.choose(RunConfig(device="cpu"))
        sampler = Sampler(assembly, task.condition, network, codec, machine)
        sounds = []
        for _, sound in sampler.sounds(task.requests(files, count), steps, seed=0, batch=4):
            path = tmp_path / "out" / f"{sound.name}.wav"
            path.parent.mkdir(exist_ok=True)
            gain = write_audio(path, sound.audio, sound.sample_rate, sound.subtype)
            sounds.append(read_audio(path)[0] / gain)
        return sounds

    return made


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes audio [C, L] into a new file."""

    def write(
        audio: Tensor, name: str = "song.wav", rate: int = 8000, subtype: str = "PCM_16"
    ) -> Path:
        soundfile.write(tmp_path / name, audio.T.numpy(), rate, subtype=subtype)
        return tmp_path / name

    return write


@pytest.fixture
def space() -> Callable[[Task], LatentSpace]:
    """Return a function from a task to the way to latents that are the samples themselves."""

    def of(task: Task) -> LatentSpace:
        latent = Waveform(std=1.0).latent(task.audio, task.samples)
        return LatentSpace(
            task.audio,
            task.samples,
            latent,
            lambda a: a,
            lambda x, n: x[..., :n],
            lambda _: _none,
            torch.float32,
            torch.device("cpu"),
        )

    return of


def _none(audio: Tensor, sample_rate: int) -> Tensor:
    raise NotImplementedError
