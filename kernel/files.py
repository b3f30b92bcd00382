"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from kernel.errors import OutputError

__all__ = ["CLAIM", "claimed", "numbered", "output_error", "staged", "synced", "write_atomic"]

CLAIM = ".lock"
"""The file by which a process holds a folder."""

_REASONS = {
    errno.EROFS: ("the file system is read-only", "choose a place that can be written"),
    errno.ENOSPC: ("no space is left on the device", "free some space or choose another device"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another device"),
    errno.EACCES: ("permission is denied", "choose a place that you may write to"),
    errno.EPERM: ("permission is denied", "choose a place that you may write to"),
    errno.ENOTDIR: ("a part of its path is not a directory", "choose a path below a folder"),
    errno.EEXIST: ("a part of its path is not a directory", "choose a path below a folder"),
    errno.ENOENT: ("its folder does not exist", "create the folder first"),
    errno.EISDIR: ("it is a folder", "choose another name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a `path` that could not be written: what, why, what to do."""
    reason, remedy = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "choose another place")
    )
    return OutputError(f"cannot write {path}: {reason}; {remedy}")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    The bytes are on the disk before the name changes hands. The folder must exist.
    Raises OutputError when the place cannot be written; nothing is left behind then.
    """
    partial = _partial(path)
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        synced(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def synced(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, on the disk before anything else happens."""
    # Windows opens no folders; there the file system keeps the order.
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def claimed(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder against other processes until the block ends; it is free when this one dies.

    The folder is created, and removed when it is empty in the end. doing: the words for the message
    of another process. Raises OutputError for a folder that another process holds.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = folder / CLAIM
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise output_error(folder, error) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # workers would inherit a flock
        except BlockingIOError:
            file.seek(0)
            raise OutputError(
                f"{folder} is {doing} by {file.read() or 'another process'}; wait until it ends, "
                f"or choose another folder"
            ) from None
        except OSError:  # A file system without locks.
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                for each in made:
                    each.rmdir()


@contextmanager
def staged(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty hidden sibling of `folder` that takes its name when the block ends well.

    Parents are created. When the block raises anything at all, Ctrl-C included, the sibling and
    what it holds are removed, and so are the created parents that are empty. Should another process
    take the name meanwhile, the sibling is whole: it is kept, and the error says where.

    replace: a folder that has the name is removed after the sibling took its place.

    Raises OutputError when `folder` exists, unless it is to be replaced, or cannot be created.
    """
    if os.path.lexists(folder) and not replace:
        raise OutputError(f"{folder} exists already; choose another name or remove it first")
    made = [each for each in folder.parents if not each.exists()]
    partial, old = _partial(folder), _partial(folder)
    try:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            raise output_error(folder, error) from error
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise
    try:
        if os.path.lexists(folder):
            if not replace:
                raise FileExistsError(errno.ENOTEMPTY, "the name was taken meanwhile")
            folder.replace(old)
        synced(partial)
        partial.replace(folder)
        synced(folder.parent)
    except BaseException as error:
        if os.path.lexists(old) and not os.path.lexists(folder):
            old.replace(folder)
        if not isinstance(error, OSError):
            raise
        raise OutputError(
            f"cannot name the finished folder {folder}: {error.strerror};"
            f" everything is in {partial}, rename it"
        ) from error
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def numbered(parent: Path, stem: str) -> Iterator[Path]:
    """Yield `parent/STEM-N` with the first N that is free, and claim it meanwhile.

    A hidden file claims the name until the block ends. Raises OutputError for a parent that cannot
    be written.
    """
    there = parent.exists()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = parent / f"{stem}-{number}"
            claim = parent / f".{folder.name}.claim"
            if os.path.lexists(folder):
                continue
            with suppress(FileExistsError):
                claim.touch(exist_ok=False)
                # The run that had the claim may have finished in between.
                if not os.path.lexists(folder):
                    break
                claim.unlink()
    except OSError as error:
        raise output_error(parent / stem, error) from error
    try:
        yield folder
    finally:
        claim.unlink(missing_ok=True)
        if not there:
            with suppress(OSError):
                parent.rmdir()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
