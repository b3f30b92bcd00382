"""The learned weighting: it is trained, it resumes, and it finds the expected loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kernel_audio_training.checkpoints import checkpoints
from kernel_plugins.recipes._balance import Balance

Train = Callable[..., Path]
LEARNED = {"recipe": {"weighting": "learned"}}


def tensors(training: Path, name: str = "weights") -> dict[str, torch.Tensor]:
    return load_file(checkpoints(training)[-1] / f"{name}.safetensors")


def expected(balance: Balance, sigma: torch.Tensor) -> torch.Tensor:
    """Return u: what a loss of zero becomes."""
    with torch.no_grad():
        return balance(torch.zeros_like(sigma), sigma)


def test_it_starts_without_any_effect() -> None:
    loss, sigma = torch.rand(7), torch.logspace(-3, 2, 7)
    assert torch.equal(Balance()(loss, sigma), loss)


def test_it_is_the_same_at_every_start() -> None:
    for one, other in zip(
        Balance().state_dict().values(), Balance().state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_it_settles_at_the_logarithm_of_the_expected_loss() -> None:
    """The least value of E[loss] exp(-u) + u is at u = ln E[loss], whatever the loss's spread."""

    def mean(sigma: torch.Tensor) -> torch.Tensor:
        return 0.2 + sigma / (1 + sigma)

    balance, draws = Balance(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(balance.parameters(), lr=1e-2)
    steps = 600
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        sigma = (1.2 * torch.randn(256, generator=draws) - 0.5).exp()
        # A chi-squared spread, as of a squared error: its logarithm has another mean.
        loss = mean(sigma) * torch.randn(256, generator=draws).square()
        optimizer.zero_grad()
        balance(loss, sigma).mean().backward()
        optimizer.step()
    sigma = torch.linspace(-2.0, 1.0, 9).exp()
    off = expected(balance, sigma) - mean(sigma).log()
    assert float(off.abs().max()) < 0.15
    assert float(off.square().mean().sqrt()) < 0.08


def test_it_is_trained_beside_the_network_and_kept_in_every_checkpoint(
    train: Train, tmp_path: Path
) -> None:
    folder = train(tmp_path / "t", steps=2, options=LEARNED)
    kept = tensors(folder)
    assert kept["balance.last.weight"].any()
    assert any(name.startswith("network.") for name in kept)
    assert any("balance.last.weight" in name for name in tensors(folder, "optimizer"))


def test_the_model_holds_the_network_alone(train: Train, tmp_path: Path) -> None:
    plain, learned = (
        train(tmp_path / str(index), steps=2, options=options)
        for index, options in enumerate(({}, LEARNED))
    )
    names = [load_file(each / "model" / "model.safetensors").keys() for each in (plain, learned)]
    assert names[0] == names[1]


def test_a_resumed_training_ends_with_the_same_bytes(train: Train, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=4, checkpoint_every=2, options=LEARNED)
    cut = tmp_path / "cut"

    class Crash(Exception): ...

    class StopAt:
        def started(self, *_: object) -> None: ...

        def checkpoint(self, *_: object) -> None:
            raise Crash

        def step(self, *_: object) -> None: ...

    with pytest.raises(Crash):
        train(cut, [StopAt()], steps=4, checkpoint_every=2, options=LEARNED)
    train(cut, steps=4, checkpoint_every=2, options=LEARNED)
    one, other = checkpoints(whole)[-1], checkpoints(cut)[-1]
    for file in ("weights", "ema", "optimizer"):
        name = f"{file}.safetensors"
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_training_with_it_learns(train: Train, tmp_path: Path) -> None:
    """Compare the network's own losses, which the balance does not touch."""
    folder = train(
        tmp_path / "t", steps=80, checkpoint_every=20, learning_rate=5e-3, options=LEARNED
    )
    losses = [
        json.loads(line)["loss"] for line in (folder / "history.jsonl").read_text().splitlines()
    ]
    # Where exp(u) is the expected loss L, the balanced loss is 1 + ln L.
    assert losses[0] > 0.8
    assert losses[-1] < 1 + math.log(0.6)
