from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernel import InputError, LatentSpace, Task, UsageError, resample
from kernel_plugins.tasks._estimates import cutoff
from kernel_plugins.tasks.bandwidth import Bandwidth, Narrow

RATE = 8000
Save = Callable[..., Path]


def white(samples: int = 8000, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def below(audio: Tensor, frequency: float, rate: int = RATE) -> Tensor:
    spectrum = torch.fft.rfft(audio)
    kept = torch.linspace(0, rate / 2, spectrum.shape[-1]) <= frequency
    return torch.fft.irfft(spectrum * kept, audio.shape[-1])


def bandwidth(**options: object) -> Bandwidth:
    return Bandwidth.model_validate({"sample_rate": RATE, "seconds": 0.5, **options})


def one(task: Bandwidth, path: Path) -> Narrow:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Narrow)
    return request


@pytest.mark.parametrize("frequency", [700, 1500, 2000, 3000])
def test_the_cutoff_is_found(frequency: int) -> None:
    found = cutoff(below(white(), frequency), RATE)
    assert found == pytest.approx(frequency, abs=80)


def test_no_cutoff_is_found_where_there_is_none() -> None:
    assert cutoff(white(), RATE) is None
    slope = torch.fft.irfft(torch.fft.rfft(white()) / torch.arange(1, 4002), 8000)
    assert cutoff(slope, RATE) is None
    assert cutoff(white(6), RATE) is None


def test_a_file_of_a_lower_rate_is_returned_at_the_models(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    narrow = resample(white(), RATE, 4000)
    path = save(narrow, rate=4000, subtype="FLOAT")
    request = one(bandwidth(), path)
    assert request.sample_rate == RATE
    assert request.cutoff == pytest.approx(0.94 * 2000)
    (found,) = run(bandwidth(), [path])
    assert found.shape == (1, 8000)
    raised = resample(narrow, 4000, RATE)
    torch.testing.assert_close(below(found, 1875), below(raised, 1875), rtol=0, atol=1e-6)
    assert (found - below(found, 1900)).std() > 0.02


def test_what_is_below_the_cutoff_is_kept_at_the_files_own_rate(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    narrow = below(white(16000), 2000, 16000)
    path = save(narrow, rate=16000, subtype="FLOAT")
    (found,) = run(bandwidth(cutoff=2000), [path])
    assert found.shape == narrow.shape
    torch.testing.assert_close(below(found, 2000, 16000), narrow, rtol=0, atol=1e-6)
    new = found - below(found, 2100, 16000)
    assert below(new, 3700, 16000).std() > 0.02 > 1e-3 > (new - below(new, 4300, 16000)).std()


def test_low_frequencies_are_kept_where_the_sound_becomes_too_loud(save: Save) -> None:
    loud = white() / float(white().abs().max())
    request = one(bandwidth(cutoff=2000), save(below(loud, 2000), subtype="FLOAT"))
    found = bandwidth().finish(50 * white(seed=1) * request.gain, request)
    assert float(found.abs().max()) > 2
    torch.testing.assert_close(below(found, 1990), below(loud, 1990), rtol=0, atol=1e-4)


def test_the_measurement_is_that_of_the_whole_sound(
    save: Save, space: Callable[[Task], LatentSpace]
) -> None:
    truth = white(4000)
    task = bandwidth(cutoff=1500, normalize="none")
    request = one(task, save(below(truth, 1500), subtype="FLOAT"))
    known = task.measure(task.windows(request), space(task))
    assert known is not None and known.project is not None
    torch.testing.assert_close(known.operator(truth[None]), known.target, rtol=0, atol=1e-6)
    torch.testing.assert_close(known.project(truth[None]), truth[None], rtol=0, atol=1e-6)


def test_a_cutoff_above_half_the_files_rate_is_refused(save: Save) -> None:
    with pytest.raises(UsageError, match=r"song.wav has no frequencies above 4000 Hz.* 5000 Hz"):
        bandwidth(cutoff=5000).requests([save(white())], 1)


def test_a_cutoff_above_what_the_model_knows_is_refused(save: Save) -> None:
    path = save(white(), rate=16000)
    with pytest.raises(UsageError, match=r"up to 5000 Hz and the model knows none above 4000 Hz"):
        bandwidth(cutoff=5000).requests([path], 1)


def test_a_file_that_is_not_cut_off_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"song.wav is not cut off at any frequency; name one"):
        bandwidth().requests([save(white())], 1)
