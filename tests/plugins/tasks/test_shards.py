"""Sounds in shards are the sounds of the folder that they were made from."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import tarfile
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from kernel import InputError, Item, OutputError, UsageError
from kernel_plugins.commands.shards import ShardsCommand
from kernel_plugins.tasks.labelled import Labelled
from kernel_plugins.tasks.unconditional import Unconditional

RATE = 8000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of twelve sounds of three labels, one with a name of other letters."""
    for index in range(12):
        label = ("kick", "snäre", "tom")[index % 3]
        place = tmp_path / "data" / label / f"{label}_{index}{'x' * (index * 10)}.flac"
        place.parent.mkdir(parents=True, exist_ok=True)
        sound = 0.1 * torch.randn(400 + 100 * index, generator=seeded(index))
        soundfile.write(place, sound.numpy(), RATE * (1 + index % 2), subtype="PCM_16")
    return tmp_path / "data"


def task(path: Path, **options: object) -> Labelled:
    given = {"path": path, "sample_rate": RATE, "seconds": 0.1}
    return Labelled.model_validate(given | options)


def items(made: Labelled, split: str = "train") -> list[Item]:
    data = made.dataset(split)
    return [data.item(index, seeded(index)) for index in range(len(data))]


def same(one: list[Item], other: list[Item]) -> bool:
    return len(one) == len(other) > 0 and all(
        torch.equal(a.audio, b.audio) and torch.equal(a.vector, b.vector)  # type: ignore[arg-type]
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("size", [1, 10_000, 10**9])
def test_shards_give_the_items_of_the_folder(folder: Path, size: int) -> None:
    out = folder.parent / "shards"
    said = task(folder).shard(out, size)
    count = len(list(out.glob("*.tar")))
    assert count == {1: 12, 10**9: 1}.get(size, count)
    assert said[0].startswith(f"sounds: 12; shards: {count}, together ")
    for split, fraction in (("train", 0.0), ("train", 0.4), ("valid", 0.4)):
        whole = task(folder, valid_fraction=fraction)
        assert same(items(task(out, valid_fraction=fraction), split), items(whole, split))
    made = task(out).resolve()
    assert made.labels == ("kick", "snäre", "tom")
    assert made.describe(made.dataset("train")) == (
        f"12 sounds in {out}: 0.000292 hours, 8000 Hz 6, 16000 Hz 6",
        "3 labels: kick 4, snäre 4, tom 4",
    )


def test_items_have_the_names_of_their_files(folder: Path) -> None:
    task(folder).shard(folder.parent / "shards", 10_000)
    table = folder.parent / "t.csv"
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.flac"))
    table.write_text("\n".join(["path,label", *(f"{path},x" for path in paths)]))
    for made in (task(folder), task(folder, manifest=table), task(folder.parent / "shards")):
        assert [item.name for item in items(made)] == paths


def test_shards_are_tar_files_like_any_others_and_may_be_indexed_again(folder: Path) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 5000)
    before = items(task(out))
    names = []
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
            for each in tar.getnames():
                assert tar.extractfile(each).read() == (folder / each).read_bytes()  # type: ignore[union-attr]
    assert names == [path.relative_to(folder).as_posix() for path in task(folder).files()]
    for path in out.glob("shards.*"):
        path.unlink()
    with pytest.raises(InputError, match=r"tar files without an index; .* kernel shards --index /"):
        task(out).dataset("train")
    (said,) = task(out).shard(None, 1)
    assert said.startswith("sounds: 12; ")
    assert same(items(task(out)), before)


def test_a_data_set_of_shards_goes_to_other_processes(folder: Path) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 5000)
    data = task(out).dataset("train")
    wanted = [data.item(index, seeded(index)).audio for index in range(len(data))]
    again = pickle.loads(pickle.dumps(data))
    assert all(torch.equal(again.item(i, seeded(i)).audio, each) for i, each in enumerate(wanted))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        sums = pool.map(Sum(data), range(12))
    assert sums == [float(each.sum()) for each in wanted]


class Sum:
    def __init__(self, data: object) -> None:
        self.data = data

    def __call__(self, index: int) -> float:
        return float(self.data.item(index, seeded(index)).audio.sum())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "cut",
            r"^the shard .*000001\.tar is \d+ bytes long, and it had \d+ bytes when it wa",
        ),
        (
            "gone",
            r"^the shard .*000001\.tar is missing, and it had .* bytes .*; copy it again$",
        ),
        ("index", r"^the index of .* is damaged \(11 of 12 rows\); write it .* shards --index /"),
        (
            "lengths",
            r"^the index of .* is damaged \(10 of 12 rows\); write it anew with kernel sha",
        ),
        ("facts", r"^the index of .* is damaged \(.*\); write it anew with kernel shards --index"),
        ("names", r"^the index of .* is damaged \(.*No such file.*\); write it anew"),
    ],
)
def test_shards_that_are_not_whole_are_one_sentence(
    folder: Path, damage: str, message: str
) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 5000)
    if damage == "cut":
        (out / "000001.tar").write_bytes((out / "000001.tar").read_bytes()[:-3000])
    elif damage == "gone":
        (out / "000001.tar").unlink()
    elif damage == "index":
        (out / "shards.index").write_bytes((out / "shards.index").read_bytes()[:-24])
    elif damage == "lengths":
        (out / "shards.lengths").write_bytes((out / "shards.lengths").read_bytes()[:-24])
    elif damage == "names":
        (out / "shards.names").unlink()
    else:
        (out / "shards.json").write_text('{"items": 12}')
    with pytest.raises(InputError, match=message) as caught:
        task(out).dataset("train")
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_cut_off_later_is_named_or_another_stands_in(folder: Path) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 10**9)
    stop, skip = (task(out, bad_files=what).dataset("train") for what in ("stop", "skip"))
    (shard,) = out.glob("*.tar")
    with tarfile.open(shard) as tar:
        last = tar.getmembers()[-1]
    shard.write_bytes(shard.read_bytes()[: last.offset_data + 40])
    with pytest.raises(InputError, match=r"^the shard .*000000\.tar is cut off, and it had"):
        stop.item(11, seeded())
    assert len(skip.item(11, seeded(3)).skipped) == 1
    assert not stop.item(0, seeded()).skipped


def test_a_cut_tar_file_and_one_without_audio_are_not_indexed(folder: Path) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 10**9)
    (shard,) = out.glob("*.tar")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"000000\.tar cannot be read as a tar file .*; copy"):
        task(out).shard(None, 1)
    with tarfile.open(shard, "w") as tar:
        tar.add(__file__, "notes.txt")
    with pytest.raises(InputError, match=r"^no audio in tar files in "):
        task(out).shard(None, 1)


def test_bad_sounds_are_named_or_left_out(folder: Path) -> None:
    out, bad = folder.parent / "shards", folder / "tom" / "tom_bad.flac"
    bad.write_bytes(b"fLaC")
    with pytest.raises(InputError, match=r"tom_bad\.flac"):
        task(folder).shard(out, 5000)
    assert [path.name for path in folder.parent.iterdir()] == ["data"]
    said = task(folder, bad_files="skip").shard(out, 5000)
    assert said[2].startswith(f"refused: cannot read {bad}")
    made = task(out)
    assert made.describe(made.dataset("train"))[1] == said[2]


def test_a_manifest_chooses_what_goes_into_shards_and_not_what_is_read(folder: Path) -> None:
    first, *_ = task(folder).files()
    table = folder.parent / "t.csv"
    table.write_text(f"path,label\n{first.relative_to(folder)},x\n")
    out = folder.parent / "shards"
    assert task(folder, manifest=table).shard(out, 1)[0].startswith("sounds: 1; shards: 1,")
    with pytest.raises(UsageError, match=r"holds shards, .*; leave -o task\.manifest out$"):
        task(out, manifest=table).dataset("train")


def test_the_command_makes_shards_and_indexes_them(folder: Path) -> None:
    out = folder.parent / "shards"
    command = ShardsCommand().build()

    def run(*arguments: object) -> str:
        words = [str(each) for each in arguments]
        result = CliRunner().invoke(command, words, catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert run(folder, "--out", out).startswith("sounds: 12; shards: 1,")
    assert len(Unconditional(path=out, sample_rate=RATE).dataset("train")) == 12
    (out / "shards.json").unlink()
    run("--index", out)
    assert json.loads((out / "shards.json").read_text())["items"] == 12
    with pytest.raises(OutputError, match="exists already; choose another --out"):
        run(folder, "--out", out)
    for wrong in ((folder,), (folder, "--index", "--out", out)):
        with pytest.raises(UsageError, match="takes either --out FOLDER or --index; name one"):
            run(*wrong)


@pytest.mark.parametrize("given", [{}, {"augment_speed": 20}, {"trim": 20.0}, {"seconds": 0.06}])
@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_the_length_of_an_item_is_known_before_it_is_read(
    folder: Path, given: dict[str, float], fraction: float
) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 10_000)
    for place in (folder, out):
        made = task(place, mask_padding=True, valid_fraction=fraction, **given)
        data = made.dataset("train")
        known = made.lengths(data)
        assert len(known) == len(data)
        for index, most in enumerate(known):
            found = [data.item(index, seeded(draw)).valid for draw in range(8)]
            assert all(each is not None and each <= most for each in found)
            if "trim" not in given:
                assert max(filter(None, found)) > 0.8 * most


def test_the_length_of_padding_that_is_learnt_is_no_length(folder: Path) -> None:
    made = task(folder)
    with pytest.raises(
        UsageError, match=r"^the padding of sounds is learnt as silence, so .*=true$"
    ):
        made.lengths(made.dataset("train"))


def test_an_index_of_sounds_that_were_not_read_has_no_lengths(folder: Path) -> None:
    out = folder.parent / "shards"
    task(folder).shard(out, 10_000)
    task(out).shard(None, 0)
    made = task(out, mask_padding=True)
    with pytest.raises(
        InputError, match=r"^the index of .*shards lacks the lengths of the sounds; "
    ):
        made.lengths(made.dataset("train"))
