"""Set metrics against closed forms, and against what a set of sounds should score."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import kernel
from kernel.audio import write_audio
from kernel_plugins.mathematics.sets import (
    frechet,
    frechet_infinity,
    kernel_distance,
    neighbourhoods,
)


def normal(count: int, width: int, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=draws, dtype=torch.float64)


def exactly(mean: Tensor, root: Tensor, count: int, seed: int) -> Tensor:
    """Return vectors whose sample mean and covariance are `mean` and root root^T, exactly."""
    white = normal(count, len(mean), seed)
    white = white - white.mean(0)
    spread = torch.cov(white.T).reshape(len(mean), len(mean))
    white = white @ torch.linalg.inv(torch.linalg.cholesky(spread)).T
    return mean + white @ root.T


@pytest.mark.parametrize("width", [1, 3, 8])
def test_the_frechet_distance_of_gaussians_is_the_closed_form(width: int) -> None:
    one, other = normal(1, width, 1)[0], normal(1, width, 2)[0]
    rotation = torch.linalg.qr(normal(width, width, 3)).Q
    small, large = torch.linspace(0.5, 2, width).double(), torch.linspace(3, 1, width).double()
    # Covariances that commute: the distance of their deviations (Dowson and Landau 1982, eq. 16).
    left = exactly(one, rotation * small, 50, 4)
    right = exactly(other, rotation * large, 70, 5)
    wanted = (one - other).square().sum() + (small - large).square().sum()
    torch.testing.assert_close(frechet(left, right), wanted)


def test_the_frechet_distance_of_covariances_that_do_not_commute() -> None:
    scipy = pytest.importorskip("scipy.linalg")
    left, right = (normal(40, 5, seed) @ normal(5, 5, seed + 9) for seed in (0, 1))
    covariances = [torch.cov(each.T).numpy() for each in (left, right)]
    root = scipy.sqrtm(covariances[0] @ covariances[1]).real
    means = (left.mean(0) - right.mean(0)).square().sum()
    wanted = means + sum(each.trace() for each in covariances) - 2 * root.trace()
    torch.testing.assert_close(frechet(left, right), torch.as_tensor(wanted))


def test_a_set_has_no_distance_to_itself_even_where_it_is_flat() -> None:
    flat = torch.cat([normal(30, 2, 0), torch.zeros(30, 3, dtype=torch.float64)], 1)
    assert float(frechet(flat, flat)) == pytest.approx(0, abs=1e-12)


def test_the_extrapolated_distance_has_less_bias() -> None:
    width, many = 8, normal(20000, 8, 0)
    plain, infinite = [], []
    for seed in range(20):
        few = normal(200, width, seed + 1)
        plain.append(float(frechet(few, many)))
        draws = torch.Generator().manual_seed(seed)
        infinite.append(float(frechet_infinity(few, many, draws)))
    # Both sets have one distribution: the true distance is 0.
    mean = sum(plain) / 20
    assert mean > 0.1
    assert abs(sum(infinite) / 20) < 0.25 * mean


def test_the_kernel_distance_is_unbiased_and_equals_its_definition() -> None:
    left, right = normal(6, 3, 0), normal(5, 3, 1) + 1

    def k(x: Tensor, y: Tensor) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [
        sum(k(x, y) for i, x in enumerate(each) for j, y in enumerate(each) if i != j)
        / (len(each) * (len(each) - 1))
        for each in (left, right)
    ]
    across = sum(k(x, y) for x in left for y in right) / 30
    assert float(kernel_distance(left, right)) == pytest.approx(sum(within) - 2 * across)
    trials = [float(kernel_distance(normal(30, 3, s), normal(30, 3, s + 500))) for s in range(200)]
    deviation = torch.tensor(trials).std() / math.sqrt(200)
    assert abs(sum(trials) / 200) < 4 * deviation


def test_neighbourhoods_of_known_sets() -> None:
    line = torch.arange(10, dtype=torch.float64)[:, None]
    same = neighbourhoods(line, line, 1)
    assert {name: float(value) for name, value in same.items()} == pytest.approx(
        {"precision": 1, "recall": 1, "density": 2.8, "coverage": 1}
    )
    far = neighbourhoods(line + 100, line, 1)
    assert not any(float(value) for value in far.values())
    half = neighbourhoods(line[:5], line, 1)
    assert float(half["precision"]) == 1
    # References 0 to 5 lie within 1 of one of 0 to 4.
    assert float(half["recall"]) == pytest.approx(0.6)
    assert float(half["coverage"]) == pytest.approx(0.6)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return references, sounds of the same kind and of other numbers and names, and noise."""
    time = torch.arange(4000) / 8000
    draws = torch.Generator().manual_seed(0)

    def tone() -> Tensor:
        low = 200 + 800 * torch.rand((), generator=draws)
        noise = torch.randn(4000, generator=draws)
        return 0.2 * torch.sin(2 * math.pi * low * time) + 0.01 * noise

    made = {
        "references": [tone() for _ in range(24)],
        "alike": [tone() for _ in range(16)],
        "noise": [0.2 * torch.rand(4000, generator=draws) for _ in range(16)],
    }
    for name, sounds in made.items():
        (tmp_path / name).mkdir()
        for number, sound in enumerate(sounds):
            write_audio(tmp_path / name / f"{name}-{number}.wav", sound[None], 8000)
    return tmp_path / "references", tmp_path / "alike", tmp_path / "noise"


METRICS = ["frechet", "kernel-distance", "neighbours"]


def test_sounds_of_the_same_kind_score_better_than_noise(
    folders: tuple[Path, Path, Path],
) -> None:
    references, alike, noise = folders
    options = {f"metric.{name}.encoder": "timbre" for name in METRICS}

    def scores(sounds: Path) -> dict[str, float]:
        found = kernel.evaluate(sounds, METRICS, reference=references, options=options)
        assert not found["warnings"]
        return {row["name"]: row["value"] for row in found["scores"]}

    good, bad = scores(alike), scores(noise)
    assert good["frechet"] < 0.2 * bad["frechet"]
    assert good["kernel-distance"] < 0.2 * bad["kernel-distance"]
    assert good["neighbours.recall"] > bad["neighbours.recall"] == 0
    assert good["neighbours.coverage"] > bad["neighbours.coverage"] == 0


def test_a_set_that_is_too_small_has_no_score_and_a_note(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    references, alike, _ = folders
    (alone,) = sorted(alike.iterdir())[:1]
    found = kernel.evaluate(alone, ["neighbours"], reference=references)
    assert found["scores"][0]["value"] is None
    assert "1 sounds are too few, 4 are needed" in found["warnings"][0]


def test_a_run_has_no_set_of_references(folders: tuple[Path, Path, Path]) -> None:
    with pytest.raises(kernel.UsageError, match="needs 'references'.* compare folders with"):
        kernel.evaluate(folders[1], ["frechet"])
