"""What the runner does for guidances and tasks: the order of effect, gradients, models, windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Component,
    Condition,
    ConditionSpec,
    Guidance,
    Item,
    LatentSpace,
    LatentSpec,
    Making,
    Measurement,
    Request,
    Sound,
    Task,
    Window,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.denoiser import Denoiser, Routed
from kernel.errors import MisfitError, NumericalError, UsageError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.grid import grid
from kernel.runner.sampling import Sampler
from kernel.seeds import ItemNoise
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.euler import Euler

SAMPLES = 12
MACHINE = Machine.choose(RunConfig(device="cpu"))


class Asks(Task):
    """Ask for sounds and know what `known` says of them; everything can be set."""

    known: Any = None
    cut: Any = None
    asked: Any = None

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        return [Request(str(index), Window(SAMPLES)) for index in range(count)]

    def make(self, request: Request) -> Making:
        made = yield [request.window] if self.cut is None else self.cut(request)
        return [request.finished(torch.cat(made, -1), 8000)]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        if self.asked is not None:
            self.asked.append(list(items))
        found: Measurement | None = None if self.known is None else self.known(len(items))
        return found


class Scaled(Backbone):
    """F(x) = gain x, of which D is made; 0 is the Gaussian of the objective's sigma_data."""

    gain: float = 0.0

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        gain = self.gain

        class Module(nn.Module):
            def prepare(self, condition: Condition) -> None: ...

            def forward(self, x: Tensor, c_noise: Tensor, condition: None) -> Tensor:
                return x * gain

        return Module()


class Pulls(Guidance):
    """Descend the distance of what is measured."""

    strength = "scale"

    scale: float = 0.1

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        known = context.measurement
        return -self.scale * sigma**2 * pull(known.distance(known.operator(x0), known.target))


def zero(batch: int, operator: Callable[[Tensor], Tensor] = lambda x0: x0) -> Measurement:
    """Return that every value is 0."""

    def distance(found: Tensor, target: Tensor) -> Tensor:
        return (found - target).square().flatten(1).sum(1)

    return Measurement(operator, torch.zeros(batch, 1, SAMPLES), distance)


def assemble(*parts: Component, **guidances: Guidance) -> Assembly:
    """Return an assembly with the given parts in place of the usual ones."""
    usual = {
        each.kind: each
        for each in (Edm(), EdmSchedule(), Euler(), Scaled(), Waveform(std=1.0), Asks())
    }
    named = {each.kind: each for each in parts}
    every = [(type(each).__name__.lower(), each) for each in {**usual, **named}.values()]
    return Assembly(
        tuple(
            Part(PluginInfo(each.kind, name, "tests", "1", "tests"), each)
            for name, each in (*every, *guidances.items())
        )
    )


def sampler_of(assembly: Assembly, companion: Any = None) -> Sampler:
    network, codec = assembly.build_network(ConditionSpec()), assembly.build_codec()
    return Sampler(assembly, ConditionSpec(), network, codec, MACHINE, (), companion)


def sample(
    assembly: Assembly, count: int = 1, steps: int = 3, batch: int = 4, companion: Any = None
) -> list[Sound]:
    sampler = sampler_of(assembly, companion)
    return [
        sound for _, sound in sampler.sounds(assembly.task.requests((), count), steps, 0, batch)
    ]


def noise(*places: tuple[int | str, ...]) -> Tensor:
    return ItemNoise(0, list(places), (1, SAMPLES), MACHINE.put)(1.0, 1.0)


def recording(stage: Any, log: list[str], name: str) -> Guidance:
    """Return a guidance that writes its name down whenever its estimate is there."""

    class Recording(Guidance):
        def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
            def guided(x, sigma, condition):  # type: ignore[no-untyped-def]
                x0 = denoise(x, sigma, condition)
                log.append(name)
                return x0

            return guided

    Recording.stage = stage
    return Recording()


def test_guidances_act_by_stage_and_name() -> None:
    log: list[str] = []

    class Steering(Guidance):
        def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
            log.append("s")
            return torch.zeros_like(x0)

    stages = {"a": "limit", "c": "project", "b": "project", "e": "mix", "d": "mix"}
    guidances = {name: recording(stage, log, name) for name, stage in stages.items()}
    sample(assemble(**guidances, s=Steering()), steps=1)
    assert log == ["d", "e", "s", "b", "c", "a"]


def test_all_that_steer_share_one_evaluation() -> None:
    task = Asks(known=zero)
    sampler = sampler_of(assemble(task, a=Pulls(), b=Pulls(scale=0.2)))
    ((_, two),) = sampler.sounds(task.requests((), 1), 3, 0, 1)
    assert (sampler.evaluations, sampler.gradients) == (3, 6)
    (one,) = sample(assemble(task, c=Pulls(scale=0.1 + 0.2)))
    torch.testing.assert_close(two.audio, one.audio)


def test_without_guidance_no_gradient_is_made() -> None:
    sampler = sampler_of(assemble(Asks(known=zero)))
    list(sampler.sounds(sampler._assembly.task.requests((), 1), 3, 0, 1))
    assert (sampler.evaluations, sampler.gradients) == (3, 0)


@pytest.mark.parametrize(
    "operator", [torch.Tensor.detach, lambda x0: x0.detach().round() + 0 * x0.new_zeros(())]
)
def test_an_operator_without_a_gradient_is_one_sentence(operator: Any) -> None:
    task = Asks(known=lambda batch: zero(batch, operator))
    with pytest.raises(MisfitError, match=r"guidance.pulls follows a gradient, but what is measu"):
        sample(assemble(task, pulls=Pulls()))


def test_a_guidance_that_is_too_strong_is_named_with_a_weaker_one() -> None:
    task = Asks(known=zero)
    sentence = r"step \d of 3 \(to sigma .*; the guidance is too strong: try -o guidance.pulls.sc"
    for scale in (1e9, 1e30):
        with pytest.raises(
            NumericalError, match=sentence + f"ale={re.escape(f'{scale / 4:.3g}')}, or more"
        ):
            sample(assemble(task, pulls=Pulls(scale=scale)))


def test_numbers_that_are_none_without_guidance_say_what_to_try() -> None:
    with pytest.raises(NumericalError, match=r"step 1 of 3 .*use more steps, weaker guidance, or"):
        sample(assemble(Scaled(gain=3e38)))


def test_a_target_of_another_length_is_one_sentence() -> None:
    task = Asks(known=lambda batch: zero(batch, lambda x0: x0[..., 1:]))
    with pytest.raises(MisfitError, match=r"measures \(1, 11\) values of .* target has \(1, 12\)"):
        sample(assemble(task))
    task = Asks(known=lambda batch: zero(batch, lambda x0: x0 @ torch.ones(5, 5)))
    with pytest.raises(MisfitError, match=r"does not take latents of the shape \(1, 12\) \("):
        sample(assemble(task))


class Gained(nn.Module):
    """A network that multiplies by a gain and adds the condition's vector."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def prepare(self, condition: Condition) -> Tensor:
        assert condition.vector is not None
        return condition.vector[:, None]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        return self.gain * x + condition


@pytest.mark.parametrize("times", [1, 3])
def test_every_item_is_evaluated_with_the_model_it_asks_for(times: int) -> None:
    gains = {None: 1.0, "b": 2.0, "a": 3.0}
    names = ("b", None, "a", None)
    routed = Routed(names, lambda name: Denoiser(Edm(), Gained(gains[name])))
    x = torch.randn(4 * times, 1, 5, generator=torch.Generator().manual_seed(0))
    condition = Condition(vector=torch.arange(4.0 * times)[:, None])
    for _ in range(2):
        found = routed(x, 0.7, condition)
    for row, each in enumerate(found):
        alone = condition.map(lambda part, row=row: part[row : row + 1])  # type: ignore[misc]
        expected = Denoiser(Edm(), Gained(gains[names[row % 4]]))(x[row, None], 0.7, alone)
        torch.testing.assert_close(each, expected[0])
    used = routed.denoisers.values()
    assert [each.evaluations for each in used] == [2, 2, 2]
    assert sum(each.items for each in used) == 2 * 4 * times


def test_a_batch_of_one_model_is_passed_on_whole() -> None:
    routed = Routed((None, None), lambda name: Denoiser(Edm(), Gained(1.0)))
    routed(torch.ones(2, 1, 5), 0.7, Condition(vector=torch.ones(2, 1)))
    (used,) = routed.denoisers.values()
    assert (used.evaluations, used.items) == (1, 2)


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_a_start_cuts_the_grid_and_keeps_the_number_of_steps(steps: int) -> None:
    schedule = EdmSchedule()
    assembly = assemble(schedule)
    start = 2.0 * assembly.objective.sigma_data
    sigmas = grid(assembly, steps, assembly.latent, 2.0)
    assert len(sigmas) == steps + 1 and (sigmas[0], sigmas[-1]) == (start, 0)
    longer = next(
        whole
        for whole in (schedule.sigmas(count) for count in range(steps, 999))
        if sum(sigma < start for sigma in whole) >= steps
    )
    assert sigmas[1:] == longer[-steps:]


def test_a_start_above_the_schedule_is_its_own() -> None:
    sigmas = grid(assemble(), 4, LatentSpec(1, (SAMPLES,)), 1e6)
    assert sigmas == EdmSchedule().sigmas(4)


def test_a_start_below_every_grid_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="too few sigmas below 5e-07, where the window starts; st"):
        grid(assemble(), 4, LatentSpec(1, (SAMPLES,)), 1e-6)


def test_a_run_starts_at_the_origin_of_its_request_with_the_noise_of_its_start() -> None:
    origins = torch.randn(2, 1, SAMPLES, generator=torch.Generator().manual_seed(5))

    def cut(request: Request) -> list[Window]:
        return [Window(SAMPLES, origin=origins[int(request.name)], start=1.0)]

    sounds = sample(assemble(Asks(cut=cut)), count=2, steps=60)
    data = Edm().sigma_data
    # The flow of N(0, data^2) shrinks by the root of data^2 / (data^2 + sigma^2), sigma = data.
    expected = (origins * data + data * noise((0,), (1,))) / 2**0.5 / data
    found = torch.stack([sound.audio for sound in sounds])
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.05)


def test_windows_are_made_in_order_and_joined_though_batches_cut_across() -> None:
    def cut(request: Request) -> list[Window]:
        return [Window(SAMPLES) for _ in "abc"]

    sounds = sample(assemble(Asks(cut=cut)), count=2, batch=2)
    whole = sample(assemble(Asks(cut=cut)), count=2, batch=6)
    assert [tuple(sound.audio.shape) for sound in sounds] == [(1, 3 * SAMPLES)] * 2
    assert [sound.name for sound in sounds] == ["0", "1"]
    for one, other in zip(sounds, whole, strict=True):
        torch.testing.assert_close(one.audio, other.audio)
    (first,) = sample(assemble(Asks()))
    torch.testing.assert_close(sounds[0].audio[..., :SAMPLES], first.audio)
    parts = sounds[0].audio.chunk(3, -1)
    assert not torch.allclose(parts[0], parts[1])


def test_windows_with_the_same_stream_have_the_same_noise() -> None:
    def cut(request: Request) -> list[Window]:
        return [Window(SAMPLES, stream=stream) for stream in (0, 1, 0, 1)]

    (sound,) = sample(assemble(Asks(cut=cut)), batch=3)
    one, two, three, four = sound.audio.chunk(4, -1)
    torch.testing.assert_close(one, three)
    torch.testing.assert_close(two, four)
    assert not torch.allclose(one, two)


def test_joint_windows_are_measured_in_one_batch() -> None:
    def cut(request: Request) -> list[Window]:
        return [
            Window(SAMPLES, joint=joint, stream=stream) for stream, joint in enumerate((7, 5, 7, 5))
        ]

    asked: list[list[Window]] = []
    sample(assemble(Asks(cut=cut, asked=asked)), count=2, batch=1)
    found = [[(window.joint, window.stream) for window in windows] for windows in asked]
    assert found == 2 * [[(7, 0), (7, 2)], [(5, 1), (5, 3)]]


def test_a_window_is_made_with_the_model_that_it_names() -> None:
    def cut(request: Request) -> list[Window]:
        return [Window(SAMPLES, model=model, stream=0) for model in (None, "silent")]

    loaded: list[str] = []

    def companion(name: str) -> tuple[Edm, Scaled, nn.Module]:
        loaded.append(name)
        silent = Scaled(gain=-1.0)
        return Edm(), silent, silent.build(LatentSpec(1, (SAMPLES,)), ConditionSpec())

    sampler = sampler_of(assemble(Asks(cut=cut)), companion)
    ((_, sound),) = sampler.sounds([Request("0", Window(SAMPLES))], 3, 0, 2)
    own, other = sound.audio.chunk(2, -1)
    assert loaded == ["silent"] and sampler.evaluations == 3
    torch.testing.assert_close(own, sample(assemble())[0].audio)
    (expected,) = sample(assemble(Scaled(gain=-1.0)))
    torch.testing.assert_close(other, expected.audio)


def test_a_model_where_there_is_only_one_is_refused() -> None:
    def cut(request: Request) -> list[Window]:
        return [Window(SAMPLES, model="other")]

    with pytest.raises(UsageError, match="model 'other' is asked for where there is only one"):
        sample(assemble(Asks(cut=cut)))
