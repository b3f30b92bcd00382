"""The record of a run, `run.json`.

An item's `given` is the file of the recording that it was made from. `given_part` is the part that
the file holds, [start, stop] in seconds. `spans` are the parts that the run made, [[start, stop],
...]. `nfe` counts the calls of the network in one trajectory, `gradients` the backward passes
through them, and `network_items` the batch items in all calls of the run.

    name        of the run
    command     the words after `kernel` on the command line
    created     when, ISO 8601
    plugins     [{kind, name, distribution, version, options: {...}, ...}]
    replaced    [{replaced, by}]
    model       {name, distribution, version, ...}
    sampling    {steps, nfe, gradients, network_items, seed, count, batch, sample_rate, seconds}
    device      {device, name, precision, threads, ...}
    versions    {library: version}
    seconds     wall time of the whole run
    warnings    [sentence, ...]
    items       [{name, file, label, seconds, sample_rate, gain, seed, scores, given, ...}]
    scores      [{name, scope, value, std, count, higher_is_better}]
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kernel.errors import NumericalError
from kernel.files import write_atomic

__all__ = ["read_as", "write_json"]

SchemaT = TypeVar("SchemaT", bound=BaseModel)


def read_as(schema: type[SchemaT], path: Path, loads: Callable[[str], Any] = json.loads) -> SchemaT:
    """Return the content of a file. Raises ValueError with the reason in a few words."""
    try:
        return schema.model_validate(loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")
    except FileNotFoundError:
        reason = "it does not exist"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise ValueError(reason)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` atomically as JSON: keys sorted, indented, a newline at the end.

    Raises NumericalError naming the first value that is NaN or infinite, which JSON cannot hold,
    and OutputError when the place cannot be written.
    """
    for where, value in _numbers(record, ""):
        if not math.isfinite(value):
            raise NumericalError(
                f"cannot write {path}: {where} is {value}, which JSON cannot hold;"
                " find out where the run left the finite numbers"
            )
    text = json.dumps(record, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, f"{text}\n".encode(errors="backslashreplace"))


def _numbers(value: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif isinstance(value, Mapping):
        for key, part in sorted(value.items()):
            yield from _numbers(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{where}[{index}]")
