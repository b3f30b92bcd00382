import errno
import os
from pathlib import Path

import pytest

from kernel.errors import OutputError
from kernel.files import output_error, staged, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def broken(code: int):
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_write_atomic_writes_the_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.bin", b"\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a.bin"]


def test_write_atomic_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a much longer older file")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_write_atomic_obeys_the_umask_like_any_other_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "atomic", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_older_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr({"fsync": os, "replace": Path}[step], step, broken(errno.ENOSPC))
    with pytest.raises(OutputError, match="no space is left on the device; free some space"):
        write_atomic(path, b"new")
    assert names(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_ctrl_c_in_the_middle_of_a_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.bin", b"new")
    assert names(tmp_path) == []


def test_the_bytes_are_synced_before_the_name_changes_hands_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(names(tmp_path)))
    write_atomic(tmp_path / "a.bin", b"new")
    assert len(seen) == 2
    assert "a.bin" not in seen[0]
    assert seen[1] == ["a.bin"]


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a.bin"
    with pytest.raises(OutputError) as caught:
        write_atomic(path, b"")
    assert (
        str(caught.value)
        == f"cannot write {path}: its folder does not exist; create the folder first"
    )


def test_a_path_through_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a directory; choose a path below a folder"):
        write_atomic(tmp_path / "file" / "a.bin", b"")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(OutputError, match="it is a folder; choose another name"):
        write_atomic(tmp_path / "a.bin", b"")
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EROFS, "the file system is read-only; choose a place that can be written"),
        (errno.EACCES, "permission is denied; choose a place that you may write to"),
        (errno.EDQUOT, "the disk quota is used up; free some space"),
        (errno.EIO, "Input/output error; choose another place"),
    ],
)
def test_the_reason_is_put_in_words(code: int, words: str) -> None:
    error = output_error(Path("runs/a.wav"), OSError(code, os.strerror(code)))
    assert str(error).startswith(f"cannot write runs/a.wav: {words}")


def test_staged_shows_the_folder_only_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    with staged(folder) as stage:
        (stage / "a.wav").write_bytes(b"sound")
        assert not folder.exists()
        assert stage.parent == folder.parent
        assert stage.name.startswith(".first.partial-")
    assert names(folder.parent) == ["first"]
    assert (folder / "a.wav").read_bytes() == b"sound"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_staged_removes_everything_when_the_block_raises(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), staged(tmp_path / "first") as stage:
        (stage / "deep").mkdir()
        (stage / "deep" / "a.wav").write_bytes(b"half")
        raise error
    assert names(tmp_path) == []


def test_staged_refuses_a_folder_that_exists_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with (
        pytest.raises(OutputError, match="first exists already; choose another name or remove it"),
        staged(tmp_path / "first"),
    ):
        pytest.fail("the block was entered")
    assert names(tmp_path) == ["first"]


@pytest.mark.parametrize("content", [[], ["theirs"]], ids=["empty", "filled"])
def test_a_name_taken_meanwhile_costs_neither_side_its_work(
    tmp_path: Path, content: list[str]
) -> None:
    folder = tmp_path / "first"
    with (
        pytest.raises(OutputError, match=r"taken meanwhile; everything is in .*partial") as caught,
        staged(folder) as stage,
    ):
        (stage / "ours").write_bytes(b"")
        folder.mkdir()
        for name in content:
            (folder / name).write_bytes(b"")
    assert names(folder) == content
    assert names(stage) == ["ours"]
    assert str(stage) in str(caught.value)


def test_staged_says_why_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match=r"file/first: a part of its path is not a directory"),
        staged(tmp_path / "file" / "first"),
    ):
        pytest.fail("the block was entered")


def test_staged_says_when_the_place_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", broken(errno.EROFS))
    with pytest.raises(OutputError, match="the file system is read-only"), staged(tmp_path / "a"):
        pytest.fail("the block was entered")


def test_a_refused_folder_leaves_none_of_the_parents_that_were_made_for_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(ValueError), staged(kept / "runs" / "today" / "first"):
        raise ValueError
    assert names(tmp_path) == ["kept"] and names(kept) == []


def test_a_parent_that_somebody_else_uses_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError), staged(tmp_path / "runs" / "first"):
        (tmp_path / "runs" / "theirs").mkdir()
        raise ValueError
    assert names(tmp_path / "runs") == ["theirs"]


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "old").write_bytes(b"")
    return folder


def test_staged_replaces_a_folder_when_the_new_one_is_whole(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    with staged(folder, replace=True) as stage:
        (stage / "new").write_bytes(b"")
        assert names(folder) == ["old"]
    assert names(tmp_path) == ["model"] and names(folder) == ["new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.EIO, "bad disk")])
def test_a_folder_that_cannot_be_replaced_is_there_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    folder, replace, moves = model(tmp_path / "model"), Path.replace, []

    def fails_to_name_the_new_one(path: Path, target: Path) -> Path:
        moves.append(path)
        if len(moves) == 2:
            raise error
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fails_to_name_the_new_one)
    with pytest.raises((KeyboardInterrupt, OutputError)), staged(folder, replace=True) as stage:
        (stage / "new").write_bytes(b"")
    assert moves[:2] == [folder, stage] and names(folder) == ["old"] and names(stage) == ["new"]
