"""A plugin microkernel for audio diffusion: this is the whole public API.

Names are imported when they are first used, so that `import kernel` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

API = 1
"""The major version of the plugin API; plugins register in the entry-point group `kernel.v1`."""

if TYPE_CHECKING:
    from kernel.audio import read_audio as read_audio
    from kernel.audio import resample as resample
    from kernel.errors import InputError as InputError
    from kernel.errors import KernelError as KernelError
    from kernel.errors import OutputError as OutputError
    from kernel.errors import UsageError as UsageError
    from kernel.errors import did_you_mean as did_you_mean
    from kernel.hooks import hookimpl as hookimpl
    from kernel.items import Item as Item
    from kernel.items import Making as Making
    from kernel.items import Request as Request
    from kernel.items import Window as Window
    from kernel.kinds._component import Component as Component
    from kernel.kinds.backbone import Backbone as Backbone
    from kernel.kinds.backbone import NetworkModule as NetworkModule
    from kernel.kinds.codec import Codec as Codec
    from kernel.kinds.codec import CodecModule as CodecModule
    from kernel.kinds.command import Command as Command
    from kernel.kinds.encoder import Encoder as Encoder
    from kernel.kinds.guidance import Guidance as Guidance
    from kernel.kinds.importer import ForeignFile as ForeignFile
    from kernel.kinds.importer import ForeignObject as ForeignObject
    from kernel.kinds.importer import ForeignTensor as ForeignTensor
    from kernel.kinds.importer import Importer as Importer
    from kernel.kinds.metric import Metric as Metric
    from kernel.kinds.metric import MetricModule as MetricModule
    from kernel.kinds.objective import Objective as Objective
    from kernel.kinds.observer import Observer as Observer
    from kernel.kinds.recipe import Batch as Batch
    from kernel.kinds.recipe import Parts as Parts
    from kernel.kinds.recipe import Recipe as Recipe
    from kernel.kinds.recipe import RecipeModule as RecipeModule
    from kernel.kinds.schedule import Schedule as Schedule
    from kernel.kinds.solver import Solver as Solver
    from kernel.kinds.task import Dataset as Dataset
    from kernel.kinds.task import Task as Task
    from kernel.kinds.wrapper import Wrapper as Wrapper
    from kernel.scalars import atan as atan
    from kernel.scalars import exp as exp
    from kernel.scalars import expm1 as expm1
    from kernel.scalars import log as log
    from kernel.scalars import log1p as log1p
    from kernel.scalars import sqrt as sqrt
    from kernel.scalars import tan as tan
    from kernel.values import AudioSpec as AudioSpec
    from kernel.values import Condition as Condition
    from kernel.values import ConditionSpec as ConditionSpec
    from kernel.values import Context as Context
    from kernel.values import Denoise as Denoise
    from kernel.values import GuidedDenoise as GuidedDenoise
    from kernel.values import LatentSpace as LatentSpace
    from kernel.values import LatentSpec as LatentSpec
    from kernel.values import Measurement as Measurement
    from kernel.values import NativePath as NativePath
    from kernel.values import Network as Network
    from kernel.values import Noise as Noise
    from kernel.values import Preconditioning as Preconditioning
    from kernel.values import Prepared as Prepared
    from kernel.values import Pull as Pull
    from kernel.values import Sound as Sound
    from kernel.values import Step as Step

_HOMES = {
    "kernel.audio": ("read_audio", "resample"),
    "kernel.errors": ("InputError", "KernelError", "OutputError", "UsageError", "did_you_mean"),
    "kernel.hooks": ("hookimpl",),
    "kernel.items": ("Item", "Making", "Request", "Window"),
    "kernel.kinds._component": ("Component",),
    "kernel.kinds.backbone": ("Backbone", "NetworkModule"),
    "kernel.kinds.codec": ("Codec", "CodecModule"),
    "kernel.kinds.command": ("Command",),
    "kernel.kinds.encoder": ("Encoder",),
    "kernel.kinds.guidance": ("Guidance",),
    "kernel.kinds.importer": ("ForeignFile", "ForeignObject", "ForeignTensor", "Importer"),
    "kernel.kinds.metric": ("Metric", "MetricModule"),
    "kernel.kinds.objective": ("Objective",),
    "kernel.kinds.observer": ("Observer",),
    "kernel.kinds.recipe": ("Batch", "Parts", "Recipe", "RecipeModule"),
    "kernel.kinds.schedule": ("Schedule",),
    "kernel.kinds.solver": ("Solver",),
    "kernel.kinds.task": ("Dataset", "Task"),
    "kernel.kinds.wrapper": ("Wrapper",),
    "kernel.scalars": ("atan", "exp", "expm1", "log", "log1p", "sqrt", "tan"),
    "kernel.values": (
        "AudioSpec",
        "Condition",
        "ConditionSpec",
        "Context",
        "Denoise",
        "GuidedDenoise",
        "LatentSpace",
        "LatentSpec",
        "Measurement",
        "NativePath",
        "Network",
        "Noise",
        "Preconditioning",
        "Prepared",
        "Pull",
        "Sound",
        "Step",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["API", "__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kernel' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
