"""Measure what a sampler's loop costs per step, side by side with diffusers and k-diffusion.

The denoiser is `x * 0.5` on a [1, 2, 64, 64] float32 tensor, so what is left is the solver. One
thread, one process; the rows take turns in every repeat and the clock is the thread's CPU time, so
that a busy machine hits all alike. diffusers' `set_timesteps` is called before its clock starts;
ours find the weights of a grid in their first loop, which is not counted, and keep them.

    pip install -r benchmarks/requirements.txt . ./plugins
    python benchmarks/overhead.py --json overhead.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from kernel import Solver, Step
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_2m import Dpm2M
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.unipc import UniPC

INSTALL = "pip install -r benchmarks/requirements.txt"
Loop = Callable[[], Any]

RATIOS = (
    ("unipc, order 3", "diffusers UniPCMultistep, order 3", 1 / 10),
    ("dpmpp-2m", "k-diffusion dpmpp_2m", 0.33),
    ("dpmpp-2m", "diffusers DPMSolverMultistep, order 2", None),
    ("heun", "k-diffusion heun", None),
    ("euler", "k-diffusion euler", None),
)
"""Our row, the peer's row, and the ratio that is aimed at."""

MULTISTEP: dict[str, Solver] = {
    "deis": Deis(),
    "deis, vp-time": Deis(variable="vp-time"),
    "dpm-2m": Dpm2M(),
    "dpm-3m": Dpm3M(),
    "dpmpp-2m": DpmPP2M(),
    "dpmpp-3m": DpmPP3M(),
    "lms": Lms(),
    "pndm": Pndm(),
    **{f"unipc, order {order}": UniPC(predictor_order=order) for order in range(1, 5)},
}
PEER, LIMIT = "k-diffusion dpmpp_2m", 1 / 2
"""The slowest of MULTISTEP may need this share of the peer's time."""


def denoise(x: torch.Tensor, sigma: Any) -> torch.Tensor:
    return x * 0.5


def no_noise(sigma: float, following: float) -> torch.Tensor:
    raise AssertionError("none of these solvers draws noise")


def ours(solver: Solver, x: torch.Tensor, sigmas: list[float]) -> Loop:
    def loop() -> Step:
        trajectory = solver.trajectory(denoise, x, sigmas, no_noise)
        step = next(trajectory)
        try:
            while True:
                step = trajectory.send(step.x)
        except StopIteration:
            return step

    return loop


def k_diffusion(x: torch.Tensor, sigmas: list[float]) -> dict[str, Loop]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from k_diffusion import sampling

    grid = torch.tensor(sigmas)
    samplers = {name: getattr(sampling, f"sample_{name}") for name in ("euler", "heun", "dpmpp_2m")}
    return {
        f"k-diffusion {name}": partial(sampler, denoise, x, grid, disable=True)
        for name, sampler in samplers.items()
    }


def diffusers(x: torch.Tensor, steps: int) -> dict[str, Callable[[], Loop]]:
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    def prepare(scheduler: Any) -> Loop:
        scheduler.set_timesteps(steps)
        scheduler.set_begin_index(0)

        def loop() -> torch.Tensor:
            sample = x
            for t in scheduler.timesteps:
                sample = scheduler.step(denoise(sample, t), t, sample, return_dict=False)[0]
            return sample

        return loop

    options = {"prediction_type": "sample", "use_karras_sigmas": True}
    uni = UniPCMultistepScheduler(solver_order=3, **options)
    dpm = DPMSolverMultistepScheduler(solver_order=2, **options)
    return {
        "diffusers UniPCMultistep, order 3": lambda: prepare(uni),
        "diffusers DPMSolverMultistep, order 2": lambda: prepare(dpm),
    }


def measure(rows: dict[str, Callable[[], Loop]], steps: int, repeats: int) -> dict[str, Any]:
    """Return the median and the least microseconds of CPU time per step of every row."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    with torch.inference_mode():
        for repeat in range(repeats + 2):
            for name, prepare in rows.items():
                loop = prepare()
                start = time.thread_time()
                loop()
                if repeat >= 2:
                    times[name].append((time.thread_time() - start) / steps * 1e6)
    return {
        name: {"median_us": statistics.median(values), "min_us": min(values)}
        for name, values in times.items()
    }


def machine() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    console = Console()
    torch.set_num_threads(1)

    sigmas = EdmSchedule().sigmas(arguments.steps)
    x = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0)) * sigmas[0]
    solvers: dict[str, Solver] = {
        "euler": Euler(),
        "heun": Heun(),
        **MULTISTEP,
    }
    rows: dict[str, Callable[[], Loop]] = {
        name: lambda solver=solver: ours(solver, x, sigmas) for name, solver in solvers.items()
    }
    record = machine()
    try:
        loops = k_diffusion(x, sigmas)
        rows |= {name: lambda loop=loop: loop for name, loop in loops.items()}
        record["k-diffusion"] = version("k-diffusion")
    except ImportError as error:
        console.print(f"k-diffusion is left out ({error}); to compare with it, run: {INSTALL}")
    try:
        rows |= diffusers(x, arguments.steps)
        record["diffusers"] = version("diffusers")
    except ImportError as error:
        console.print(f"diffusers is left out ({error}); to compare with it, run: {INSTALL}")

    figures = measure(rows, arguments.steps, arguments.repeats)
    table = Table(title="us of CPU time per step, [1, 2, 64, 64] float32, 1 thread")
    for column in ("sampler", "median", "min", f"of {PEER}"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    peer = figures.get(PEER, {}).get("median_us", math.nan)
    for name, row in figures.items():
        share = f"{row['median_us'] / peer:.3f}"
        table.add_row(name, f"{row['median_us']:.1f}", f"{row['min_us']:.1f}", share)
    console.print(table)

    ratios = Table(title="ours / theirs")
    for column in ("ours", "theirs", "medians", "minima", "aim"):
        ratios.add_column(column, justify="left" if column in ("ours", "theirs") else "right")
    compared = []
    slowest = max(MULTISTEP, key=lambda name: figures[name]["median_us"])
    for mine, theirs, aim in (*RATIOS, (slowest, PEER, LIMIT)):
        if theirs in figures:
            pair = [figures[mine][key] / figures[theirs][key] for key in ("median_us", "min_us")]
            row = {"ours": mine, "theirs": theirs, "median": pair[0], "min": pair[1], "aim": aim}
            compared.append(row)
            shown = [f"{ratio:.3f}" for ratio in pair]
            ratios.add_row(mine, theirs, *shown, "" if aim is None else f"<= {aim:.3f}")
    console.print(ratios)
    console.print(", ".join(f"{key} {value}" for key, value in record.items()))
    if arguments.json:
        result = {"machine": record, "steps": arguments.steps, "rows": figures, "ratios": compared}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
