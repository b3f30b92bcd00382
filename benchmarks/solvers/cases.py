"""Which solvers and grids are measured: all that there are, with the options that matter.

They are read off the folders of their kinds, so that a new one is measured as soon as it is there.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import kernel_plugins.schedules
import kernel_plugins.solvers
from kernel import Component, Schedule, Solver
from kernel_plugins.mathematics.vp import STANDARD

Options = Mapping[str, Any]

SIGMA_MAX = 80.0
ENDS = (0.002, 0.1)
"""Last sigmas of a grid: where it ends matters as much as its curve when steps are few."""

SOLVERS: Mapping[str, Sequence[Options]] = {
    "alpha": ({}, {"alpha": 2 / 3}),
    "ddpm": ({}, {"variance": "data", "data_std": 0.5}),
    "deis": ({}, {"variable": "vp-time"}),
    "dpm-2m": ({}, {"exact": True}),
    "dpm-2s": ({}, {"eta": 1.0}),
    "dpm-3m": ({}, {"published": True}),
    "dpmpp-2m": ({}, {"exact": True}, {"eta": 1.0}),
    "dpmpp-2s": ({}, {"eta": 1.0}),
    "dpmpp-3m": ({}, {"published": True}, {"eta": 1.0}),
    "euler": ({}, {"eta": 1.0}),
    "euler-maruyama": ({}, {"form": "euler"}),
    "heun": ({}, {"s_churn": 20.0}),
    "lms": ({}, {"slopes": 2}, {"slopes": 3}),
    "pndm": ({}, {"slopes": 2}, {"slopes": 3}),
    "rk45": tuple({"rtol": error, "atol": error} for error in (0.1, 1e-2, 1e-3, 1e-4, 1e-5)),
    "unipc": (
        {},
        {"predictor_order": 3},
        {"prediction": "noise"},
        {"predictor_order": 3, "prediction": "noise"},
    ),
}
"""Options to measure a solver with; one that is not here has its defaults."""

SCHEDULES: Mapping[str, Sequence[Options]] = {
    "bbed": (),
    "discrete": ({},),
    "optimised": (),
    "ouve": (),
    "rf": tuple({"sigma_max": SIGMA_MAX, "shift": shift} for shift in (1.0, 3.0)),
    "sb-ve": (),
    "vp": tuple({"t_max": STANDARD.time(SIGMA_MAX), "t_min": STANDARD.time(end)} for end in ENDS),
}
"""The same of schedules; one that is not here goes from SIGMA_MAX to each of ENDS.

Left out are grids that were made for one model, and those that start beside a recording.
"""

RANGES = tuple({"sigma_max": SIGMA_MAX, "sigma_min": end} for end in ENDS)


def solvers() -> dict[str, Solver]:
    """Return the solvers that need nothing but a denoiser, by name and options."""
    found = made(kernel_plugins.solvers, "solver", SOLVERS)
    return {label: solver for label, solver in found.items() if not solver.needs}


def schedules() -> dict[str, Schedule]:
    """Return the schedules by name and options."""
    found: dict[str, Schedule] = made(kernel_plugins.schedules, "schedule", SCHEDULES, RANGES)
    return found


def made(
    package: ModuleType,
    hook: str,
    listed: Mapping[str, Sequence[Options]] = MappingProxyType({}),
    usual: Sequence[Options] = ({},),
) -> dict[str, Any]:
    """Return the components of a package by name and options, each with those that are listed."""
    found = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    components: dict[str, Component] = {}
    for module in found:
        if not module.startswith("_"):
            name = module.replace("_", "-")
            offered = getattr(import_module(f"{package.__name__}.{module}"), hook)()
            for options in listed.get(name, usual):
                components[label(name, options)] = offered(**options)
    return components


def label(name: str, options: Options) -> str:
    """Return a name with its options; of a range only where it ends."""
    words = [name]
    for key, value in options.items():
        if key in ("sigma_min", "t_min"):
            words.append(f"to {STANDARD.sigma(value) if key == 't_min' else value:g}")
        elif key not in ("sigma_max", "t_max"):
            words.append(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}")
    return " ".join(words)
