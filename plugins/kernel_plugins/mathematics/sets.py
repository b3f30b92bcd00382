"""Distances between two sets of vectors, each [N, M] in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [M] and the unbiased covariance [M, M]."""
    return vectors.mean(0), torch.cov(vectors.T).reshape(vectors.shape[1], -1)


def frechet(vectors: Tensor, others: Tensor) -> Tensor:
    """Return the squared Frechet distance of Gaussians fitted to two sets.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982, eq. 16; Heusel et al. 2017,
    eq. 6). The trace of the root is the sum of the singular values of R1^T R2, where S = R R^T.
    """
    (mean, covariance), (other, spread) = gaussian(vectors), gaussian(others)
    roots: Tensor = torch.linalg.svdvals(_root(covariance).T @ _root(spread))
    apart = (mean - other).square().sum()
    return apart + covariance.trace() + spread.trace() - 2 * roots.sum()


def frechet_infinity(vectors: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Return the Frechet distance that sets `vectors` of infinite size would have.

    The distance of N vectors is nearly linear in 1 / N. A line is fitted to 15 random subsets, from
    a tenth of the vectors, but at least 8 M, to all of them; its value at 1 / N = 0 is returned
    (Chong and Forsyth 2020, section 4).
    """
    count = len(vectors)
    fewest = min(count, max(count // 10, 8 * vectors.shape[1]))
    sizes = torch.linspace(fewest, count, 15).long()
    distances = torch.stack(
        [frechet(vectors[torch.randperm(count, generator=generator)[:n]], others) for n in sizes]
    )
    design = torch.stack([torch.ones(15).double(), 1 / sizes.double()], 1).to(vectors)
    line: Tensor = torch.linalg.lstsq(design, distances[:, None]).solution
    return line[0, 0]


def kernel_distance(vectors: Tensor, others: Tensor) -> Tensor:
    """Return the unbiased squared maximum mean discrepancy under (x . y / M + 1)^3.

    Binkowski et al. 2018, eq. 4 and section 3.1; Gretton et al. 2012, eq. 3. It may be negative.
    """

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return (left @ right.T / left.shape[1] + 1).pow(3)

    def within(each: Tensor) -> Tensor:
        values = kernel(each, each)
        return (values.sum() - values.trace()) / (len(each) * (len(each) - 1))

    return within(vectors) + within(others) - 2 * kernel(vectors, others).mean()


def neighbourhoods(vectors: Tensor, others: Tensor, nearest: int) -> dict[str, Tensor]:
    """Return precision, recall, density and coverage of `vectors` against real `others`.

    Kynkaanniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 3 and 4. A neighbourhood reaches
    to the `nearest`-th neighbour within the same set.
    """
    across = torch.cdist(others, vectors)
    real, made = (_radii(each, nearest) for each in (others, vectors))
    inside = across <= real[:, None]
    return {
        "precision": inside.any(0).double().mean(),
        "recall": (across <= made).any(1).double().mean(),
        "density": inside.sum(0).double().mean() / nearest,
        "coverage": (across.amin(1) <= real).double().mean(),
    }


def _radii(vectors: Tensor, nearest: int) -> Tensor:
    return torch.cdist(vectors, vectors).kthvalue(nearest + 1, dim=1).values


def _root(matrix: Tensor) -> Tensor:
    """Return R with R R^T = matrix, which is symmetric and may be singular."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root
