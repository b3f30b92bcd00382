"""The formats of checkpoint files, recognised by their first bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from kernel import ForeignFile, InputError
from kernel_audio_import._globals import GLOBALS
from kernel_audio_import._machine import Allowed, Budget, Malformed, interpret
from kernel_audio_import._names import flatten
from kernel_audio_import._stored import ITEM_SIZES, Storage, Stored, byte_size, numbers

__all__ = ["opened"]

_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_EXPANDED = 4  # how many tensors may share the same values, on average
_ALWAYS = 1 << 30
_SAFETENSORS = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}


@contextmanager
def opened(path: Path) -> Iterator[ForeignFile]:
    """Yield the content of a checkpoint; load its tensors inside the block.

    Takes the formats of `torch.save`, pickles, and safetensors. Raises InputError for a file that
    cannot be read, also for a damaged tensor that the block loads.
    """
    try:
        with path.open("rb") as file:
            try:
                found = _read(file, path)
            except (BadZipFile, ValueError, RuntimeError) as error:
                raise Malformed(str(error)) from error
            yield found
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the spelling of the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a checkpoint; name the file in it") from None
    except Malformed as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint ({error}); get the file again, or export its "
            "weights again with the project that wrote it"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check its permissions") from error


def _read(file: IO[bytes], path: Path) -> ForeignFile:
    unknown: set[str] = set()
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if not head:
        raise Malformed("it is empty")
    content: Any
    if path.suffix == ".safetensors":
        tensors, content = _safetensors(file, size)
    else:
        zipped = head == b"PK\x03\x04"
        budget = Budget(size)
        content = (
            _archive(ZipFile(file), size, unknown, budget)
            if zipped
            else _pickle(file, size, unknown, budget)
        )
        tensors = flatten(content)
    if sum(map(byte_size, tensors.values())) > max(_EXPANDED * size, _ALWAYS):
        raise Malformed("it unpacks to more than it holds")
    return ForeignFile(path, tensors, content, tuple(sorted(unknown)))


def _table(unknown: set[str], budget: Budget) -> Mapping[tuple[str, str], Any]:
    """Return the names that a pickle may use; a plain pickle holds a storage as a file inside."""

    def nested(content: Any) -> Any:
        with budget.nested():
            return _pickle(BytesIO(content), len(content), unknown, budget)

    return {**GLOBALS, ("torch.storage", "_load_from_bytes"): Allowed(nested)}


def _archive(archive: ZipFile, size: int, unknown: set[str], budget: Budget) -> Any:
    """Read the format that torch.save has written since 1.6: a pickle beside its storages."""
    names = [entry.filename for entry in archive.infolist()]
    roots = [name.removesuffix("data.pkl") for name in names if Path(name).name == "data.pkl"]
    if any(Path(name).name in ("constants.pkl", "model.json") for name in names):
        raise Malformed("it is a TorchScript archive, which is a program and not weights")
    if not roots:
        raise Malformed("it is an archive without a pickle")
    if sum(entry.file_size for entry in archive.infolist()) > size:
        raise Malformed("it unpacks to more than it holds")
    root = min(roots, key=len)
    if f"{root}byteorder" in names and _record(archive, f"{root}byteorder") != b"little":
        raise Malformed("it holds big-endian numbers")

    def persistent(given: Any) -> Storage:
        _, dtype, key, _, count = given
        place = f"{root}data/{_key(key)}"
        found = _storage(dtype, count, lambda: _record(archive, place))
        if archive.getinfo(place).file_size < found.count * ITEM_SIZES[found.dtype]:
            raise Malformed("it is cut short")
        return found

    pickle = BytesIO(_record(archive, f"{root}data.pkl"))
    return interpret(pickle, _table(unknown, budget), persistent, unknown, budget)


def _record(archive: ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except Exception as error:  # encrypted, packed by an unknown method, damaged
        raise Malformed(f"its part {name} cannot be read: {error}") from error


def _pickle(file: IO[bytes], size: int, unknown: set[str], budget: Budget) -> Any:
    """Read a plain pickle, or the format of torch.save before 1.6, which is a row of them."""
    table = _table(unknown, budget)
    value = interpret(file, table, _refuse, unknown, budget)
    if not isinstance(value, int) or value != _MAGIC:
        return value
    interpret(file, table, _refuse, unknown, budget)  # the version of the format, 1001 for ever
    system = interpret(file, table, _refuse, unknown, budget)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise Malformed("it holds big-endian numbers")
    places: dict[str, int] = {}
    declared: dict[str, Storage] = {}

    def persistent(given: Any) -> Any:
        if given[0] == "module":  # a class with its source, of a whole network
            return given[1]
        _, dtype, key, _, count, view = given

        name = _key(key)

        def content() -> bytes:
            file.seek(places[name])
            return file.read(whole.count * ITEM_SIZES[whole.dtype])

        whole = declared.setdefault(name, _storage(dtype, count, content))
        if view is None:
            return whole
        _, start, count = view
        return _storage(dtype, count, content, start)

    value = interpret(file, table, persistent, unknown, budget)
    keys = interpret(file, table, _refuse, unknown, budget)
    for name in map(_key, keys):
        # Each storage is the number of its values, in eight bytes, and the values.
        places[name] = file.tell() + 8
        storage = declared.get(name)
        if storage is None or int.from_bytes(file.read(8), "little") != storage.count:
            raise Malformed("its storages are not those that it lists")
        end = places[name] + storage.count * ITEM_SIZES[storage.dtype]
        if end > size:
            raise Malformed("it is cut short")
        file.seek(end)
    if declared.keys() - places.keys():
        raise Malformed("it is cut short")
    return value


def _storage(dtype: Any, count: Any, read: Callable[[], bytes], start: Any = 0) -> Storage:
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise Malformed("a storage has no type")
    count, start = numbers([count, start])
    return Storage(dtype, count, read, start)


def _key(given: Any) -> str:
    """Return the name of a storage; other values are not even turned into text."""
    if not isinstance(given, str | int):
        raise Malformed("a storage has no name")
    return str(given)


def _refuse(_: Any) -> Any:
    raise Malformed("it refers to storages that it does not have")


def _safetensors(file: IO[bytes], size: int) -> tuple[dict[str, Stored], Any]:
    """Read the header: its length in eight bytes, then JSON with the place of each tensor."""
    begin = 8 + int.from_bytes(file.read(8), "little")
    if not 8 < begin <= size:
        raise Malformed("it has no header")
    try:
        header = json.loads(file.read(begin - 8))
        metadata = header.pop("__metadata__", {})
        places = {name: numbers(entry["data_offsets"]) for name, entry in header.items()}
        tensors = {
            name: _entry(file, begin, entry["dtype"], entry["shape"], *places[name])
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(f"its header is damaged: {str(error) or type(error).__name__}") from error
    end = 0
    for first, last in sorted(places.values()):
        if first < end:
            raise Malformed("its tensors overlap")
        end = last
    if begin + end > size:
        raise Malformed("it is cut short")
    return tensors, metadata


def _entry(file: IO[bytes], begin: int, dtype: str, shape: object, first: int, last: int) -> Stored:
    """Return the tensor in the bytes from `first` to `last`, counted from the end of the header."""
    sizes, kind = numbers(shape), _SAFETENSORS[dtype]
    if last - first != prod(sizes) * ITEM_SIZES[kind]:
        raise Malformed(
            f"a tensor of shape {sizes} takes {prod(sizes) * ITEM_SIZES[kind]} bytes and has"
            f" {last - first}"
        )

    def content() -> bytes:
        file.seek(begin + first)
        return file.read(last - first)

    storage = _storage(kind, prod(sizes), content)
    return Stored.of(storage, 0, sizes, [prod(sizes[axis + 1 :]) for axis in range(len(sizes))])
