"""Where and how the network is evaluated: device, precision, compilation, graph capture."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from kernel.config import Settings
from kernel.errors import DeviceError
from kernel.runner.processes import Processes
from kernel.trees import flat, mapped
from kernel.values import Network

KINDS = ("cuda", "mps", "cpu")
"""The kinds of device, the one that `auto` would rather have first."""

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The dtypes that networks are evaluated in by autocast."""


@attrs.frozen
class Machine:
    """The device that everything of a run lives on, and how networks are evaluated there."""

    device: torch.device
    autocast_dtype: torch.dtype | None = None
    compile: bool = False
    cuda_graph: bool = False
    dtype: torch.dtype = torch.float32
    """The dtype of weights and latents, single or double."""

    @classmethod
    def choose(
        cls, settings: Settings, cuda_graph: bool = False, processes: Processes | None = None
    ) -> Machine:
        """Return the machine that the settings ask for.

        `auto` takes CUDA, then Apple's MPS, then the CPU; `precision = auto` is bfloat16 on a CUDA
        device that has it. Each of several processes takes the CUDA device of its number. Raises
        DeviceError when the device is unknown or not there.
        """
        device = _device(settings.device)
        if processes and processes.count > 1:
            device = _own(device, processes)
        precision = settings.precision
        if precision == "auto":
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bfloat16" if fast else "float32"
        if cuda_graph and device.type != "cuda":
            raise DeviceError(
                f"a CUDA graph needs a CUDA device, not {device}; leave --cuda-graph out"
            )
        dtype = torch.float64 if precision == "float64" else torch.float32
        if dtype == torch.float64 and device.type == "mps":
            raise DeviceError("device mps has no float64; use --device cpu or --precision float32")
        return cls(device, DTYPES.get(precision), settings.compile, cuda_graph, dtype)

    @property
    def precision(self) -> str:
        """Return the name of the dtype that networks are evaluated in."""
        return str(self.autocast_dtype or self.dtype).removeprefix("torch.")

    def put(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, and in double precision where that is asked for.

        A copy from the CPU to CUDA is pinned and asynchronous.
        """
        if self.dtype == torch.float64 and tensor.is_floating_point():
            tensor = tensor.double()
        if self.device.type == "cuda" and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def place(self, module: nn.Module) -> nn.Module:
        """Return the module on the device."""
        # Half precision of a module that comes with its weights stays.
        return (module.double() if self.dtype == torch.float64 else module).to(self.device)

    def frozen(self, module: nn.Module) -> nn.Module:
        """Return the module on the device, to be evaluated alone: nothing drops out or learns."""
        return self.place(module).eval().requires_grad_(False)

    def network(self, module: nn.Module) -> Network:
        """Return the module's forward with autocast, and compiled or captured where asked for."""
        evaluate = self.evaluate(module)
        return Captured(evaluate) if self.cuda_graph else evaluate

    def evaluate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function or module with autocast, and compiled where asked for.

        A tensor that it returns has the dtype of its first argument.
        """
        forward: Any = torch.compile(function) if self.compile else function

        def evaluate(x: Tensor, *rest: Any) -> Any:
            with self.autocast():
                result = forward(x, *rest)
            return result.to(x.dtype) if isinstance(result, torch.Tensor) else result

        return evaluate

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the machine's precision."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def scaler(self) -> GradScaler:
        """Return what scales losses up and gradients down again, as those of float16 underflow."""
        return GradScaler(self.device.type, enabled=self.autocast_dtype is torch.float16)

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


Recording = tuple[Callable[[], None], "Tensor"]
"""A function that repeats an evaluation, and the tensor that it leaves the result in."""


def record(evaluate: Callable[[], Tensor]) -> Recording:
    """Return an evaluation of tensors that stay in place as a CUDA graph."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            evaluate()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = evaluate()
    return graph.replay, result


class Captured:
    """A network evaluation recorded once, as a CUDA graph, for each layout of its inputs.

    A layout is the shapes and dtypes of x, c_noise and the tensors of the prepared tree, with the
    tree's constants. A graph reads copies of its own, and a tree is copied when it is another than
    the last. Batches of one layout share a graph, and no batch is kept alive but the last.
    """

    def __init__(
        self, evaluate: Network, record: Callable[[Callable[[], Tensor]], Recording] = record
    ) -> None:
        self._evaluate = evaluate
        self._record = record
        self._graphs: dict[Hashable, _Graph] = {}
        self._latest: tuple[Any, list[Tensor], Hashable] = (None, *flat(None))

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        """Replay the graph with the values of the inputs; record it at the first of its layout."""
        if condition is not self._latest[0]:
            self._latest = (condition, *flat(condition))
        _, tensors, layout = self._latest
        key = (x.shape, x.dtype, c_noise.shape, c_noise.dtype, layout)
        if key not in self._graphs:
            self._graphs[key] = self._recorded(x, c_noise, condition)
        graph = self._graphs[key]
        fresh = () if graph.source is condition else tensors
        for own, given in zip(graph.inputs, (x, c_noise, *fresh), strict=False):
            own.copy_(given)
        graph.source = condition
        graph.replay()
        return graph.result.clone()

    def _recorded(self, *inputs: Any) -> _Graph:
        own = mapped(lambda each: each.detach().clone(), inputs)
        return _Graph(flat(own)[0], *self._record(lambda: self._evaluate(*own)), inputs[2])


@attrs.define(eq=False)
class _Graph:
    """A recorded evaluation, the tensors that it reads and writes, and the tree copied in last."""

    inputs: list[Tensor]
    replay: Callable[[], None]
    result: Tensor
    source: Any


def _count(kind: str) -> int:
    """Return how many devices of a kind there are."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(kind == "cpu" or torch.backends.mps.is_available())


def _own(device: torch.device, processes: Processes) -> torch.device:
    """Return the device of a process, one of several. Raises DeviceError where it has none."""
    if device.type == "mps" or (device.type == "cuda" and device.index is not None):
        raise DeviceError(
            f"device {str(device)!r} cannot be shared by {processes.count} processes; use "
            f"--device cuda or --device cpu"
        )
    if device.type == "cuda":
        if processes.local >= (count := _count("cuda")):
            raise DeviceError(
                f"process {processes.rank} would be number {processes.local + 1} on a machine "
                f"with {count} CUDA devices; start {count} processes on each machine, or use "
                f"--device cpu"
            )
        device = torch.device("cuda", processes.local)
        torch.cuda.set_device(device)
    return device


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device(next(kind for kind in KINDS if _count(kind)))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in KINDS:
        raise DeviceError(f"device {name!r} is unknown; use auto, cpu, cuda, cuda:0 or mps")
    if (device.index or 0) >= (count := _count(device.type)):
        raise DeviceError(
            f"device {name!r} is not there: this machine has {count} devices of the kind "
            f"{device.type}; use --device cpu"
        )
    return device
