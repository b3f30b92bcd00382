from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor

from kernel import InputError, LatentSpace, Task, UsageError, read_audio
from kernel_plugins.encoders._timbre import LogMel
from kernel_plugins.encoders.timbre import Timbre
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.tasks.embedder import Embedder, Likeness

RATE = 8000
HEARD = LogMel(40)
Save = Callable[..., Path]


def tone(samples: int = 3000, channels: int = 1) -> Tensor:
    wave = 0.2 * torch.sin(2 * torch.pi * 440 / RATE * torch.arange(samples))
    return wave.expand(channels, -1)


def embedder(**options: object) -> Embedder:
    given = {"sample_rate": RATE, "seconds": 0.25, "encoder": "timbre", **options}
    return Embedder.model_validate(given)


def heard_by(space: LatentSpace, encoder: Callable[[Tensor, int], Tensor]) -> LatentSpace:
    return attrs.evolve(space, encoder=lambda spelling: encoder)


def test_examples_take_turns_at_the_models_rate_and_level(save: Save) -> None:
    paths = [save(tone(6000, 2), "a.wav", rate=16000), save(tone(), "b.wav")]
    requests = embedder().requests(paths, 3)
    assert [each.name for each in requests] == ["00-a", "01-b", "02-a"]
    assert {each.window.samples for each in requests} == {2000}
    for request in requests:
        assert isinstance(request.window, Likeness)
        assert request.window.example.shape == (1, 3000)
        level = float(request.window.example.square().mean().sqrt())
        assert level == pytest.approx(10 ** (-23 / 20), rel=0.01)


def test_the_target_is_what_is_heard_in_the_example(
    save: Save, space: Callable[[Task], LatentSpace]
) -> None:
    task = embedder()
    window = task.requests([save(tone())], 1)[0].window
    assert isinstance(window, Likeness)
    known = task.measure([window, window], heard_by(space(task), HEARD))
    assert known is not None
    expected = HEARD(window.example[None], RATE)
    torch.testing.assert_close(known.target, expected.expand(2, -1))
    x0 = window.example[None, :, :2000].repeat(2, 1, 1)
    torch.testing.assert_close(known.operator(x0), HEARD(x0, RATE))
    distance = known.distance(known.operator(x0), known.target)
    torch.testing.assert_close(distance, (HEARD(x0, RATE) - expected).norm(dim=1))
    assert known.project is None


def test_a_run_comes_nearer_to_the_example(save: Save, run: Callable[..., list[Tensor]]) -> None:
    path = save(tone())
    target = HEARD(read_audio(path)[0][None], RATE)
    task = embedder(normalize="none")
    distances = []
    for scale in (0.0, 0.1):
        given = {"guidance": Dps(scale=scale), "steps": 24, "beside": [Timbre()]}
        (sound,) = run(task, [path], std=0.02, **given)
        distances.append(float((HEARD(sound[None], RATE) - target).norm()))
    assert distances[1] < 0.95 * distances[0]


def test_an_encoder_has_to_be_named(save: Save) -> None:
    with pytest.raises(UsageError, match=r"needs an encoder and none .* -o task.encoder=NAME"):
        embedder(encoder=None).requests([save(tone())], 1)


def test_a_missing_example_is_named_though_no_encoder_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.wav"):
        Embedder().requests((tmp_path / "absent.wav",), 1)


def test_the_encoder_is_declared() -> None:
    assert embedder(encoder=None).encoders == ()
    assert embedder().encoders == ("timbre",)


def test_silence_and_missing_examples_are_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"song.wav is silent"):
        embedder().requests([save(torch.zeros(1, 100))], 1)
    with pytest.raises(UsageError, match=r"name one with -i FILE"):
        embedder().requests([], 1)
