"""What importers are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from kernel.kinds.importer import ForeignFile
from kernel_audio_testing._subject import Subject, Violation, require

__all__ = ["CHECKS"]


@attrs.frozen
class _Shut:
    """A tensor that must not be loaded."""

    dtype: str = "float32"
    shape: tuple[int, ...] = (4, 4)

    def load(self) -> Any:
        """Say that it was loaded."""
        raise Violation("detect() loads a tensor; names, shapes and values have to be enough")


def _strangers() -> list[ForeignFile]:
    """Return files of nobody's: an empty one, and nonsense where a family has sense."""
    path = Path("nowhere", "stranger.ckpt")
    names = ("stranger.weight", "state_dict.stranger.weight", "", ".", "state_dict")
    tensors = {name: _Shut() for name in names}
    nonsense: list[Any] = [None, 7, "text", [], [[None]], object()]
    keys = ("state_dict", "hyper_parameters", "config", "metadata", "params", "ema", "model", "net")
    contents = [*nonsense, *(dict.fromkeys(keys, each) for each in nonsense)]
    return [ForeignFile(path, {}), *(ForeignFile(path, tensors, each) for each in contents)]


def check_strangers(subject: Subject) -> str | None:
    """Check that `detect` rejects foreign files without an error or loading a tensor."""
    importer = subject.make()
    for file in _strangers():
        try:
            known = importer.detect(file)
        except Violation:
            raise
        except Exception as error:
            raise Violation(
                f"detect() raises {type(error).__name__} ({error}) for a file that holds "
                f"{file.content!r:.60}; return False"
            ) from error
        require(known is False, f"detect() returns {known!r} for a file of nobody's")
    return None


CHECKS = (check_strangers,)
