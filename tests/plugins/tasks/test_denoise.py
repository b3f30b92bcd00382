from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import InputError, LatentSpace, Task, UsageError
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.tasks._estimates import noise_spectrum
from kernel_plugins.tasks.denoise import Denoise, Noisy

RATE = 8000
Save = Callable[..., Path]


def draw(samples: int = 8000, level: float = 0.02, seed: int = 0) -> Tensor:
    return level * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def bursts(samples: int = 8000, level: float = 0.2) -> Tensor:
    """Return a sound that is silent half of the time."""
    on = torch.arange(samples) % 2000 < 1000
    return draw(samples, level, seed=1) * on


def denoise(**options: object) -> Denoise:
    return Denoise.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def one(task: Denoise, path: Path) -> Noisy:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Noisy)
    return request


def decibels(power: float) -> float:
    return 10 * math.log10(power)


def test_the_level_of_the_noise_is_found_in_the_pauses(save: Save) -> None:
    noisy = bursts() + draw()
    request = one(denoise(normalize="none"), save(noisy, subtype="FLOAT"))
    level = decibels(float(request.spectrum.mean()))
    assert level == pytest.approx(decibels(0.02**2), abs=1.5)
    assert (request.spectrum == request.spectrum[0]).all()


def test_the_spectrum_of_the_noise_is_found() -> None:
    slope = torch.linspace(0, 2, 4001).sqrt()
    noise = torch.fft.irfft(torch.fft.rfft(draw()) * slope, 8000)
    found = noise_spectrum(noise + bursts(), 256)
    expected = torch.linspace(0, 2, 129) * 0.02**2
    torch.testing.assert_close(found, expected, rtol=0.4, atol=5e-5)
    assert found.shape == (129,)


def test_the_level_may_be_named(save: Save) -> None:
    path = save(bursts() + draw(), subtype="FLOAT")
    request = one(denoise(normalize="none", noise_db=-30), path)
    assert decibels(float(request.spectrum.mean())) == pytest.approx(-30)


def test_of_noise_at_a_higher_rate_the_models_rate_keeps_its_share(save: Save) -> None:
    path = save(bursts(16000) + draw(16000), rate=16000, subtype="FLOAT")
    request = one(denoise(normalize="none", noise_db=-30), path)
    assert decibels(float(request.spectrum.mean())) == pytest.approx(-33.01, abs=0.01)


def test_the_sound_without_the_noise_has_the_models_level(save: Save) -> None:
    path = save(bursts() + draw(level=0.1), subtype="FLOAT")
    request = one(denoise(noise_db=-20), path)
    power = float(request.lanes.square().mean()) - float(request.spectrum.mean())
    assert decibels(power) == pytest.approx(-23, abs=0.01)


@pytest.mark.parametrize("coloured", [False, True])
def test_what_is_left_of_the_true_sound_is_white_noise_of_the_level_told(
    save: Save, space: Callable[[Task], LatentSpace], coloured: bool
) -> None:
    truth, slope = bursts(4000), torch.linspace(0.2, 2, 2001).sqrt()
    noise = torch.fft.irfft(torch.fft.rfft(draw(4000)) * slope, 4000) if coloured else draw(4000)
    task = denoise(normalize="none", coloured=coloured)
    request = one(task, save(truth + noise, subtype="FLOAT"))
    known = task.measure(task.windows(request), space(task))
    assert known is not None and isinstance(known.noise, Tensor)
    left = known.target - known.operator(truth[None])
    assert decibels(float(left.square().mean() / known.noise.square())) == pytest.approx(0, abs=2)
    power = torch.fft.rfft(left).abs().square()[0, 0]
    assert decibels(float(power[1000:].mean() / power[:1000].mean())) == pytest.approx(0, abs=2)
    assert (known.operator(truth[None]).norm() <= truth.norm() * 1.0001).all()
    assert known.project is None


def test_a_run_is_the_posterior_mean_and_its_spread(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    truth, noise = draw(4000, 0.07, seed=2), draw(4000, 0.07, seed=3)
    path = save(truth + noise, subtype="FLOAT")
    task = denoise(noise_db=decibels(0.07**2), level=0)
    guidance = Dps(normalization="gaussian")
    first, second = run(task, [path], count=2, std=0.5, guidance=guidance, steps=24)
    # Of two equal variances the posterior has the mean y / 2 and half the variance.
    mean = (first + second) / 2
    slope = float((mean * (truth + noise)).sum() / (truth + noise).square().sum())
    assert slope == pytest.approx(0.5, abs=0.05)
    assert float((first - second).std()) / math.sqrt(2) == pytest.approx(
        0.07 / math.sqrt(2), rel=0.2
    )


def test_each_item_of_a_batch_has_its_own_noise(
    save: Save, space: Callable[[Task], LatentSpace]
) -> None:
    task = denoise()
    files = [save(bursts(4000) + draw(4000, level), f"{level}.wav") for level in (0.01, 0.05)]
    windows = [task.windows(one(task, path))[0] for path in files]
    both = task.measure(windows, space(task))
    assert both is not None and isinstance(both.noise, Tensor)
    for index, window in enumerate(windows):
        alone = task.measure([window], space(task))
        assert alone is not None
        torch.testing.assert_close(both.target[index], alone.target[0])
        torch.testing.assert_close(both.noise[index], alone.noise[0])  # type: ignore[index]


def test_a_projection_onto_noise_is_refused(save: Save, run: Callable[..., list[Tensor]]) -> None:
    with pytest.raises(
        UsageError, match=r"needs a task with a projection and this task has none; use"
    ):
        run(denoise(), [save(bursts() + draw())], guidance=Projection())


def test_noise_as_loud_as_everything_is_refused(save: Save) -> None:
    path = save(draw(level=0.1))
    with pytest.raises(InputError, match=r"song.wav is as loud as all of it.*task.noise_db"):
        denoise(noise_db=-10).requests([path], 1)
