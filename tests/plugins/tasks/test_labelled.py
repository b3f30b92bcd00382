from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from pydantic import ValidationError

from kernel import ConditionSpec, InputError, UsageError
from kernel_plugins.tasks.labelled import Labelled

RATE = 8000
DIGITS = Path(__file__).parents[3] / ".." / "shared" / "data" / "fsdd" / "train"


def save(path: Path, value: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, torch.full((80,), value).numpy(), RATE, subtype="FLOAT")
    return path


def task(path: Path | None, **options: object) -> Labelled:
    defaults = {"path": path, "sample_rate": RATE, "seconds": 0.01, "normalize": "none"}
    return Labelled.model_validate(defaults | options)


def learnt(made: Labelled, split: str = "train") -> list[tuple[float, list[float]]]:
    """Return the value and the one-hot vector of every item."""
    data, generator = made.dataset(split), torch.Generator()
    items = [data.item(index, generator) for index in range(len(data))]
    vectors = [item.vector for item in items]
    assert all(vector is not None and vector.ndim == 1 for vector in vectors)
    return [
        (round(float(item.audio[0, 0]), 2), vector.tolist())
        for item, vector in zip(items, vectors, strict=True)
        if vector is not None
    ]


def test_labels_are_found_in_file_names(tmp_path: Path) -> None:
    for value, name in ((0.1, "no_anna_1.wav"), (0.2, "yes_anna_1.wav"), (0.3, "no_carl_2.wav")):
        save(tmp_path / name, value)
    made = task(tmp_path).resolve()
    assert (made.labels, made.condition) == (("no", "yes"), ConditionSpec(vector=2))
    assert learnt(made) == [(0.1, [1, 0]), (0.3, [1, 0]), (0.2, [0, 1])]


def test_a_pattern_says_where_the_label_is(tmp_path: Path) -> None:
    save(tmp_path / "001-dog.wav")
    save(tmp_path / "002-cat.wav")
    assert task(tmp_path, label_pattern=r"-(\w+)$").resolve().labels == ("cat", "dog")


def test_labels_are_found_in_folder_names(tmp_path: Path) -> None:
    save(tmp_path / "kick" / "a_1.wav", 0.1)
    save(tmp_path / "more" / "snare" / "b_1.wav", 0.2)
    made = task(tmp_path, label_from="folder").resolve()
    assert made.labels == ("kick", "snare")
    assert learnt(made) == [(0.1, [1, 0]), (0.2, [0, 1])]


def test_labels_are_found_in_a_table(tmp_path: Path) -> None:
    save(tmp_path / "data" / "b.wav", 0.2)
    save(tmp_path / "data" / "a.wav", 0.1)
    outside = save(tmp_path / "c.wav", 0.3)
    save(tmp_path / "data" / "unnamed.wav", 0.9)
    table = tmp_path / "t.csv"
    table.write_text(
        f'\ufefffile,n,what\nb.wav,1,"loud, long"\n\na.wav,2,soft\n{outside},3,soft\n',
        encoding="utf-8",
    )
    made = task(
        tmp_path / "data", manifest=table, manifest_path="file", manifest_label="what"
    ).resolve()
    assert made.labels == ("loud, long", "soft")
    assert learnt(made) == [(0.3, [0, 1]), (0.1, [0, 1]), (0.2, [1, 0])]


def test_a_manifest_may_be_json_lines(tmp_path: Path) -> None:
    save(tmp_path / "b.wav", 0.2)
    save(tmp_path / "a.wav", 0.1)
    table = tmp_path / "t.jsonl"
    table.write_text('{"path": "b.wav", "label": 7, "n": 1}\n\n{"path": "a.wav", "label": "x"}\n')
    made = task(tmp_path, manifest=table).resolve()
    assert made.labels == ("7", "x")
    assert learnt(made) == [(0.1, [0, 1]), (0.2, [1, 0])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.wav"}\n', r"no column 'label', only path; set -o task\.manifest_label"),
        ('{"path": "a.wav", "label": "x"}\n{"label": "x"}\n', r"line 2 of .* lacks a path or a la"),
        ('{"path": "a.wav"\n', r"line 1 of .*t\.jsonl is not JSON \(.*\); write an object a line"),
        ('["a.wav"]\n', r"line 1 of .*t\.jsonl is not a JSON object; write"),
    ],
)
def test_bad_json_lines_are_explained(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        task(tmp_path, manifest=table).resolve()


def drums(folder: Path) -> None:
    for name in ("kick/bd_boom.wav", "kick/drum_heavy.wav", "snare/sn_dub.wav", "tom/elec.wav"):
        save(folder / name)


def test_labels_that_folders_and_names_tell_differently_are_asked_for(tmp_path: Path) -> None:
    drums(tmp_path)
    for ask in (lambda: task(tmp_path).resolve(), lambda: task(tmp_path).dataset("train")):
        with pytest.raises(InputError) as caught:
            ask()
        assert str(caught.value) == (
            f"the labels in {tmp_path} are not clear: its folders are kick, snare, tom, and the"
            f" names of the files begin with bd, drum, sn; set -o task.label_from=folder,"
            f" or -o task.label_from=name"
        )
    assert task(tmp_path, label_from="folder").resolve().labels == ("kick", "snare", "tom")


def test_names_are_taken_where_folders_say_the_same_or_the_labels_are_given(tmp_path: Path) -> None:
    save(tmp_path / "same" / "kick" / "kick_1.wav")
    save(tmp_path / "same" / "snare_1.wav")
    assert task(tmp_path / "same").resolve().labels == ("kick", "snare")
    save(tmp_path / "voices" / "anna" / "7_1.wav")
    save(tmp_path / "voices" / "carl" / "8_1.wav")
    made = task(tmp_path / "voices", labels=("7", "8"))
    assert [vector for _, vector in learnt(made)] == [[1, 0], [0, 1]]


def test_the_labels_that_were_found_are_counted(tmp_path: Path) -> None:
    drums(tmp_path)
    made = task(tmp_path, label_from="folder").resolve()
    files, labels = made.describe(made.dataset("train"))
    assert files == f"4 sounds in {tmp_path}: 1.11e-05 hours, 8000 Hz"
    assert labels == "3 labels: kick 2, snare 1, tom 1"


def test_a_table_may_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.csv").write_text("path,label\na.wav,x\n")
    assert task(tmp_path, manifest=Path("~/t.csv")).resolve().labels == ("x",)


def test_labels_sort_numbers_by_value(tmp_path: Path) -> None:
    for label in ("10", "9", "a10", "a2", "²", "1", "01", "b"):
        save(tmp_path / f"{label}_x.wav")
    expected = ("01", "1", "9", "10", "a2", "a10", "b", "²")
    assert task(tmp_path).resolve().labels == expected


def test_given_labels_keep_their_order(tmp_path: Path) -> None:
    save(tmp_path / "no_1.wav", 0.1)
    made = task(tmp_path, labels=("yes", "no", "maybe")).resolve()
    assert made.labels == ("yes", "no", "maybe")
    assert learnt(made) == [(0.1, [0, 1, 0])]


def test_the_data_find_their_labels_without_resolve(tmp_path: Path) -> None:
    save(tmp_path / "no_1.wav", 0.1)
    save(tmp_path / "yes_1.wav", 0.2)
    assert learnt(task(tmp_path)) == [(0.1, [1, 0]), (0.2, [0, 1])]


def test_splits_keep_all_labels(tmp_path: Path) -> None:
    for index in range(60):
        save(tmp_path / f"{index % 3}_{index}.wav", index % 3 / 10)
    made = task(tmp_path, valid_fraction=0.3).resolve()
    train, valid = learnt(made), learnt(made, "valid")
    assert len(train) + len(valid) == 60
    assert len(valid) > 5
    assert all(vector.index(1) == round(value * 10) for value, vector in train + valid)


def test_files_without_a_label_are_named(tmp_path: Path) -> None:
    save(tmp_path / "no_1.wav")
    for index in range(12):
        save(tmp_path / f"odd{index:02d}.wav")
    with pytest.raises(
        InputError,
        match=r"12 of 13 files .* odd00\.wav, .*odd09\.wav and 2 more; set -o task\.label",
    ):
        task(tmp_path).resolve()


def test_files_outside_a_labels_folder_are_named(tmp_path: Path) -> None:
    save(tmp_path / "kick" / "a.wav")
    save(tmp_path / "loose.wav")
    with pytest.raises(InputError, match=r"1 of 2 files lie directly in .*: loose\.wav; set"):
        task(tmp_path, label_from="folder").resolve()


def test_files_with_an_unknown_label_are_named(tmp_path: Path) -> None:
    save(tmp_path / "no_1.wav")
    save(tmp_path / "yes_1.wav")
    with pytest.raises(InputError, match=r"(?s)1 of 2 .*yes_1\.wav has the label 'yes'; add it"):
        task(tmp_path, labels=("no",)).dataset("train")


def test_bad_files_are_named(tmp_path: Path) -> None:
    save(tmp_path / "no_1.wav")
    (tmp_path / "no_2.wav").touch()
    (tmp_path / "yes_1.wav").touch()
    with pytest.raises(InputError, match=r"(?s)2 of 3 .*no_2\.wav is empty.*yes_1\.wav is empty"):
        task(tmp_path).dataset("train")


def test_files_that_a_table_names_and_are_missing_are_named(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label\ngone.wav,a\nlost.wav,b\n")
    with pytest.raises(InputError, match=r"(?s)2 of 2 .*gone\.wav does not.*lost\.wav does not"):
        task(tmp_path, manifest=table).dataset("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"path,labels\na.wav,x\n", r"no column 'label', only path, labels;.*mean 'labels'\?"),
        (
            b"file,label\na.wav,x\n",
            r"no column 'path', only file, label; set .*manifest_path",
        ),
        (b"path,label\na.wav,x\n\nb.wav,\n", r"line 4 of .*t\.csv lacks a path or a label; comp"),
        (b"path,label\na.wav\n", r"line 2 of .*t\.csv lacks a path or a label; complete it"),
        (b"path,label\na.wav,x\na.wav,y\n", r"line 3 of .*t\.csv names a\.wav again; remove"),
        (b"path,label\n", r"t\.csv names no files; add a line"),
        (b"", r"t\.csv has no column 'path', only none; set"),
        (b"path,label\n\xff\xfe.wav,x\n", r"cannot read the manifest .*t\.csv: .*utf-8.*; check"),
    ],
)
def test_a_bad_table_is_explained(tmp_path: Path, text: bytes, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text)
    with pytest.raises(InputError, match=message):
        task(tmp_path, manifest=table).resolve()


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"cannot read the manifest .*t\.csv: No such file.*; check"
    ):
        task(tmp_path, manifest=tmp_path / "t.csv").resolve()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_pattern": "^[^_]+_"}, "needs a group"),
        ({"label_pattern": "("}, "is not a regular expression"),
        ({"labels": ("a", "a")}, "distinct"),
        ({"labels": ("a", "")}, "not empty"),
        ({"label_from": "manifest"}, "label_from"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        task(None, **options)


def test_requests_take_the_labels_in_turn() -> None:
    requests = task(None, labels=("a", "b", "c")).requests([], 4)
    assert [request.name for request in requests] == ["00-a", "01-b", "02-c", "03-a"]
    assert [request.text for request in requests] == ["a", "b", "c", "a"]
    assert {request.window.samples for request in requests} == {80}
    vectors = [request.window.vector for request in requests]
    assert [vector.tolist() for vector in vectors if vector is not None] == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 0, 0],
    ]


def test_one_label_can_be_asked_for() -> None:
    requests = task(None, labels=("a", "b", "c"), label="b").requests([], 3)
    assert [request.name for request in requests] == ["00-b", "01-b", "02-b"]
    vectors = [request.window.vector for request in requests]
    assert all(vector is not None and vector.tolist() == [0, 1, 0] for vector in vectors)


def test_an_unknown_label_is_met_with_near_misses() -> None:
    with pytest.raises(UsageError, match=r"no label 'snar' among kick, snare; .*mean 'snare'\?"):
        task(None, labels=("kick", "snare"), label="snar").requests([], 1)


def test_requests_without_labels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"knows no labels; name a folder with -o task.path"):
        task(None).requests([], 1)


def test_a_label_is_a_word_for_its_condition() -> None:
    made = task(None, labels=("kick", "hat", "snare"))
    vector = made.named("hat").vector
    assert vector is not None and vector.tolist() == [0, 1, 0]
    with pytest.raises(UsageError, match=r"no label 'snar' among kick, hat, snare; .*'snare'\?"):
        made.named("snar")
    with pytest.raises(UsageError, match="knows no labels"):
        task(None).named("kick")


def test_names_hold_only_what_file_names_may() -> None:
    requests = task(None, labels=("loud/../long one", "späť")).requests([], 2)
    assert [request.name for request in requests] == ["00-loud_.._long_one", "01-späť"]
    assert requests[0].text == "loud/../long one"


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(count: int) -> None:
    with pytest.raises(
        UsageError, match=f"'labelled' cannot make {count} sounds; ask for at least"
    ):
        task(None, labels=("a",)).requests([], count)


def test_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'labelled' takes no input files and got a\.wav"):
        task(None, labels=("a",)).requests([Path("a.wav")], 1)


def test_what_travels_keeps_the_labels_and_loses_the_paths(tmp_path: Path) -> None:
    save(tmp_path / "a_1.wav")
    travelling = task(tmp_path).resolve().model_copy(update={"manifest": tmp_path}).portable()
    assert (travelling.path, travelling.manifest, travelling.labels) == (None, None, ("a",))
    again = Labelled.model_validate(travelling.model_dump(mode="json"))
    assert again == travelling


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the spoken digits are not beside the repository")
def test_the_spoken_digits_are_ten_labels() -> None:
    made = Labelled(path=DIGITS, sample_rate=8000).resolve()
    assert made.labels == tuple("0123456789")
    data = made.model_copy(update={"pattern": "*_jackson_1*"}).dataset("train")
    item = data.item(len(data) - 1, torch.Generator())
    assert item.audio.shape == (1, 8000)
    assert item.vector is not None
    assert item.vector.tolist() == [0] * 9 + [1]
