from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kernel import LatentSpace, Task, UsageError, read_audio
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.tasks._edit import Edited, Part
from kernel_plugins.tasks.separate import Separate

RATE = 8000
Save = Callable[..., Path]


def draw(samples: int = 6000, channels: int = 1) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def separate(**options: object) -> Separate:
    return Separate.model_validate({"sample_rate": RATE, "seconds": 0.25, **options})


def test_the_sources_have_files_of_their_own_and_add_up_to_the_mixture(
    save: Save, run: Callable[..., list[Tensor]], tmp_path: Path
) -> None:
    path = save(draw(), "mix.wav", subtype="FLOAT")
    task = separate(sources=3)
    assert task.usual_count([path]) == 1
    found = run(task, [path])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "mix-1.wav",
        "mix-2.wav",
        "mix-3.wav",
    ]
    torch.testing.assert_close(sum(found), draw(), rtol=0, atol=1e-6)
    assert min(float((a - b).std()) for a, b in pairwise(found)) > 0.01


def test_every_channel_and_every_mixture_adds_up(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    paths = [save(draw(5000, 2), "a.wav", subtype="FLOAT"), save(draw(1500), "b.wav")]
    one, two, three, four = run(separate(), paths, 2)
    torch.testing.assert_close(one + two, draw(5000, 2), rtol=0, atol=1e-6)
    torch.testing.assert_close(three + four, read_audio(paths[1])[0], rtol=0, atol=1e-4)


def windows_of(task: Separate, *files: Path, count: int = 1) -> list[list[Part]]:
    """Return the windows of each request."""
    made = [next(task.make(request)) for request in task.requests(files, count)]
    return cast("list[list[Part]]", made)


def test_windows_of_one_place_are_sampled_together_each_with_its_own_noise(save: Save) -> None:
    for windows in windows_of(separate(), save(draw(), "a.wav"), save(draw(), "b.wav"), count=2):
        places = len(windows) // 2
        assert places > 1
        assert [window.joint for window in windows] == 2 * list(range(places))
        assert [window.stream for window in windows] == list(range(2 * places))


def test_variants_of_a_mixture_are_not_mixed_up(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    path = save(draw(3000), subtype="FLOAT")
    one, two, three, four = run(separate(), [path], 2)
    torch.testing.assert_close(one + two, draw(3000), rtol=0, atol=1e-6)
    torch.testing.assert_close(three + four, draw(3000), rtol=0, atol=1e-6)
    assert not torch.equal(one, three)


def test_sources_take_their_models_and_their_labels(save: Save) -> None:
    path = save(draw(), "mix.wav")
    task = separate(models=("drums", "voice"), labels=("x", "y", "z"), parts=("z", "x"))
    (windows,) = windows_of(task, path)
    half = len(windows) // 2
    for part, model, hot in ((windows[:half], "drums", 2), (windows[half:], "voice", 0)):
        for window in part:
            assert window.model == model
            assert window.vector is not None
            assert int(window.vector.argmax()) == hot
    making = task.make(task.requests([path], 1)[0])
    with pytest.raises(StopIteration) as end:
        making.send([torch.zeros(1, window.samples) for window in next(making)])
    assert [(each.name, each.text) for each in end.value.value] == [("mix-z", "z"), ("mix-x", "x")]


def test_the_mixture_is_as_loud_as_so_many_sources(save: Save) -> None:
    (request,) = separate(sources=4).requests([save(draw())], 1)
    assert isinstance(request, Edited)
    assert float(request.lanes.square().mean().sqrt()) == pytest.approx(2 * 10 ** (-23 / 20))


def test_the_measurement_is_the_sum_for_each_group_of_sources(
    save: Save, space: Callable[[Task], LatentSpace]
) -> None:
    task = separate(normalize="none")
    (windows,) = windows_of(task, save(draw(2000), subtype="FLOAT"))
    known = task.measure(windows, space(task))
    assert known is not None and known.project is not None
    mixture = draw(2000) * 2**0.5
    sources = torch.stack([0.3 * mixture, 0.7 * mixture])
    torch.testing.assert_close(known.operator(sources), known.target)
    projected = known.project(torch.zeros_like(sources))
    torch.testing.assert_close(projected, torch.stack([mixture / 2] * 2))


def test_a_gaussian_likelihood_takes_each_source_its_share_of_the_power(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    path = save(draw(4000), subtype="FLOAT")
    guidance = Dps(normalization="gaussian")
    one, two = run(separate(level=0), [path], std=0.5, guidance=guidance, steps=24)
    assert float((one + two - draw(4000)).std()) < 0.1 * float(draw(4000).std())
    # Given their sum, two white sources of equal power are mixture / 2 +- an equal power.
    assert float((one - two).std()) == pytest.approx(float(draw(4000).std()), rel=0.15)


@pytest.mark.parametrize("option", ["models", "parts"])
def test_there_is_one_prior_for_each_source(option: str) -> None:
    with pytest.raises(ValidationError, match=rf"there are 2 sources and 1 {option}; name one"):
        separate(**{option: ("a",)})


def test_a_label_that_the_model_lacks_is_refused(save: Save) -> None:
    with pytest.raises(UsageError, match=r"there is no label 'drum', the model has drums, voice"):
        separate(labels=("drums", "voice"), parts=("drum", "voice")).requests([save(draw())], 2)
