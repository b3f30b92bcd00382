"""The Python API: everything that the command line does, and models and solvers to call.

`registry` holds the installed plugins and the preferences among them; by default it is a scan of
`sys.path`. Only the command line reads the user's own file of preferences.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from kernel.assembly import configure
from kernel.config import RunConfig, Settings
from kernel.config import load as load_settings
from kernel.errors import UsageError
from kernel.registry import PluginInfo, Registry
from kernel.repeat import RUN, Record, read_record, repeat
from kernel.runner.libraries import check_pair, guarded
from kernel.runner.locked import compared
from kernel.runner.plan import Plan, plan_run

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.kinds.command import Command
    from kernel.kinds.observer import Observer
    from kernel.kinds.schedule import Schedule
    from kernel.kinds.solver import Solver
    from kernel.player import Player
    from kernel.values import Denoise, Noise, Sound

SettingsT = TypeVar("SettingsT", bound=Settings)

ELSEWHERE = {
    "kernel-audio-compare": ("compare",),
    "kernel-audio-import": ("import",),
    "kernel-audio-plugins": ("evaluate", "lock", "shards"),
    "kernel-audio-testing": ("check", "export", "new"),
    "kernel-audio-training": ("train",),
}
"""Commands that distributions of ours offer."""

__all__ = [
    "Run",
    "Training",
    "command_of",
    "component",
    "evaluate",
    "load",
    "noise_like",
    "plugins",
    "run",
    "sample",
    "settled",
    "train",
]


@attrs.frozen
class Run:
    """A finished run: its folder, the record that `run.json` there holds, and its sounds.

    notes: notes that the run itself added. remarks: the last words of the observers. rank: the
    number of this process among those that ran together.
    """

    folder: Path
    record: dict[str, Any]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    rank: int = 0

    def __iter__(self) -> Iterator[Sound]:
        """Yield the sounds in order, each read from its file."""
        from kernel.audio import read_audio
        from kernel.values import Sound

        for item in self.record["items"]:
            audio, rate = read_audio(self.folder / item["file"])
            given = item["given"] and read_audio(self.folder / item["given"], rate)[0]
            spans = tuple((start, stop) for start, stop in item["spans"])
            yield Sound(item["name"], audio, rate, item["label"], given, spans=spans)

    @property
    def sounds(self) -> list[Sound]:
        """Return all sounds; to iterate over the run takes the memory of one."""
        return list(self)


@attrs.frozen
class Training:
    """A finished training: its folder, and the record that `train.json` there holds.

    remarks: the last words of the observers. rank: the number of this process among those that
    trained together; process 0 wrote the folder.
    """

    folder: Path
    record: dict[str, Any]
    remarks: tuple[str, ...] = ()
    rank: int = 0

    @property
    def model(self) -> Path:
        """Return the folder of the trained model, which `load` and `run` take."""
        from kernel.models import FOLDER

        return self.folder / FOLDER


def plugins(kind: str | None = None, *, registry: Registry | None = None) -> list[PluginInfo]:
    """Return the installed plugins, of every kind or of one, sorted; import none of them."""
    found = (registry or Registry.scan()).plugins
    return [info for info in found if kind in (None, info.kind)]


def component(spelling: str, *, registry: Registry | None = None, **options: Any) -> Any:
    """Return the component `[KIND.]NAME[@DISTRIBUTION]` with its options.

    Its class is that of its kind, such as `kernel.Solver`. Raises UsageError for a name that is
    unknown or stands for several plugins, and for an option that cannot be; PluginError for a
    plugin that is broken.
    """
    registry = registry or Registry.scan()
    found = registry.select([spelling]).plugins
    if len(found) > 1:
        names = " or ".join(info.spelling for info in found)
        raise UsageError(f"{spelling!r} stands for several plugins; write {names}")
    return configure(registry.load(found[0]), found[0], options)


def load(
    model: str | Path,
    plugins: Sequence[str] = (),
    *,
    options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Player:
    """Load a model to make sounds with: the name of an installed one, or a trained folder.

    plugins: components in place of those that the model recommends. options: theirs, such as
    `{"guidance.guidance_scale": 2}`. settings: `device`, `precision` and the other fields of
    RunConfig. A part that differs from the training's is a warning. Raises KernelError for parts
    that do not fit.
    """
    from kernel.player import Player

    given = {"model": str(model), "plugins": tuple(plugins), **settings}
    config = load_settings(RunConfig, None, given, options)
    plan = plan_run(config, (registry or Registry.scan()).preferring(config.prefer))
    for note in plan.notes:
        warnings.warn(note, stacklevel=2)
    check_pair()
    return Player(plan, config)


def sample(
    denoise: Denoise,
    noise: Tensor,
    *,
    solver: str | Solver,
    schedule: str | Schedule | Sequence[float],
    steps: int | None = None,
    origin: Tensor | None = None,
    seed: int = 0,
    registry: Registry | None = None,
) -> Tensor:
    """Follow any denoiser from noise to x0 [B, C, *S], without gradients.

    denoise: (x, sigma) -> estimate of x0 in x = x0 + sigma n, with sigma a float. noise: [B, C, *S]
    standard normal, on the device and in the dtype to compute in; the run starts at
    `origin + sigmas[0] noise`, and at `sigmas[0] noise` without an origin. schedule: a component
    with its number of `steps`, or the sigmas themselves, descending to 0. seed: of the noise that
    stochastic solvers draw, each item from its own. Iterate over `solver.trajectory(...)` to see
    every step.
    """
    import torch

    from kernel.runner.grid import descending, fault
    from kernel.values import LatentSpec

    follow: Solver = _of("solver", solver, registry) if isinstance(solver, str) else solver
    if isinstance(schedule, str):
        schedule = _of("schedule", schedule, registry)
    if isinstance(schedule, Sequence):
        sigmas = [float(sigma) for sigma in schedule]
        if wrong := fault(sigmas, len(sigmas) - 1 if steps is None else steps):
            raise UsageError(f"the list of sigmas {wrong}; it has to descend to 0")
    elif steps is None:
        raise UsageError("sample() needs steps, the number of steps that the schedule makes")
    else:
        latent = LatentSpec(noise.shape[1], tuple(noise.shape[2:]))
        owner = f"the schedule {type(schedule).__name__}"
        sigmas = descending(schedule, None, steps, latent, owner)
    size = noise.square().mean().sqrt().item()
    if noise.numel() >= 1000 and not 0.5 < size < 2:
        raise UsageError(
            f"the noise has a root mean square of {size:.3g}; give sample() standard normal noise, "
            f"which it scales by the first sigma itself"
        )
    with torch.no_grad():
        x = noise * sigmas[0] if origin is None else origin + noise * sigmas[0]
        for step in follow.trajectory(denoise, x, sigmas, noise_like(noise, seed)):
            x = step.x
    return x


def _of(kind: str, name: str, registry: Registry | None) -> Any:
    return component(f"{kind}.{name.removeprefix(f'{kind}.')}", registry=registry)


def command_of(name: str, registry: Registry | None) -> Command:
    """Return a command that a plugin offers. Raises UsageError for one that is not installed."""
    registry = registry or Registry.scan()
    if not registry.find(f"command.{name}"):
        raise UsageError(absent(name) or f"no distribution offers the command {name!r}")
    info = registry.pick(name, "command")
    return cast("Command", configure(registry.load(info), info, {}))


def absent(command: str) -> str:
    """Return a sentence on one of our commands whose distribution is not installed, or ""."""
    owner = next((owner for owner, names in ELSEWHERE.items() if command in names), "")
    return owner and f"the command {command!r} is not installed; `pip install {owner}` brings it"


def noise_like(x: Tensor, seed: int = 0) -> Noise:
    """Return the noise of a trajectory of `x` [B, ...]: item i depends on (seed, i) alone."""
    from kernel.seeds import ItemNoise

    places = [(index,) for index in range(len(x))]
    return ItemNoise(seed, places, x.shape[1:], lambda drawn: drawn.to(x))


def run(
    plugins: Sequence[str] = (),
    *,
    options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    source: str | Path | None = None,
    locked: bool = False,
    observers: Sequence[Observer] = (),
    planned: Callable[[Plan], object] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Run:
    """Make sounds into a new folder, as `kernel run` does.

    options: by their names on the command line, such as `{"task.label": "7"}`. config: a TOML file.
    source: the folder of a run to repeat. locked: refuse when anything differs from `source`, or
    from the lock of `config`. observers: beside those that are selected. planned: called once with
    the Plan, before anything is computed. settings: fields of RunConfig, which come before those of
    `config` and `source`. Processes that torchrun started share the sounds; process 0 has the
    observers and writes. Raises KernelError.
    """
    registry = registry or Registry.scan()
    before = None if source is None else read_record(Path(source), RUN)
    file = None if config is None else Path(config)
    values = settings | {"plugins": tuple(plugins) or None}
    asked = settled(RunConfig, registry, file, before, values, options)
    plan = plan_run(asked, registry.preferring(asked.prefer))
    plan = compared(plan, asked, file, before, locked)
    if before is not None:
        # A repetition has the name of the first run.
        typed = (*before.config.get("plugins", ()), *plugins)
        asked = asked.model_copy(update={"plugins": typed})
    check_pair()
    from kernel.runner.processes import joined
    from kernel.runner.run import assist, execute, folder_for

    said: list[str | None] = []
    watching = (*observers, *plan.assembly.observers)
    with joined() as processes, guarded():
        if planned is not None and processes.first:
            planned(plan)

        def made() -> str:
            with folder_for(asked) as folder:
                record = execute(asked, plan, folder, watching, said.append, processes)
            return json.dumps({"folder": str(folder), "record": record})

        if not processes.first:
            assist(asked, plan, processes)
        told = json.loads(processes.told(made))
    record = told["record"]
    notes, remarks = tuple(record["warnings"][len(plan.notes) :]), tuple(filter(None, said))
    return Run(Path(told["folder"]), record, notes, remarks, processes.rank)


def train(
    plugins: Sequence[str] = (), *, registry: Registry | None = None, **settings: Any
) -> Training:
    """Train a model into the folder `out`, as `kernel train` does, from `kernel-audio-training`.

    settings: those of `kernel_audio_training.train`. Raises KernelError.
    """
    trainer = command_of("train", registry)
    return cast(Training, trainer.call(plugins, registry=registry, **settings))


def evaluate(
    sounds: str | Path,
    plugins: Sequence[str],
    *,
    registry: Registry | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the scores of a folder of sounds or of one file, as `kernel evaluate` prints them.

    plugins: metrics. settings: `reference`, a folder of reference sounds with the same names, or a
    file for a file; `options`; `device` and the other fields of Settings. Raises KernelError.
    """
    scorer = command_of("evaluate", registry)
    return cast("dict[str, Any]", scorer.call(sounds, plugins, registry=registry, **settings))


def settled(
    schema: type[SettingsT],
    registry: Registry,
    file: Path | None,
    before: Record | None = None,
    values: Mapping[str, Any] = MappingProxyType({}),
    options: Mapping[str, Any] | None = None,
) -> SettingsT:
    """Return the settings of a file or of a record, overlaid by `values` and `options`."""
    if before is None:
        settings = load_settings(schema, file, values, options)
        return settings.model_copy(update={"prefer": {**registry.prefer, **settings.prefer}})
    if file is not None:
        raise UsageError(
            f"--from takes every setting from {before.folder}; leave -c out, or type the changes "
            f"behind --from"
        )
    base = repeat(before, registry, values.get("plugins") or (), values.get("model"))
    without = (*base.get("without", ()), *(values.get("without") or ()))
    base = {"prefer": dict(registry.prefer), **base, "without": without}
    return load_settings(schema, base, {**values, "plugins": None, "without": None}, options)
