from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from kernel import InputError, LatentSpace, Task
from kernel_plugins.tasks._bridge import bridged
from kernel_plugins.tasks._estimates import clip_bounds, clip_loss
from kernel_plugins.tasks.declip import Clipped, Declip

RATE = 8000
Save = Callable[..., Path]


def sound(samples: int = 4000, channels: int = 1, level: float = 0.2, rate: int = RATE) -> Tensor:
    time = torch.arange(samples) / rate
    tones = [torch.sin(2 * torch.pi * (210 + 90 * c) * time) for c in range(channels)]
    beats = 0.6 + 0.4 * torch.sin(2 * torch.pi * 3 * time)
    return level * beats * torch.stack(tones)


def declip(**options: object) -> Declip:
    given = {"sample_rate": RATE, "seconds": 0.25, "lost": 0, **options}
    return Declip.model_validate(given)


def one(task: Declip, path: Path) -> Clipped:
    (request,) = task.requests([path], 1)
    assert isinstance(request, Clipped)
    return request


def test_the_bounds_of_each_channel_and_side_are_found() -> None:
    audio = sound(channels=2)
    audio = torch.stack([audio[0].clamp(-0.1, 0.15), audio[1].clamp(max=0.05)])
    low, high = clip_bounds(audio)
    torch.testing.assert_close(high, torch.tensor([[0.15], [0.05]]))
    torch.testing.assert_close(low, torch.tensor([[-0.1], [-torch.inf]]))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_samples_that_are_not_clipped_are_returned_exactly(
    save: Save, run: Callable[..., list[Tensor]], subtype: str
) -> None:
    path = save(sound().clamp(-0.1, 0.1), subtype=subtype)
    before = one(declip(), path).sound
    (found,) = run(declip(), [path])
    clipped = before.abs() >= before.max()
    assert 0.1 < clipped.float().mean() < 0.6
    assert torch.equal(found[~clipped], before[~clipped])
    assert (found[clipped].abs() >= 0.1 - 1e-4).all()
    assert torch.equal(found[clipped].sign(), before[clipped].sign())


def test_samples_are_exact_at_another_rate_and_with_more_channels(
    save: Save, run: Callable[..., list[Tensor]]
) -> None:
    path = save(sound(9000, 2, rate=22050).clamp(-0.1, 0.1), rate=22050)
    before = one(declip(), path).sound
    (found,) = run(declip(), [path])
    clipped = before.abs() >= before.max()
    assert found.shape == before.shape
    assert torch.equal(found[~clipped], before[~clipped])
    assert (found[clipped].abs() >= 0.1 - 1e-4).all()


def test_one_side_may_be_clipped_alone(save: Save, run: Callable[..., list[Tensor]]) -> None:
    path = save(sound().clamp(max=0.1))
    before = one(declip(), path).sound
    (found,) = run(declip(), [path])
    assert torch.equal(found[before < before.max()], before[before < before.max()])


def test_the_measurement_holds_for_the_sound_before_it_was_clipped(
    save: Save, space: Callable[[Task], LatentSpace]
) -> None:
    task = declip(normalize="none")
    truth = sound(2000)
    request = one(task, save(truth.clamp(-0.1, 0.1), subtype="FLOAT"))
    known = task.measure(task.windows(request), space(task))
    assert known is not None and known.project is not None
    torch.testing.assert_close(known.operator(truth[None]), known.target)
    torch.testing.assert_close(known.project(truth[None]), truth[None])
    projected = known.project(torch.zeros_like(truth)[None])
    torch.testing.assert_close(projected[0], truth.clamp(-0.1, 0.1))


def test_a_restored_peak_may_exceed_full_scale(save: Save) -> None:
    truth = sound(2000, level=1.5)
    task = declip()
    request = one(task, save(truth.clamp(-1, 1), subtype="FLOAT"))
    finished = task.finish(truth * request.gain, request)
    torch.testing.assert_close(finished, truth, rtol=0, atol=1e-5)
    assert finished.abs().max() > 1.2


def test_the_threshold_may_be_named(save: Save) -> None:
    path = save(sound(), subtype="FLOAT")
    request = one(declip(threshold=0.15), path)
    assert request.known is not None
    assert torch.equal(request.known, sound().abs() < 0.15)


def test_the_level_may_be_lowered_by_what_clipping_took(save: Save) -> None:
    path = save(sound().clamp(-0.1, 0.1))
    plain, lower = one(declip(lost=0), path), one(declip(lost=6), path)
    assert lower.gain == pytest.approx(plain.gain * 10**-0.3)
    torch.testing.assert_close(lower.lanes, plain.lanes * 10**-0.3)


def test_the_loss_is_that_of_gamma_distributed_amplitudes() -> None:
    draws = torch.distributions.Gamma(0.5, 1.0)
    torch.manual_seed(0)
    amplitudes = draws.sample((200_000,)).double()
    for bound in (0.1, 0.5, 2.0):
        share = float((amplitudes >= bound).double().mean())
        left = amplitudes.clamp(max=bound).square().mean() / amplitudes.square().mean()
        assert clip_loss(share) == pytest.approx(float(-10 * left.log10()), abs=0.1)


def test_the_level_is_that_of_the_sound_before_it_was_clipped(save: Save) -> None:
    audio = sound().clamp(-0.1, 0.1)
    request = one(declip(lost=None), save(audio, subtype="FLOAT"))
    assert request.known is not None
    lost = clip_loss(1 - float(request.known.float().mean()))
    level = 20 * torch.log10(request.gain * audio.square().mean().sqrt())
    assert float(level) == pytest.approx(-23 - lost, abs=1e-3)


def test_what_is_not_clipped_is_refused(save: Save) -> None:
    path = save(sound())
    with pytest.raises(InputError, match=r"nothing in .*song.wav is clipped; name the value"):
        declip().requests([path], 1)
    with pytest.raises(InputError, match=r"is clipped at 0.5; name the value"):
        declip(threshold=0.5).requests([path], 1)


def test_what_is_clipped_everywhere_is_refused(save: Save) -> None:
    path = save(0.3 * sound().sign())
    with pytest.raises(InputError, match=r"song.wav is clipped everywhere, in 100% of its samples"):
        declip().requests([path], 1)


def test_silence_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"song.wav is silent"):
        declip().requests([save(torch.zeros(1, 100))], 1)


def test_a_gap_is_fitted_to_both_of_its_sides() -> None:
    known = torch.tensor([[False, True, True, False, False, False, True, False]])
    made = torch.full((1, 8), 5.0)
    there = torch.tensor([[9.0, 6.0, 7.0, 9.0, 9.0, 9.0, 3.0, 9.0]])
    expected = torch.tensor([[6.0, 6, 7, 6, 5, 4, 3, 3]])
    torch.testing.assert_close(bridged(there, made, known), expected)


def test_a_written_file_holds_the_same_integers(
    save: Save, run: Callable[..., list[Tensor]], tmp_path: Path
) -> None:
    path = save(sound().clamp(-0.1, 0.1))
    run(declip(), [path])
    before, _ = soundfile.read(path, dtype="int16")
    after, _ = soundfile.read(tmp_path / "out" / "song.wav", dtype="int16")
    kept = abs(before) < before.max()
    assert (before[kept] == after[kept]).all()
