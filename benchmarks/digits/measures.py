"""The mathematics of the judge: intervals, distances between clouds of features, nearest items."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RIDGE = 1e-6
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5)
SUSPECT = 0.08


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's interval of a proportion, at 95 % unless `z` says otherwise.

    Wilson 1927; unlike the normal interval it stays within [0, 1] and is not empty at 0 or 1.
    """
    if count == 0:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def frechet(first: Tensor, second: Tensor) -> float:
    """Return the squared Frechet distance of two Gaussians fitted to [N, D] and [M, D] features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) (Dowson and Landau 1982), with unbiased
    covariances. RIDGE times the identity is added to both, so that fewer items than features do
    no harm; the symmetric roots come from eigenvalues, negative rounding errors taken as 0.
    """
    first, second = first.double(), second.double()
    if min(len(first), len(second)) < 2:
        raise ValueError("a Frechet distance needs two items or more on both sides")
    eye = RIDGE * torch.eye(first.shape[1], dtype=torch.float64)
    one, two = first.T.cov().view_as(eye) + eye, second.T.cov().view_as(eye) + eye
    values, vectors = torch.linalg.eigh(one)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    return max(0.0, float(shift + one.trace() + two.trace() - 2 * cross))


def jackknife(measure: Callable[[Tensor], float], items: Tensor, blocks: int = 20) -> float:
    """Return the standard error of `measure` of items [N, ...], leaving out a block at a time.

    Efron and Stein 1981, section 1. Blocks are runs of neighbours, so that items that take turns,
    as digits do, take turns in every block.
    """
    index = torch.arange(len(items)) * blocks // len(items)
    values = torch.tensor([measure(items[index != block]) for block in range(blocks)])
    return float(((blocks - 1) * values.double().var(correction=0)).sqrt())


def inception(chances: Tensor) -> float:
    """Return exp E KL(p(y|x) | p(y)) of probabilities [N, K]: 1 (all alike) to K (sure and varied).

    Salimans et al. 2016, in one split.
    """
    chances = chances.double()
    entropy = -torch.special.xlogy(chances, chances).sum(1).mean()
    marginal = chances.mean(0)
    return float((-torch.special.xlogy(marginal, marginal).sum() - entropy).exp())


def spread(features: Tensor, digits: Tensor) -> float:
    """Return the mean distance of two items of one digit; near 0 when a class has collapsed."""
    distances = []
    for digit in torch.unique(digits):
        pairs = torch.pdist(features[digits == digit].double())
        distances += [pairs] if len(pairs) else []
    return float(torch.cat(distances).mean()) if distances else math.nan


def nearest(items: Tensor, library: Tensor, shifts: int = 0) -> tuple[Tensor, Tensor]:
    """Return each item's distance to its nearest in `library`, and which: [N, ...] -> [N], [N].

    The distance is the root mean square over all values (dB for log-mel spectrograms). With
    `shifts`, items are also tried up to that many frames (last axis) earlier and later.
    """
    columns = library.flatten(1).double()
    best = torch.full((len(items),), math.inf, dtype=torch.float64)
    which = torch.zeros(len(items), dtype=torch.long)
    for shift in range(-shifts, shifts + 1):
        rows = (items.roll(shift, -1) if shift else items).flatten(1).double()
        mode = "donot_use_mm_for_euclid_dist" if rows.shape[1] <= 64 else "use_mm_for_euclid_dist"
        values, places = torch.cdist(rows, columns, compute_mode=mode).min(1)
        which = torch.where(values < best, places, which)
        best = best.minimum(values)
    return best / math.sqrt(columns.shape[1]), which


def copies(generated: Tensor, real: Tensor) -> dict[str, object]:
    """Compare distances to the nearest training item: of generated items and of real unseen ones.

    `closer` is the share of generated items below the 1 % quantile of the real ones; `copied` are
    the places of those nearer than half the nearest real one. `suspect` is true when there is any
    of these or when `closer` exceeds SUSPECT, which 100 or more honest samples do in fewer than
    1 of 100 runs, by simulation (the 1 % quantile of 150 real items is itself uncertain).
    """
    points = torch.tensor(QUANTILES, dtype=torch.float64)
    limits = real.quantile(points)
    closer = float((generated < limits[QUANTILES.index(0.01)]).double().mean())
    copied = (generated < limits[0] / 2).nonzero().flatten().tolist()
    return {
        "generated": generated.quantile(points).tolist(),
        "real": limits.tolist(),
        "closer": closer,
        "copied": copied,
        "suspect": bool(copied) or closer > SUSPECT,
    }
