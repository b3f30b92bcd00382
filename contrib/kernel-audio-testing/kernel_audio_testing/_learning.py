"""What a network is held to in bfloat16 and in training."""

from __future__ import annotations

import torch

from kernel_audio_testing._network import cast, scenes
from kernel_audio_testing._subject import Subject, require
from kernel_audio_testing._tools import finite

__all__ = ["CHECKS"]

STEPS = 20
"""Of a training on three items."""

RATE = 2e-3
"""By which each parameter moves in a step of that training, against the sign of its gradient."""


@torch.no_grad()
def check_autocast(subject: Subject) -> str | None:
    """Check that F under autocast to bfloat16 is finite and near F in float32."""
    worst = 0.0
    for scene in scenes(subject):
        scene.module.float()
        inputs = cast(torch.float32, *scene.inputs())
        exact = scene(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            rough = scene(*inputs).float()
        finite(rough, "F in bfloat16")
        worst = max(worst, float((rough - exact).norm() / exact.norm()))
    require(worst < 0.1, f"they differ by {worst:.2g} of its size")
    return f"differ by {worst:.1e}"


def check_learns(subject: Subject) -> str | None:
    """Check that a fresh network learns a target: its error falls in a few steps of training."""
    facts = []
    for scene in scenes(subject, fresh=True):
        module = scene.module.float().train()
        x, c_noise, condition = cast(torch.float32, *scene.inputs())
        parameters = list(module.parameters())
        errors = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(STEPS):
                loss = (scene(x, c_noise, condition) - x.flip(0)).square().mean()
                errors.append(float(loss.detach()))
                with torch.no_grad():
                    for each, slope in zip(
                        parameters, torch.autograd.grad(loss, parameters), strict=True
                    ):
                        each.sub_(RATE * slope.sign())
        fact = f"its error goes from {errors[0]:.3g} to {errors[-1]:.3g} in {STEPS} steps"
        require(errors[0] < 20 and errors[-1] < 0.97 * errors[0], fact)
        facts.append(fact)
    return "; ".join(dict.fromkeys(facts))


CHECKS = (check_autocast, check_learns)
