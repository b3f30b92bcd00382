"""`denoise`: its weights, against the formulas of the papers, for every objective."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kernel import Batch, Condition, Objective, Parts
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.eps import Eps
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.rf import Rf
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.objectives.v import V
from kernel_plugins.objectives.ve import Ve
from kernel_plugins.objectives.vp import Vp
from kernel_plugins.objectives.x0 import X0
from kernel_plugins.recipes.denoise import Denoise

KINDS = (Bbed, Edm, Eps, Ouve, Rf, SbVe, V, Ve, Vp, X0)
SIGMAS = (0.01, 0.3, 1.0, 5.0, 80.0)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.lower())


def weights(objective: Objective, **options: Any) -> list[float]:
    """Return the weight at SIGMAS."""
    batch = torch.tensor(SIGMAS, dtype=torch.float64)
    return (0 * batch + Denoise(**options).weight(objective, batch)).tolist()


@kinds
def test_none_counts_every_error_of_x0_the_same(kind: type[Objective]) -> None:
    assert weights(kind(), weighting="none") == [1.0] * len(SIGMAS)


@kinds
@pytest.mark.parametrize("data", [0.5, 1.0])
@pytest.mark.parametrize("gamma", [None, 1.0])
def test_min_snr_weighs_x0_with_the_ratio_up_to_gamma(
    kind: type[Objective], data: float, gamma: float | None
) -> None:
    """Hang et al. 2023, section 3.4: min(SNR, gamma) |x0 - D|^2, for data of unit variance."""
    limit = 5.0 if gamma is None else gamma
    wanted = [min((data / sigma) ** 2, limit) / data**2 for sigma in SIGMAS]
    found = weights(kind(sigma_data=data), weighting="min-snr", gamma=gamma)
    assert found == pytest.approx(wanted)


@kinds
@pytest.mark.parametrize("gamma", [None, 0.5])
def test_p2_weighs_noise_less_where_there_is_little(
    kind: type[Objective], gamma: float | None
) -> None:
    """Choi et al. 2022, eq. 8 with k = 1: the weight 1 / (1 + SNR)^gamma on the noise."""
    power = 1.0 if gamma is None else gamma
    # The error of x0 is sigma times that of the noise.
    wanted = [1 / (1 + sigma**-2) ** power / sigma**2 for sigma in SIGMAS]
    found = weights(kind(sigma_data=1.0), weighting="p2", gamma=gamma)
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("objective", "wanted"),
    [
        (Bbed(), lambda s: s**-2),
        (Edm(), lambda s: (s**2 + 0.25) / (0.5 * s) ** 2),
        (Eps(), lambda s: s**-2),
        (Ouve(), lambda s: s**-2),
        (Rf(), lambda s: (1 + s) ** 2 / s**2),
        (SbVe(), lambda s: 1.0),
        (V(), lambda s: (1 + s**2) / s**2),
        (Ve(), lambda s: s**-2),
        (Vp(), lambda s: s**-2),
        (X0(), lambda s: 1.0),
    ],
    ids=lambda value: type(value).__name__.lower() if isinstance(value, Objective) else "",
)
@pytest.mark.parametrize("weighting", ["unit", "learned"])
def test_unit_is_the_weight_of_the_paper(objective, wanted, weighting) -> None:
    """Karras et al. 2022, Table 1 and section 5; the others as their papers state the loss."""
    found = weights(objective, weighting=weighting)
    assert found == pytest.approx([wanted(sigma) for sigma in SIGMAS])


@kinds
@pytest.mark.parametrize("weighting", ["unit", "none", "min-snr", "p2"])
def test_the_loss_is_the_weight_times_the_error_of_x0(
    kind: type[Objective], weighting: str
) -> None:
    objective, recipe = kind(), Denoise(weighting=weighting)
    draws = torch.Generator().manual_seed(0)
    x0, output, y = torch.randn(3, 5, 2, 8, generator=draws, dtype=torch.float64)
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)

    def denoiser(network: object) -> Any:
        def denoise(x: torch.Tensor, sigma: Any, condition: Condition) -> torch.Tensor:
            return objective.denoise(lambda *_: output[: len(x)], x, sigma, None, condition.origin)

        return denoise

    parts = Parts(
        objective=objective,
        schedule=SimpleNamespace(draw=lambda count, generator: sigma),
        network=torch.nn.Linear(1, 1),
        denoiser=denoiser,
        **dict.fromkeys(("task", "latent", "codec", "build_network", "evaluate")),
        **dict.fromkeys(("model", "average", "jvp")),
    )

    def batch() -> Batch:
        own = [torch.Generator().manual_seed(row) for row in range(5)]
        condition = Condition(origin=y)
        return Batch(x0, x0, condition, None, own, draws, 5, 0, lambda tensor: tensor)

    found = recipe.build(parts)(batch(), 0)["network"]
    x = x0 + sigma.view(-1, 1, 1) * batch().normal()
    estimate = denoiser(None)(x, sigma, Condition(origin=y))
    wanted = recipe.weight(objective, sigma) * (estimate - x0).square().mean((1, 2))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("weighting", ["unit", "none", "learned"])
def test_a_gamma_that_nothing_uses_is_refused(weighting: str) -> None:
    with pytest.raises(
        ValidationError,
        match=f"weighting '{weighting}' has no gamma; leave gamma out, or choose min-snr or p2",
    ):
        Denoise(weighting=weighting, gamma=2.0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_a_gamma_that_cannot_be_is_refused(gamma: float) -> None:
    with pytest.raises(ValidationError, match="gamma"):
        Denoise(weighting="min-snr", gamma=gamma)
