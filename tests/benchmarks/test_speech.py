"""The shipped models say what they are asked to, to an ear that knows only real digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernel.config import RunConfig
from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel.runner.plan import plan_run
from kernel.runner.sampling import Sampler

JUDGE = Path(__file__).resolve().parents[2] / "benchmarks" / "digits"


@pytest.mark.parametrize("plugins", [("edm", "unipc"), ("rf", "heun")])
def test_ten_digits_are_heard_as_what_they_are(
    plugins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(JUDGE))
    from classifier import clip, listen, load

    config = RunConfig(plugins=plugins, device="cpu")
    plan = plan_run(config, Registry.scan())
    sampler = Sampler.of(plan.assembly, plan.model, Machine.choose(config))
    requests = plan.assembly.task.requests((), 10)
    sounds = [sound.audio[0] for _, sound in sampler.sounds(requests, plan.steps, 0, 10)]
    _, _, chances = listen(load(), torch.stack([clip(sound) for sound in sounds]))
    heard = chances.argmax(1).tolist()
    assert sum(one == other for one, other in zip(heard, range(10), strict=True)) >= 9
