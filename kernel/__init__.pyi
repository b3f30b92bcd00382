"""The whole public API, each name with its home: read by type checkers and by `__init__.py`."""

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
from kernel.kinds.codec import TrainedCodec as TrainedCodec
from kernel.kinds.command import Command as Command
from kernel.kinds.encoder import Encoder as Encoder
from kernel.kinds.guidance import Guidance as Guidance
from kernel.kinds.importer import ForeignFile as ForeignFile
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

__version__: str
API: int
__all__: list[str]

def __dir__() -> list[str]: ...
