"""Where and how the network is evaluated: device, precision, compilation, graph capture."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import torch

from kernel.errors import DeviceError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel.config import Settings
    from kernel.values import Network

__all__ = ["Machine"]

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@attrs.frozen
class Machine:
    """The device that everything of a run lives on, and how networks are evaluated there."""

    device: torch.device
    autocast_dtype: torch.dtype | None = None
    compile: bool = False
    cuda_graph: bool = False

    @classmethod
    def choose(cls, settings: Settings, cuda_graph: bool = False) -> Machine:
        """Return the machine that the settings ask for.

        `auto` takes CUDA, then Apple's MPS, then the CPU; `precision = auto` is bfloat16 on a CUDA
        device that has it. Raises DeviceError when the device is unknown or not there.
        """
        device = _device(settings.device)
        precision = settings.precision
        if precision == "auto":
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bfloat16" if fast else "float32"
        if cuda_graph and device.type != "cuda":
            raise DeviceError(
                f"a CUDA graph needs a CUDA device, not {device}; leave --cuda-graph out"
            )
        return cls(device, DTYPES[precision], settings.compile, cuda_graph)

    @property
    def precision(self) -> str:
        """Return the name of the dtype that networks are evaluated in."""
        return str(self.autocast_dtype or torch.float32).removeprefix("torch.")

    def put(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device; a copy from the CPU to CUDA is pinned and asynchronous."""
        if self.device.type == "cuda" and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def place(self, module: nn.Module) -> nn.Module:
        """Return the module on the device."""
        return module.to(self.device)

    def network(self, module: nn.Module) -> Network:
        """Return the module's forward with autocast, and compiled or captured where asked for."""
        forward: Any = torch.compile(module) if self.compile else module

        def evaluate(x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
            with self.autocast():
                result: Tensor = forward(x, c_noise, condition)
            return result.to(x.dtype)

        return Captured(evaluate) if self.cuda_graph else evaluate

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the machine's precision."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def facts(self) -> dict[str, Any]:
        """Return what a record says of the machine."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None
        return {
            "device": str(self.device),
            "name": name,
            "precision": self.precision,
            "compile": self.compile,
            "cuda_graph": self.cuda_graph,
            "threads": torch.get_num_threads(),
        }


class Captured:
    """A network evaluation recorded once as a CUDA graph for each shape and prepared condition.

    A prepared condition is read at its own address on every replay, so the graph keeps it alive.
    """

    def __init__(self, evaluate: Network) -> None:
        self._evaluate = evaluate
        self._graphs: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        """Replay the graph with the values of `x` and `c_noise`; capture it at the first call."""
        key = (x.shape, x.dtype, id(condition))
        if key not in self._graphs:
            self._graphs[key] = (*self._capture(x, c_noise, condition), condition)
        graph, static_x, static_c, result, _ = self._graphs[key]
        static_x.copy_(x)
        static_c.copy_(c_noise)
        graph.replay()
        copy: Tensor = result.clone()
        return copy

    def _capture(self, x: Tensor, c_noise: Tensor, condition: Any) -> tuple[Any, ...]:
        static_x, static_c = x.clone(), c_noise.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._evaluate(static_x, static_c, condition)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._evaluate(static_x, static_c, condition)
        return graph, static_x, static_c, result


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(
            f"device {name!r} is unknown; use auto, cpu, cuda, cuda:0 or mps"
        ) from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            there = f"has {count} CUDA devices" if count else "has no CUDA device"
            raise DeviceError(
                f"device {name!r} is not there: this machine {there}; use --device cpu"
            )
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device 'mps' is not there: this machine has none; use --device cpu")
    elif device.type != "cpu":
        raise DeviceError(f"device {name!r} is not supported; use auto, cpu, cuda, cuda:0 or mps")
    return device
