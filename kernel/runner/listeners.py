"""Embeddings and classifiers of audio, found by the name of an installed module."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.locate import locate

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.runner.device import Machine

__all__ = ["listener"]


def listener(spelling: str, machine: Machine) -> Callable[[Tensor, int], Tensor]:
    """Return what `MODULE:NAME` names, called as (audio [B, C, L], sample_rate) -> [B, M].

    NAME is such a function, or a class of `torch.nn.Module` that is one; the module is made without
    arguments, moved to the device and frozen. The command line's path has what is installed
    and not the working directory. Raises UsageError for a name that leads nowhere
    and PluginError for a module that cannot be imported.
    """
    from torch import nn

    module, colon, name = spelling.partition(":")
    if not (colon and module and name.isidentifier()):
        raise UsageError(
            f"{spelling!r} names no embedding or classifier; write MODULE:NAME, such as "
            f"my_package.timbre:embed"
        )
    if locate(module) is None:
        raise UsageError(
            f"there is no installed module {module!r} for {spelling!r}; install the distribution "
            f"that has it (the working directory is not looked into)"
        )
    try:
        found: Any = getattr(import_module(module), name)
    except AttributeError:
        known = [each for each in dir(import_module(module)) if not each.startswith("_")]
        raise UsageError(
            f"{module} has nothing called {name!r}{did_you_mean(name, known)}"
        ) from None
    except Exception as error:
        raise PluginError(f"{spelling} cannot be imported: {error}; reinstall it") from error
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = machine.place(found()).eval().requires_grad_(False)
    if not callable(found):
        raise UsageError(f"{spelling} is a {type(found).__name__}, which cannot be called")
    return found  # type: ignore[no-any-return]
