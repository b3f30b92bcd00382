"""Hold every plugin that we ship to the promises of its kind."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.registry import Registry
from kernel_audio_testing import Check, Subject, checks_for
from kernel_audio_testing._pytest import hold

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "solver.heun": ({"s_churn": 20.0},),
    "solver.alpha": ({"alpha": 1.0},),
    "solver.ddpm": ({"variance": "data"},),
    "solver.deis": ({"points": 4, "variable": "vp-time"},),
    "solver.dpm-2m": ({"exact": True},),
    "solver.dpm-2s": ({"eta": 1.0}, {"exact": True, "node": 0.3}),
    "solver.dpm-3m": ({"published": True},),
    "solver.dpmpp-2m": ({"eta": 1.0}, {"exact": True}),
    "solver.dpmpp-2s": ({"eta": 1.0}, {"node": 1.0}),
    "solver.dpmpp-3m": ({"eta": 1.0, "published": True}, {"lower_order_final": True}),
    "solver.dpmpp-3s": ({"eta": 0.5},),
    "solver.dpmpp-sde": ({"eta": 0.0},),
    "solver.euler": ({"eta": 1.0},),
    "solver.euler-maruyama": ({"form": "euler"},),
    "solver.lms": ({"slopes": 2},),
    "solver.pc": ({"predictor": "native"}, {"corrector": "langevin", "snr": 0.16}),
    "solver.unipc": ({"corrector": False}, {"predictor_order": 3, "prediction": "noise"}),
    "schedule.cosine": ({"shift": 3.0, "stratified": True},),
    "schedule.discrete": ({"levels": 400, "beta_last": 0.05, "spacing": "quadratic"},),
    "schedule.optimised": ({"grids": ((20.0, 5.0, 1.0), (10.0, 1.0))},),
    "schedule.rf": ({"shift": 3.0},),
    "schedule.sigmoid": ({"tau": 0.5},),
    "objective.rf": ({"sigma_data": 0.5},),
    "objective.edm": ({"sigma_data": 1.0},),
    "objective.v": ({"sigma_data": 0.5},),
    "objective.vp": ({"sigma_data": 0.5},),
    "recipe.denoise": tuple(
        {"weighting": weighting} for weighting in ("none", "min-snr", "p2", "learned")
    ),
    "codec.waveform": ({"fold": 16},),
    "codec.stft": ({"layout": "channels"},),
    "codec.mel": ({"layout": "image"},),
    "guidance.autoguidance": ({"sigma_low": 0.2, "sigma_high": 5.0},),
    "guidance.cfg": (
        {"sigma_low": 0.2, "sigma_high": 5.0, "rescale": 0.5},
        {"negative": "kick", "compose": {"hat": 1.5}, "profile": "cosine"},
        {"guidance_scale": 0.6, "plus_plus": True},
    ),
    "guidance.classifier": ({"on": "x", "target": 3},),
    "guidance.dps": (
        {"normalization": "residual"},
        {"normalization": "gaussian"},
        {"normalization": "gaussian", "on": "x"},
    ),
    "guidance.dynamic-threshold": ({"limit": 0.2, "quantile": 0.5},),
    "guidance.guidance-gradient": ({"algorithm": "ddpm"}, {"on": "x", "losses": {"l2": 1.0}}),
    "guidance.langevin": ({"gamma": None},),
    "guidance.moments": ({"iterations": 1, "tolerance": 0.0},),
    "guidance.projection": ({"mode": "noised", "resamples": 2}, {"mode": "literal"}),
}
SMALL = {
    "guidance.autoguidance": {"model": "weak"},
    "guidance.classifier": {"encoder": "digits"},
    "backbone.dit": {"width": 48, "depth": 2},
    "backbone.unet": {"width": 16, "blocks": 1},
    "task.bandwidth": {"cutoff": 2000.0},
    "task.classify": {"target": 1, "encoder": "digits"},
    "task.declip": {"threshold": 0.1},
    "task.denoise": {"noise_db": -50.0},
    "task.embedder": {"encoder": "digits"},
    "task.infill": {"span": "0.1:0.2"},
    "task.regenerate": {"span": "0.1:0.2"},
}

registry = Registry.scan()
ours = [info for info in registry.plugins if info.distribution == "kernel-audio-plugins"]


def cases() -> Any:
    for info in ours:
        name = info.spelling
        for number, changes in enumerate(({}, *VARIANTS.get(name, ()))):
            options = {**SMALL.get(name, {}), **changes}
            subject = Subject(info, registry, options)
            suffix = ",".join(f"{key}={value}" for key, value in options.items())
            for check in checks_for(info.kind):
                # What does not depend on the options is checked once.
                if number == 0 or "_component" not in check.function.__module__:
                    yield pytest.param(subject, check, id=f"{name}[{suffix}]-{check.name}")


@pytest.mark.parametrize(("subject", "check"), list(cases()))
def test_conformance(subject: Subject, check: Check) -> None:
    hold(subject, check)


def test_every_kind_is_checked() -> None:
    kinds = {
        "objective",
        "schedule",
        "solver",
        "guidance",
        "backbone",
        "codec",
        "task",
        "recipe",
        "model",
    }
    assert kinds | {"recipe"} <= {info.kind for info in ours}
