"""The page of a run, as the observer writes it."""

import base64
import io
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kernel.audio import write_audio
from kernel.errors import OutputError
from kernel.values import Sound
from kernel_plugins.observers._colours import encode, indices, palette
from kernel_plugins.observers._facts import duration
from kernel_plugins.observers._spectrum import levels
from kernel_plugins.observers.page import Page

RATE = 8000

Written = Callable[..., "Html"]


def sine(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)[None]


def burst(seed: int, samples: int = 1600, channels: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(channels, samples))
    return (0.2 * noise).astype(np.float32)


def record(count: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "name": "first",
        "command": ["run", "--plugins", "edm,unipc", "--name", "my run"],
        "created": "2025-11-20T16:48:12+00:00",
        "plugins": [
            {
                "kind": "solver",
                "name": "unipc",
                "distribution": "kernel-audio-plugins",
                "version": "0.1.0",
                "options": {"order": 3, "variant": "bh2", "final": True, "limit": None},
            }
        ],
        "replaced": [{"replaced": "solver.heun@ours", "by": "solver.unipc@theirs"}],
        "model": {"name": "digits-edm", "distribution": "pack", "version": "2.0"},
        "sampling": {"steps": 16, "nfe": 31, "seed": 7, "sample_rate": RATE, "seconds": 0.8},
        "device": {"device": "cpu", "name": None, "precision": "float32"},
        "seconds": 1.25,
        "warnings": ["mind the gap"],
        "items": [
            {"name": f"{i:04d}", "file": f"{i:04d}.wav", "label": f"label {i}", "gain": 1.0}
            for i in range(count)
        ],
    } | changes


class Html(HTMLParser):
    """The elements of a page as (tag, attributes), and its text outside scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw = path.read_text("utf-8")
        self.feed(self.raw)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.text += data + " "

    def all(self, tag: str, class_: str | None = None) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]


@pytest.fixture
def written(tmp_path: Path, write_page: Callable[..., str | None]) -> Written:
    """Return what writes a record, its sounds and its page, and reads the page."""

    def run(record: dict[str, Any], *words: Any, **options: Any) -> Html:
        said = write_page(tmp_path, record, *words, **options)
        assert said == f"open {tmp_path / 'index.html'} to listen"
        return Html(tmp_path / "index.html")

    return run


def test_the_page_has_both_players_of_a_pair_beside_one_another(written: Written) -> None:
    entries = [{"name": "a", "given": "a-given.wav", "label": "song"}, {"name": "b"}]
    items = [burst(0), burst(1)]
    page = written(record(items=entries), items, [burst(2, 800), None])
    cards = page.all("div", "card")
    assert [card["data-title"] for card in cards] == ["song, given", "song, result", "b"]
    assert [card["data-seconds"] for card in cards] == ["0.100000", "0.200000", "0.200000"]
    assert len(page.all("li", "pair")) == 1
    assert len(page.all("audio")) == len(page.all("img")) == 3
    assert [each["href"] for each in page.all("a")][:3] == ["a-given.wav", "a.wav", "b.wav"]
    assert [each["aria-label"] for each in page.all("button", "play")][:2] == [
        "Play song, given",
        "Play song, result",
    ]
    assert "2 sounds \u00b7 0.40 s" in " ".join(page.text.split())
    assert (page.all("img")[0]["style"] or "").endswith("width:50.000%")


def test_the_page_marks_the_edited_spans_on_the_waveform_and_the_picture(written: Written) -> None:
    entries = [{"name": "a", "spans": [[0.05, 0.1], [-1, 0.02], [5, 6]]}]
    page = written(record(items=entries), [burst(0)], [burst(1)])
    places = ["left:25.000%;width:25.000%", "left:0.000%;width:10.000%"]
    assert [mark["style"] for mark in page.all("i", "mark")] == 4 * places
    assert page.text.count("edited 0.05\u20130.1, 0\u20130.02 s") == 1


def test_the_page_shows_a_short_edit_of_a_long_sound_with_what_is_around_it(
    written: Written,
) -> None:
    entries = [{"name": "a", "spans": [[20, 22]]}]
    page = written(record(items=entries), [burst(0, 40 * RATE)])
    lanes = [(lane["data-start"], lane["data-stop"]) for lane in page.all("div", "lane")]
    assert lanes == [("0.000000", "40.000000"), ("18.000000", "24.000000")]
    places = ["left:50.000%;width:5.000%", "left:33.333%;width:33.333%"]
    assert [mark["style"] for mark in page.all("i", "mark")] == places
    assert len(page.all("div", "ruler")) == 2


def test_a_page_embeds_each_sound_at_its_own_rate(written: Written) -> None:
    import soundfile

    entries = [{"name": "a", "sample_rate": 2 * RATE}, {"name": "b"}]
    page = written(record(items=entries), [burst(0), burst(1)], [burst(2), None])
    rates = []
    for audio in page.all("audio"):
        data = base64.b64decode(str(audio["src"]).removeprefix("data:audio/wav;base64,"))
        rates.append(soundfile.info(io.BytesIO(data)).samplerate)
    assert rates == [2 * RATE, 2 * RATE, RATE]
    assert "16 kHz" not in page.text and "8 kHz" in page.text and "4 kHz" in page.text


def test_the_page_has_a_card_with_its_sound_for_each_item(written: Written) -> None:
    items = [burst(0), burst(1, 800)]
    page = written(record(), items)
    sources = [str(audio["src"]) for audio in page.all("audio")]
    assert len(page.all("div", "card")) == len(sources) == 2
    for source, audio in zip(sources, items, strict=True):
        import soundfile

        data = base64.b64decode(source.removeprefix("data:audio/wav;base64,"))
        sound, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(sound, audio[0], atol=1 / 32000)


def test_the_cards_show_their_own_spectrograms_on_one_scale(written: Written) -> None:
    sounds = [sine(500).astype(np.float32), (0.01 * sine(2000)).astype(np.float32)]
    page = written(record(), sounds)
    pictures = [
        base64.b64decode(str(each["src"]).removeprefix("data:image/png;base64,"))
        for each in page.all("img")
    ]
    loudest = levels(sounds[0], RATE).max()
    assert pictures == [
        encode(points, palette(own, loudest))
        for points, own in (indices(levels(sound, RATE)) for sound in sounds)
    ]


@pytest.mark.parametrize(
    "words",
    [
        "first", "2 sounds", "20 November 2025, 16:48 UTC", "digits-edm", "pack 2.0", "16", "31",
        "7", "cpu", "float32", "1.25 s", "2", "0.5 s of new sound a second", "mind the gap",
        "unipc", "kernel-audio-plugins 0.1.0", "label 0", "0001.wav", "order", "3", "bh2", "true",
        "none",
        "solver.heun@ours by solver.unipc@theirs", "kernel run --plugins edm,unipc --name 'my run'",
    ],
)  # fmt: skip
def test_the_page_says(written: Written, words: str) -> None:
    page = written(record(), [burst(0), burst(1)])
    assert re.search(rf"(^|\W){re.escape(words)}($|\W)", " ".join(page.text.split()))


def test_evaluations_backward_passes_and_network_items_are_told_apart(written: Written) -> None:
    sampling = record()["sampling"] | {"nfe": 31, "gradients": 29, "network_items": 124}
    text = " ".join(written(record(1, sampling=sampling), [burst(0)]).text.split())
    assert "Evaluations 31 calls of the network for a batch (NFE)" in text
    assert "Backward passes 29 for a batch" in text
    assert "Network items 124 in all calls of the network together" in text
    plain = record()["sampling"] | {"gradients": 0}
    assert "Backward passes" not in written(record(1, sampling=plain), [burst(0)]).text


def test_the_real_time_factor_counts_the_seconds_that_were_made(written: Written) -> None:
    edits = [{"name": "a", "given": "a-given.wav", "spans": [[0.1, 0.15], [0.2, 0.25]]}]
    page = written(record(items=edits), [burst(0, 16000)], [burst(1, 16000)])
    text = " ".join(page.text.split())
    assert "Real-time factor 8 0.12 s of new sound a second" in text


def test_the_gain_that_a_file_was_lowered_by_is_told(written: Written) -> None:
    lowered = record(1, items=[{"name": "a", "gain": 0.5}])
    assert "-6.0 dB" in written(lowered, [burst(0)]).text


def test_only_the_sample_rate_must_be_known(written: Written) -> None:
    page = written({"sampling": {"sample_rate": RATE}}, [burst(0), burst(1)])
    assert [each["href"] for each in page.all("a")][:2] == ["0000.wav", "0001.wav"]
    assert "Model" not in page.text


def test_a_page_without_sounds_is_still_a_page(written: Written, tmp_path: Path) -> None:
    page = written(record(0), [])
    assert "0 sounds" in page.text
    assert not (tmp_path / "spectrograms.png").exists()


def test_a_sheet_of_no_sounds_is_not_drawn(written: Written, tmp_path: Path) -> None:
    written(record(), [burst(0), burst(1)], sheet=0)
    assert not (tmp_path / "spectrograms.png").exists()


def test_a_training_without_samples_has_no_page(tmp_path: Path) -> None:
    page = Page()
    page.started(tmp_path, {})
    page.step(1, 2, {"loss": 1.0})
    page.checkpoint(tmp_path / "checkpoints")
    assert page.finished(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def peak(folder: Path, count: int, embed: float) -> int:
    """Return the most memory, in bytes, that was held while a page of many sounds was written."""
    folder.mkdir()
    page = Page(sheet=4, embed=embed)
    page.started(folder, {})
    tracemalloc.start()
    for index in range(count):
        name = f"{index:04d}"
        sound = Sound(name, torch.from_numpy(burst(index, 800)), RATE)
        write_audio(folder / f"{name}.wav", sound.audio, RATE)
        page.sound(sound, {"name": name, "file": f"{name}.wav", "scores": {"snr": 1.0}})
    (folder / "run.json").write_text(json.dumps({"name": "many", "items": [{}] * count}))
    page.finished(folder)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("embed", [20, 0])
def test_memory_does_not_grow_with_the_number_of_sounds(tmp_path: Path, embed: float) -> None:
    _, few, many = (peak(tmp_path / str(count), count, embed) for count in (2, 10, 60))
    assert many - few < 50 * 1000  # a sound has 3,200 bytes and its picture 89,600
    assert len((tmp_path / "60" / "index.html").read_bytes()) > 60 * 2000


def test_all_text_is_escaped(written: Written) -> None:
    evil = '"><script>alert(1)</script>'
    hostile: dict[str, Any] = record(
        1,
        name=evil,
        created=evil,
        command=[evil],
        plugins=[{"kind": evil, "name": evil, "distribution": evil, "options": {evil: evil}}],
        replaced=[{"replaced": evil, "by": evil}],
        model={"name": evil, "version": evil},
        device={"name": evil, "precision": evil},
        versions={evil: evil},
        warnings=[evil],
        scores=[{"name": evil, "value": 1.0, "std": None, "higher_is_better": None}],
        items=[{"name": evil, "file": f"{evil}.wav", "label": evil, "scores": {evil: 1.0}}],
    )
    page = written(hostile, [burst(0)], pictures=[((evil, torch.zeros(2, 2)),)])
    assert len(page.all("script")) == 1
    assert evil not in page.raw
    assert page.text.count("<script>alert(1)") >= 15
    assert page.all("img")[1]["alt"] == evil


def test_a_file_name_becomes_a_link_that_stays_in_the_folder(written: Written) -> None:
    odd = record(1, items=[{"name": "a", "file": "javascript:a b#1?.wav"}])
    page = written(odd, [burst(0)], embed=0)
    assert page.all("a")[0]["href"] == "javascript%3Aa%20b%231%3F.wav"
    assert page.all("audio")[0]["src"] == "javascript%3Aa%20b%231%3F.wav"
    assert page.all("img")[0]["src"] == "pictures/javascript%3Aa%20b%231%3F.png"


def test_much_sound_is_linked_in_place_of_embedded(written: Written, tmp_path: Path) -> None:
    items = [burst(0), burst(1)]
    many = written(record(), items, embed=0)
    size = sum(path.stat().st_size for path in tmp_path.rglob("0*.*"))
    assert [each["src"] for each in many.all("audio")] == ["0000.wav", "0001.wav"]
    assert {each["preload"] for each in many.all("audio")} == {"none"}
    assert [each["src"] for each in many.all("img")] == ["pictures/0000.png", "pictures/0001.png"]
    assert {each["loading"] for each in many.all("img")} == {"lazy"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000.wav", "0001.wav", "index.html", "pictures", "run.json", "spectrograms.png",
    ]  # fmt: skip
    assert "data:audio" not in many.raw
    few = written(record(), items, embed=size / 1e6)
    assert str(few.all("audio")[0]["src"]).startswith("data:")
    assert {each["preload"] for each in few.all("audio")} == {"auto"}
    assert not (tmp_path / "pictures").exists()
    policies = [page.all("meta")[1]["content"] or "" for page in (many, few)]
    assert ["'self'" in policy for policy in policies] == [True, False]
    assert "data:" not in written(record(), items, embed=(size - 1) / 1e6).all("audio")[0]["src"]


def test_the_pictures_beside_a_page_are_those_that_it_would_hold(
    written: Written, tmp_path: Path
) -> None:
    items = [burst(0), 0.01 * burst(1)]
    held = [str(each["src"]).partition(",")[2] for each in written(record(), items).all("img")]
    written(record(), items, embed=0)
    beside = [path.read_bytes() for path in sorted((tmp_path / "pictures").iterdir())]
    assert [base64.b64decode(each) for each in held] == beside


@pytest.mark.parametrize("embed", [20, 0])
def test_what_else_is_to_be_seen_of_a_sound_is_below_it(
    written: Written, tmp_path: Path, embed: float
) -> None:
    values = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    page = written(record(1), [burst(0)], pictures=[(("alignment", values),)], embed=embed)
    source = str(page.all("img")[1]["src"])
    data = base64.b64decode(source.partition(",")[2]) if embed else b""
    png = data or (tmp_path / source).read_bytes()
    bright = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    assert (bright > 200).tolist() == [[False, True], [True, False]]
    assert "alignment" in page.text


def test_the_page_names_no_other_place(written: Written) -> None:
    page = written(record(), [burst(0), burst(1)])
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "poster"):
            assert "//" not in (attributes.get(key) or "").partition("data:")[0]
    assert re.findall(r"@import|url\(", page.raw) == []
    policy = next(each for each in page.all("meta") if "http-equiv" in each)
    assert str(policy["content"]).startswith("default-src 'none'")


def test_every_control_has_a_name_for_those_who_cannot_see_it(written: Written) -> None:
    page = written(record(), [burst(0), burst(1)])
    assert [each["aria-label"] for each in page.all("button", "play")] == [
        "Play label 0",
        "Play label 1",
    ]
    sliders = [each for each in page.all("div") if each.get("role") == "slider"]
    assert [each["aria-label"] for each in sliders] == [
        "Position in label 0",
        "Position in label 1",
    ]
    assert {each["aria-valuemax"] for each in sliders} == {"0.200"}
    assert page.elements[0] == ("html", {"lang": "en"})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0011, "1.1 ms"),
        (4.367, "4.37 s"),
        (12.34, "12.3 s"),
        (125.0, "2 min 05 s"),
        (7322.0, "2 h 02 min"),
    ],
)
def test_lengths_of_time_are_written_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_page_that_cannot_be_written_is_an_output_error(
    write_page: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "index.html").mkdir()
    sentence = (
        r"observer\.page cannot write .*index\.html.*: .*; make room.*--without observer\.page"
    )
    with pytest.raises(OutputError, match=sentence):
        write_page(tmp_path, record(), [burst(0), burst(1)])


def test_a_picture_that_cannot_be_written_is_an_output_error(
    write_page: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "pictures").write_text("a file")
    with pytest.raises(OutputError, match=r"observer\.page cannot write .*pictures"):
        write_page(tmp_path, record(), [burst(0), burst(1)])


def test_the_page_shows_the_scores_of_the_run_and_of_each_sound(written: Written) -> None:
    said = record()
    said["scores"] = [
        {"name": "snr", "value": 4.5, "std": 0.5, "count": 2, "higher_is_better": True},
        {"name": "unscored", "value": None, "std": None, "count": 0, "higher_is_better": None},
        {"name": "distance", "value": 9.25, "std": None, "count": 2, "higher_is_better": False},
    ]
    said["items"][0]["scores"] = {"snr": 4.0}
    said["items"][1]["scores"] = {"snr": None}
    text = written(said, [burst(0), burst(1)]).text
    assert "4.5" in text and "\u00b1 0.5 over 2 sounds, higher is better" in text
    assert "9.25" in text and "lower is better" in text
    assert "unscored" not in text
    assert "\u00b7 snr 4" in text and "\u00b7 snr \u2013" in text


def test_importing_the_page_loads_nothing_heavy() -> None:
    heavy = "{'PIL', 'jinja2', 'matplotlib', 'numpy', 'soundfile', 'torch'}"
    code = f"import sys, kernel_plugins.observers.page;print(*sorted({heavy} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
