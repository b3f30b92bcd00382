"""torch and torchaudio, which must fit each other, and of which neither says so."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from kernel.errors import DeviceError, KernelError, PluginError

_WORKER = re.compile(r"DataLoader worker.*?(?:by signal: (.*?)\. |exited unexpectedly)")
_MEMORY = re.compile("out of memory|can't allocate memory|bad allocation", re.IGNORECASE)


def check_pair() -> None:
    """Import torch and torchaudio. Raises KernelError when the two do not match.

    torchaudio 2.11, its last release, declares no torch requirement; built against CUDA 13.0, it
    refuses torch 2.15 and later (CUDA 13.2) and cannot be loaded beside a CPU-only torch.
    """
    try:
        import torch  # noqa: F401
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error) else repr(error)
        raise KernelError(
            f"torch {_version('torch')} and torchaudio {_version('torchaudio')} do not work "
            f"together ({reason}); install the tested pair: "
            f"pip install torch==2.11.0 torchaudio==2.11.0"
        ) from None


@contextmanager
def guarded() -> Iterator[None]:
    """Turn memory that is used up into a DeviceError, and a plugin's `sys.exit` into its error.

    A DeviceError says as well that a worker process was ended from outside.
    """
    try:
        yield
    except SystemExit as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"{last.filename}:{last.lineno} ended the process with sys.exit({error.code!r}); leave "
            f"its plugin out, or have its author raise an error"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if lost := _WORKER.search(str(error)):
            raise DeviceError(
                f"a process that reads the data was ended ({lost[1] or 'unexpectedly'}), perhaps "
                f"for want of memory or of room in /dev/shm; take fewer --workers, or 0"
            ) from error
        # torch.OutOfMemoryError is a RuntimeError; on the CPU there is the sentence alone.
        if not isinstance(error, MemoryError) and not _MEMORY.search(str(error)):
            raise
        reason = str(error).partition("\n")[0][:200] or "no more of it"
        raise DeviceError(
            f"the memory is used up ({reason}); take a smaller batch, shorter sounds or another "
            f"device"
        ) from error


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"
