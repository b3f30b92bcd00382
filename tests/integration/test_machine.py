"""How networks are evaluated: compiled, captured, and on a CUDA device where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kernel.config import RunConfig
from kernel.runner.device import Captured, Machine
from kernel.runner.plan import Plan
from kernel.runner.sampling import Sampler

Planned = Callable[..., tuple[RunConfig, Plan]]

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def sounds(config: RunConfig, plan: Plan, machine: Machine) -> list[torch.Tensor]:
    sampler = Sampler.of(plan.assembly, plan.model, machine)
    requests = plan.assembly.task.requests((), config.count)
    return [sound.audio for _, sound in sampler.sounds(requests, plan.steps, 0, config.batch)]


def test_a_compiled_network_makes_the_same_sounds(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    compile_ = torch.compile

    def eagerly(module: Any) -> Any:
        compiled.append(module)
        return compile_(module, backend="eager")

    monkeypatch.setattr(torch, "compile", eagerly)
    config, plan = planned(count=1, compile=True)
    one = sounds(config, plan, Machine.choose(config))
    assert len(compiled) == 1
    two = sounds(config, plan, Machine(torch.device("cpu")))
    assert len(compiled) == 1
    torch.testing.assert_close(one, two)


@pytest.mark.gpu
@needs_cuda
def test_items_are_the_same_on_cuda(planned: Planned) -> None:
    config, plan = planned(count=2)
    here = sounds(config, plan, Machine(torch.device("cpu")))
    there = sounds(config, plan, Machine(torch.device("cuda")))
    for one, two in zip(here, there, strict=True):
        assert np.abs(one - two).max() < 2e-2 * one.abs().max()


@pytest.mark.gpu
@needs_cuda
def test_a_captured_network_makes_the_same_sounds(planned: Planned) -> None:
    config, plan = planned(count=3, batch=2, steps=4)
    eager = sounds(config, plan, Machine(torch.device("cuda")))
    captured = sounds(config, plan, Machine(torch.device("cuda"), cuda_graph=True))
    torch.testing.assert_close(eager, captured, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@needs_cuda
def test_equal_batches_share_one_graph(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    config, plan = planned(count=8, batch=1)
    recordings = []

    def counted(self: Captured, *inputs: Any) -> Any:
        recordings.append(self)
        return recorded(self, *inputs)

    recorded = Captured._recorded
    monkeypatch.setattr(Captured, "_recorded", counted)
    eager = sounds(config, plan, Machine(torch.device("cuda")))
    captured = sounds(config, plan, Machine(torch.device("cuda"), cuda_graph=True))
    assert len(recordings) == 1
    torch.testing.assert_close(eager, captured, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@needs_cuda
def test_cuda_is_chosen_with_bfloat16() -> None:
    machine = Machine.choose(RunConfig())
    assert machine.device.type == "cuda"
    assert machine.precision == "bfloat16"


def test_auto_is_float32_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    machine = Machine.choose(RunConfig())
    assert (machine.device.type, machine.precision) == ("cpu", "float32")
