from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from pydantic import ValidationError

from kernel import AudioSpec, ConditionSpec, InputError, UsageError
from kernel_plugins.tasks.unconditional import Unconditional

RATE = 8000


def noise(samples: int, seed: int = 0, channels: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


def save(path: Path, audio: torch.Tensor, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T.numpy(), rate, **({"subtype": "FLOAT"} | options))
    return path


def task(path: Path, **options: object) -> Unconditional:
    defaults = {"path": path, "sample_rate": RATE, "seconds": 0.1, "normalize": "none"}
    return Unconditional.model_validate(defaults | options)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def db(value: torch.Tensor) -> float:
    return 20 * math.log10(float(value))


def test_what_the_model_works_in() -> None:
    made = Unconditional(sample_rate=22050, channels=2, seconds=0.5)
    assert (made.audio, made.samples) == (AudioSpec(22050, 2), 11025)
    assert (made.condition, made.offers) == (ConditionSpec(), frozenset())


def test_a_short_sound_is_padded_at_its_end(tmp_path: Path) -> None:
    sound = noise(300)
    save(tmp_path / "a.wav", sound)
    item = task(tmp_path).dataset("train").item(0, seeded())
    assert item.audio.shape == (1, 800)
    torch.testing.assert_close(item.audio[:, :300], sound)
    assert not item.audio[:, 300:].any()
    assert item.vector is None


@pytest.mark.parametrize(
    ("mask", "length", "valid"), [(0, 300, None), (1, 300, 300), (1, 900, 800)]
)
def test_padding_is_marked_when_asked(
    tmp_path: Path, mask: int, length: int, valid: int | None
) -> None:
    save(tmp_path / "a.wav", noise(length))
    data = task(tmp_path, mask_padding=bool(mask)).dataset("train")
    assert data.item(0, seeded()).valid == valid


def test_a_long_sound_is_cropped_where_the_generator_says(tmp_path: Path) -> None:
    ramp = torch.arange(1000.0)[None] / 1000
    save(tmp_path / "a.wav", ramp)
    data = task(tmp_path).dataset("train")
    starts = set()
    for seed in range(300):
        audio = data.item(0, seeded(seed)).audio
        start = round(float(audio[0, 0]) * 1000)
        torch.testing.assert_close(audio, ramp[:, start : start + 800])
        torch.testing.assert_close(audio, data.item(0, seeded(seed)).audio)
        starts.add(start)
    assert min(starts) < 5
    assert max(starts) > 195
    assert len(starts) > 100


def test_a_crop_may_reach_both_ends(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", torch.arange(801.0)[None] / 1000)
    data = task(tmp_path).dataset("train")
    firsts = {float(data.item(0, seeded(seed)).audio[0, 0]) for seed in range(30)}
    assert sorted(firsts) == pytest.approx([0.0, 0.001])


def test_an_item_may_be_changed_without_changing_the_data(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(800))
    data = task(tmp_path).dataset("train")
    data.item(0, seeded()).audio.zero_()
    assert data.item(0, seeded()).audio.any()


def test_items_come_sorted_by_file(tmp_path: Path) -> None:
    for value, name in enumerate(("b.wav", "c/a.WAV", "a.wav"), start=1):
        save(tmp_path / name, torch.full((1, 800), value / 10), format="WAV")
    data = task(tmp_path).dataset("train")
    values = [float(data.item(index, seeded()).audio[0, 0]) for index in range(len(data))]
    assert values == pytest.approx([0.3, 0.1, 0.2])


def test_formats_rates_and_channels_are_brought_together(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(1600, channels=2), 16000)
    save(tmp_path / "b.flac", noise(800), subtype="PCM_16")
    save(tmp_path / "c.ogg", noise(4410), 44100, subtype="VORBIS")
    data = task(tmp_path, channels=2).dataset("train")
    assert [data.item(i, seeded()).audio.shape for i in range(3)] == [(2, 800)] * 3


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / ".data"
    save(folder / "a.wav", noise(800))
    save(folder / ".b.wav", noise(800))
    save(folder / ".trash" / "c.wav", noise(800))
    (folder / "notes.txt").write_text("hello")
    (folder / "folder.wav").mkdir()
    assert task(folder).files() == [folder / "a.wav"]


def test_a_pattern_and_extensions_choose_files(tmp_path: Path) -> None:
    for name in ("x/a_1.wav", "x/a_2.wav", "a_1.wav"):
        save(tmp_path / name, noise(800))
    save(tmp_path / "x" / "b_1.flac", noise(800), subtype="PCM_16")
    assert [file.name for file in task(tmp_path, pattern="x/*_1.*").files()] == [
        "a_1.wav",
        "b_1.flac",
    ]
    assert [file.name for file in task(tmp_path, extensions=["FLAC"]).files()] == ["b_1.flac"]


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*", "a/../../*", "**a/*"])
def test_a_pattern_that_leaves_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        Unconditional(pattern=pattern)


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({"normalize": "rms"}, -23.0),
        ({"normalize": "rms", "level": -30}, -30.0),
        ({"normalize": "peak"}, -1.0),
        ({"normalize": "peak", "level": -6}, -6.0),
    ],
)
def test_every_sound_is_brought_to_the_level(
    tmp_path: Path, options: dict[str, object], level: float
) -> None:
    for index, gain in enumerate((0.01, 0.1, 1.0)):
        save(tmp_path / f"{index}.wav", noise(400 if index else 800, seed=index) * gain)
    data = task(tmp_path, mask_padding=True, **options).dataset("train")
    for index in range(3):
        item = data.item(index, seeded())
        sound = item.audio[:, : item.valid]
        now = sound.abs().max() if options["normalize"] == "peak" else sound.square().mean().sqrt()
        assert db(now) == pytest.approx(level, abs=1e-3)


def test_without_normalizing_the_level_stays(tmp_path: Path) -> None:
    sound = noise(800) * 0.01
    save(tmp_path / "a.wav", sound)
    torch.testing.assert_close(task(tmp_path).dataset("train").item(0, seeded()).audio, sound)


def test_silence_has_no_level_and_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", torch.zeros(1, 800))
    with pytest.raises(InputError, match=r"a\.wav is silent .*; remove it or set"):
        task(tmp_path, normalize="rms").dataset("train")
    assert len(task(tmp_path, trim=40).dataset("train")) == 1


@pytest.mark.parametrize(
    ("trim", "start", "stop"), [(None, 0, 700), (60, 100, 600), (20, 200, 500)]
)
def test_a_quiet_start_and_end_are_trimmed(
    tmp_path: Path, trim: float | None, start: int, stop: int
) -> None:
    sound = torch.full((1, 700), 1e-5)
    sound[:, 100:600] = 2e-3
    sound[:, 200:500] = 0.5
    sound[:, 300:400] = 0
    save(tmp_path / "a.wav", sound)
    item = task(tmp_path, trim=trim, mask_padding=True).dataset("train").item(0, seeded())
    torch.testing.assert_close(item.audio[:, : item.valid], sound[:, start:stop])


def test_one_loud_channel_is_enough_to_keep_a_start(tmp_path: Path) -> None:
    sound = torch.full((2, 700), 0.5)
    sound[:, :100] = torch.tensor([[0.06], [0.0]])
    save(tmp_path / "a.wav", sound)
    made = task(tmp_path, channels=2, trim=20, mask_padding=True)
    assert made.dataset("train").item(0, seeded()).valid == 700


def test_the_split_is_of_the_size_asked_for_and_complete(tmp_path: Path) -> None:
    for index in range(200):
        save(tmp_path / f"{index}.wav", torch.full((1, 8), index / 200))
    made = task(tmp_path, valid_fraction=0.25, seconds=0.001)
    splits = {split: made.dataset(split) for split in ("train", "valid")}
    values = {
        split: {round(float(data.item(i, seeded()).audio[0, 0]) * 200) for i in range(len(data))}
        for split, data in splits.items()
    }
    assert values["train"].isdisjoint(values["valid"])
    assert values["train"] | values["valid"] == set(range(200))
    assert 30 <= len(values["valid"]) <= 70


def test_the_split_depends_on_relative_names_alone(tmp_path: Path) -> None:
    def held_out(folder: Path) -> set[int]:
        data = task(folder, valid_fraction=0.5, seconds=0.001).dataset("valid")
        return {round(float(data.item(i, seeded()).audio[0, 0]) * 90) for i in range(len(data))}

    for folder, count in (("few", 20), ("many/of/them", 40)):
        for index in range(count):
            save(tmp_path / folder / "x" / f"{index}.wav", torch.full((1, 8), index / 90))
    few, many = held_out(tmp_path / "few"), held_out(tmp_path / "many" / "of" / "them")
    assert few == {index for index in many if index < 20}
    assert few


def test_nothing_is_held_out_by_default(tmp_path: Path) -> None:
    for index in range(20):
        save(tmp_path / f"{index}.wav", noise(8))
    assert len(task(tmp_path).dataset("train")) == 20
    assert len(task(tmp_path).dataset("valid")) == 0


def test_a_training_split_that_is_empty_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(8))
    with pytest.raises(
        InputError, match=r"all 1 files .* held out .*; lower -o task.valid_fraction"
    ):
        task(tmp_path, valid_fraction=0.999999).dataset("train")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(8))
    with pytest.raises(UsageError, match=r"no split 'validate'; choose .*; did you mean 'valid'"):
        task(tmp_path).dataset("validate")


@pytest.mark.parametrize(("cache", "reads"), [(4.0, 2), (0.0, 4), (3.3e-6, 3)])
def test_sounds_are_decoded_once_as_far_as_the_cache_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: float, reads: int
) -> None:
    import kernel_plugins.tasks._files as sounds

    for name in ("a.wav", "b.wav"):
        save(tmp_path / name, noise(800))
    seen = []
    read = sounds.read_audio

    def counted(path: Path, **arguments: int) -> object:
        seen.append(path)
        return read(path, **arguments)

    monkeypatch.setattr(sounds, "read_audio", counted)
    data = task(tmp_path, cache=cache).dataset("train")
    for index in range(2):
        torch.testing.assert_close(data.item(index, seeded()).audio, noise(800))
    assert len(seen) == reads


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", noise(800))
    save(tmp_path / "nan.wav", torch.full((1, 800), math.nan))
    cut = save(tmp_path / "cut.wav", noise(800))
    cut.write_bytes(cut.read_bytes()[:900])
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "void.wav").touch()
    with pytest.raises(InputError) as caught:
        task(tmp_path).dataset("train")
    message = str(caught.value)
    assert message.startswith(f"4 of 5 sounds in {tmp_path} cannot be used:")
    assert [name in message for name in ("nan", "cut", "text", "void", "good")] == [1, 1, 1, 1, 0]


def test_bad_files_are_left_out_and_named_when_asked(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", noise(800))
    save(tmp_path / "loud.wav", noise(4410), 44100)
    (tmp_path / "void.wav").touch()
    made = task(tmp_path, bad_files="skip")
    data = made.dataset("train")
    assert len(data) == 2
    assert made.describe(data) == (
        f"2 sounds in {tmp_path}: 5.56e-05 hours, 8000 Hz 1, 44100 Hz 1",
        f"refused: {tmp_path / 'void.wav'} is empty (0 bytes); copy it again or remove it",
    )


def test_one_readable_file_is_enough_and_none_is_too_few(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", noise(800))
    (tmp_path / "void.wav").touch()
    made = task(tmp_path, bad_files="skip")
    assert made.describe(made.dataset("train"))[0].startswith("1 sound in ")
    (tmp_path / "good.wav").unlink()
    with pytest.raises(InputError, match=r"(?s)1 of 1 sounds in .* cannot be used:.*void\.wav is"):
        made.dataset("train")


@pytest.mark.parametrize("change", ["gone", "cut"])
def test_a_file_that_turns_bad_later_is_named_or_another_stands_in(
    tmp_path: Path, change: str
) -> None:
    for index in range(6):
        save(tmp_path / f"{index}.wav", torch.full((1, 800), index / 10))
    stop, skip = (
        task(tmp_path, cache=0, bad_files=what).dataset("train") for what in ("stop", "skip")
    )
    bad = tmp_path / "3.wav"
    bad.unlink() if change == "gone" else bad.write_bytes(bad.read_bytes()[:900])
    with pytest.raises(InputError, match=r"3\.wav (does not exist|is cut short)"):
        stop.item(3, seeded())
    items = [skip.item(3, seeded(seed)) for seed in range(40)]
    values = [round(float(item.audio[0, 0]) * 10) for item in items]
    assert set(values) == {0, 1, 2, 4, 5}
    assert all("3.wav" in item.skipped[0] for item in items)
    again = [skip.item(3, seeded(seed)) for seed in range(40)]
    assert [round(float(item.audio[0, 0]) * 10) for item in again] == values
    assert skip.item(2, seeded()).skipped == ()


def test_a_folder_that_is_gone_stops_even_those_who_skip(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(800))
    data = task(tmp_path, cache=0, bad_files="skip").dataset("train")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"^10 sounds in a row cannot be read, the last because"):
        data.item(0, seeded())


def test_a_manifest_says_which_files_are_learnt(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / f"{index}.wav", torch.full((1, 800), index / 10))
    table = tmp_path / "t.csv"
    table.write_text("file,words\n2.wav,x\n1.wav,\n")
    data = task(tmp_path, manifest=table, manifest_path="file").dataset("train")
    values = [round(float(data.item(index, seeded()).audio[0, 0]), 1) for index in range(len(data))]
    assert values == [0.1, 0.2]
    with pytest.raises(InputError, match=r"no column 'path', only file, words; set -o task\.manif"):
        task(tmp_path, manifest=table).dataset("train")


def test_a_data_set_can_be_pickled_for_workers_that_are_spawned(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", noise(800))
    data = task(tmp_path).dataset("train")
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again.item(0, seeded()).audio, data.item(0, seeded()).audio)


def test_many_bad_files_are_counted(tmp_path: Path) -> None:
    for index in range(13):
        (tmp_path / f"{index:02d}.wav").touch()
    with pytest.raises(InputError) as caught:
        task(tmp_path).dataset("train")
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1].strip()) == (12, "and 3 more")


def test_a_folder_without_audio_is_named_with_the_extensions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        InputError, match=r"no audio in .*: no file .* ends in one of \.wav, \.flac"
    ):
        task(tmp_path).dataset("train")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone does not exist; check -o task.path"):
        task(tmp_path / "gone").dataset("train")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.wav is not a folder; set -o task.path"):
        task(save(tmp_path / "a.wav", noise(8))).dataset("train")


def test_data_without_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"has no data; name a folder of audio with -o task.path"):
        Unconditional().dataset("train")


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "data" / "a.wav", noise(8))
    assert len(task(Path("~/data")).dataset("train")) == 1


def test_requests_are_numbered_and_as_long_as_an_item() -> None:
    requests = Unconditional(sample_rate=8000, seconds=0.5).requests([], 3)
    assert [request.name for request in requests] == ["00", "01", "02"]
    assert {(request.window.samples, request.text) for request in requests} == {(4000, None)}
    assert all(request.window.vector is None for request in requests)


def test_names_of_many_requests_sort_in_order() -> None:
    names = [request.name for request in Unconditional().requests([], 101)]
    assert names == sorted(names)
    assert names[-1] == "100"


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"cannot make {count} sounds; ask for at least 1"):
        Unconditional().requests([], count)


def test_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes no input files and got a\.wav; leave"):
        Unconditional().requests([Path("a.wav")], 1)


def test_what_travels_has_no_path(tmp_path: Path) -> None:
    travelling = task(tmp_path, level=-30).portable()
    assert travelling.path is None
    assert travelling.level == -30


def test_importing_the_tasks_costs_neither_torch_nor_numpy() -> None:
    import subprocess

    code = "import kernel_plugins.tasks.unconditional, kernel_plugins.tasks.labelled, sys;"
    code += "print([m for m in ('torch', 'numpy', 'soundfile') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
