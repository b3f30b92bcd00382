"""The whole public API, each name with its home: read by type checkers and by `__init__.py`."""

from kernel.api import Run as Run, Training as Training, component as component
from kernel.api import evaluate as evaluate, load as load, noise_like as noise_like
from kernel.api import plugins as plugins, run as run, sample as sample, train as train
from kernel.audio import read_audio as read_audio, resample as resample
from kernel.errors import InputError as InputError, KernelError as KernelError
from kernel.errors import OutputError as OutputError, UsageError as UsageError
from kernel.errors import did_you_mean as did_you_mean
from kernel.items import Item as Item, Making as Making, Request as Request, Window as Window
from kernel.kinds._component import Component as Component, hookimpl as hookimpl
from kernel.kinds.backbone import Backbone as Backbone, NetworkModule as NetworkModule
from kernel.kinds.codec import Codec as Codec, CodecModule as CodecModule
from kernel.kinds.codec import TrainedCodec as TrainedCodec
from kernel.kinds.command import Command as Command
from kernel.kinds.encoder import Encoder as Encoder
from kernel.kinds.guidance import Guidance as Guidance
from kernel.kinds.importer import ForeignFile as ForeignFile, ForeignTensor as ForeignTensor
from kernel.kinds.importer import Importer as Importer
from kernel.kinds.metric import Metric as Metric, MetricModule as MetricModule
from kernel.kinds.objective import Objective as Objective
from kernel.kinds.observer import Observer as Observer
from kernel.kinds.recipe import Batch as Batch, Parts as Parts, Recipe as Recipe
from kernel.kinds.recipe import RecipeModule as RecipeModule
from kernel.kinds.schedule import Schedule as Schedule
from kernel.kinds.solver import Solver as Solver
from kernel.kinds.task import Dataset as Dataset, Task as Task
from kernel.kinds.wrapper import Wrapper as Wrapper
from kernel.player import Player as Player
from kernel.values import AudioSpec as AudioSpec, Condition as Condition
from kernel.values import ConditionSpec as ConditionSpec, Context as Context, Denoise as Denoise
from kernel.values import GuidedDenoise as GuidedDenoise, LatentSpace as LatentSpace
from kernel.values import LatentSpec as LatentSpec, Measurement as Measurement
from kernel.values import NativePath as NativePath, Network as Network, Noise as Noise
from kernel.values import Preconditioning as Preconditioning, Prepared as Prepared, Pull as Pull
from kernel.values import Sound as Sound, Step as Step

__version__: str
API: int
__all__: list[str]

def __dir__() -> list[str]: ...
