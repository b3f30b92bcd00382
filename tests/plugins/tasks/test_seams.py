from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kernel_plugins.tasks._seams import mended, runs

RATE, FADE = 8000, 80
EDGES = (3000, 5000)
KNOWN = torch.ones(1, RATE, dtype=torch.bool)
KNOWN[:, slice(*EDGES)] = False


def tones(phase: float = 0.0) -> Tensor:
    time = torch.arange(RATE) / RATE
    return sum(
        gain * torch.sin(2 * math.pi * f * time + gain + phase)
        for gain, f in ((0.3, 440), (0.2, 733))
    )[None]


def noise(seed: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(1, RATE, generator=torch.Generator().manual_seed(seed))


def bend(sound: Tensor) -> float:
    """Return the largest second difference, which a click makes large."""
    return float(sound.diff(n=2).abs().max())


def plucks(phase: float = 0.0) -> Tensor:
    """Return eight decaying notes of five harmonics, none of which starts at an edge."""
    time = torch.arange(RATE) / RATE
    sound = torch.zeros(RATE)
    for note in range(9):
        since = time - note / 8 + 0.06
        pitch = 330 * 2 ** (note * 5 % 12 / 12)
        rise = 0.3 * (since >= 0) * (1 - torch.exp(-since / 0.001)) * torch.exp(-since / 0.08)
        sound += rise.nan_to_num() * sum(
            torch.sin(2 * math.pi * pitch * k * since + phase * k) / k for k in range(1, 6)
        )
    return sound[None]


def flux(sound: Tensor, above: int = 0) -> Tensor:
    """Return the rise of the magnitudes from frame to frame, in bins from `above` on: [T]."""
    window = torch.hann_window(256)
    spectrum = torch.stft(sound[0], 256, 64, window=window, return_complex=True).abs()
    return spectrum[above:].diff(dim=1).relu().sum(0)


WRONG = {
    "offset": tones() + 0.1,
    "softer": tones() * 0.7,
    "later": tones(0.5),
    "unlike": noise(3),
}


@pytest.mark.parametrize("replaced", [False, True], ids=["everywhere", "in the gap"])
@pytest.mark.parametrize("fault", ["offset", "softer", "later"])
def test_tones_join_without_a_click(fault: str, replaced: bool) -> None:
    sound = tones()
    made = torch.where(KNOWN, sound, WRONG[fault]) if replaced else WRONG[fault]
    found = mended(sound, made, KNOWN, FADE)
    assert bend(found) < 1.05 * bend(sound)
    # The tones have nothing above 2 kHz, a click has.
    raw = torch.where(KNOWN, sound, made)
    assert flux(found, above=64)[10:-10].max() < 0.02 * flux(raw, above=64)[10:-10].max()


@pytest.mark.parametrize("replaced", [False, True], ids=["everywhere", "in the gap"])
@pytest.mark.parametrize("fault", ["offset", "softer", "later", "other"])
def test_seams_of_notes_have_no_peak_of_spectral_flux(fault: str, replaced: bool) -> None:
    sound = plucks()
    made = {
        "offset": sound + 0.2,
        "softer": sound * 0.5,
        "later": plucks(0.7),
        "other": tones(),
    }[fault]
    made = torch.where(KNOWN, sound, made) if replaced else made
    found = flux(mended(sound, made, KNOWN, FADE))
    near = [t for edge in EDGES for t in range(edge // 64 - 3, edge // 64 + 4)]
    assert found[near].max() < 0.7 * torch.quantile(flux(sound), 0.99)


@pytest.mark.parametrize("fault", WRONG)
def test_known_samples_are_returned_as_they_are(fault: str) -> None:
    found = mended(tones(), WRONG[fault], KNOWN, FADE)
    assert torch.equal(found[KNOWN], tones()[KNOWN])


@pytest.mark.parametrize("fault", WRONG)
def test_far_from_the_edges_the_gap_is_as_it_was_made(fault: str) -> None:
    made = WRONG[fault]
    found = mended(tones(), made, KNOWN, FADE)
    inner = slice(EDGES[0] + FADE, EDGES[1] - FADE)
    assert torch.equal(found[:, inner], made[:, inner])


def test_what_agrees_already_is_left_alone() -> None:
    torch.testing.assert_close(mended(tones(), tones(), KNOWN, FADE), tones(), rtol=0, atol=1e-5)


def test_the_difference_at_the_edge_is_mirrored_into_the_gap() -> None:
    sound = noise(5).double()
    found = mended(sound, 0.8 * sound, KNOWN, FADE)
    time = torch.arange(1, FADE + 1, dtype=torch.float64)
    fading = (math.pi / 2 * time / (FADE + 1)).cos().square()
    start = EDGES[0]
    mirrored = sound[0, start - FADE : start].flip(0)
    wanted = 0.8 * sound[0, start : start + FADE] + fading * 0.2 * mirrored
    torch.testing.assert_close(found[0, start : start + FADE], wanted, rtol=0, atol=1e-8)


def test_unlike_noise_keeps_its_power_across_the_edge() -> None:
    power = torch.zeros(2 * FADE, dtype=torch.float64)
    for seed in range(150):
        found = mended(noise(seed), noise(seed + 1000), KNOWN, FADE)
        power += found[0, EDGES[0] - FADE : EDGES[0] + FADE].double().square() / 150
    share = power.view(-1, 20).mean(1) / 0.01
    assert share.min() > 0.85
    assert share.max() < 1.15


def test_noise_is_not_taken_for_a_step() -> None:
    sound, made = noise(1), torch.where(KNOWN, noise(1), noise(2))
    torch.testing.assert_close(mended(sound, made, KNOWN, FADE), made, rtol=0, atol=1e-6)


def test_what_is_made_keeps_its_level() -> None:
    found = mended(tones(), torch.full((1, RATE), -3.0), KNOWN, FADE)
    assert torch.equal(found[KNOWN], tones()[KNOWN])
    assert float(found[~KNOWN].min()) == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize(
    "gaps",
    [[(0, 50)], [(7950, 8000)], [(100, 101), (102, 103)], [(10, 12), (40, 400)], [(0, 8000)]],
)
def test_gaps_may_be_short_and_near_and_at_the_ends(gaps: list[tuple[int, int]]) -> None:
    known = torch.ones(1, RATE, dtype=torch.bool)
    for start, stop in gaps:
        known[:, start:stop] = False
    found = mended(tones(), tones(0.2), known, FADE)
    assert found.isfinite().all()
    assert torch.equal(found[known], tones()[known])
    assert list(runs(~known[0])) == gaps


def test_channels_may_have_gaps_of_their_own() -> None:
    sound = torch.cat([tones(), tones(1.0)])
    known = torch.cat([KNOWN, torch.ones_like(KNOWN)])
    found = mended(sound, sound + 0.1, known, FADE)
    assert torch.equal(found[1], sound[1])
    assert bend(found[:1]) < 1.1 * bend(sound[:1])
