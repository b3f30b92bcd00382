import base64
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel.errors import NumericalError, OutputError
from kernel.report import _shown as shown_module
from kernel.report import page as page_module
from kernel.report import sheet as sheet_module
from kernel.report import spectrogram_png, spectrogram_sheet, write_json, write_page
from kernel.report._facts import duration
from kernel.report._html import Html, element, join
from kernel.report.spectrum import levels, outline, ticks

RATE = 8000


def sine(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)[None]


def burst(seed: int, samples: int = 1600, channels: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(channels, samples))
    return (0.2 * noise).astype(np.float32)


def image(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    pixels: np.ndarray = imread(io.BytesIO(png), format="png")
    return pixels


def brightness(png: bytes) -> np.ndarray:
    return image(png)[..., :3].sum(-1)


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


class Page(HTMLParser):
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


def written(
    tmp_path: Path,
    record: dict[str, Any],
    items: list[np.ndarray],
    given: Sequence[np.ndarray | None] = (),
) -> Page:
    write_page(tmp_path / "index.html", record, items, given)
    return Page(tmp_path / "index.html")


def sheet(
    path: Path,
    items: Sequence[tuple[str, np.ndarray]],
    given: Sequence[np.ndarray | None] = (),
    **changes: Any,
) -> np.ndarray:
    entries = [{"name": str(i), "label": label} | changes for i, (label, _) in enumerate(items)]
    spectrogram_sheet(path, record(items=entries), [audio for _, audio in items], given)
    return image(path.read_bytes())


# The spectrum.


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 3100.0])
def test_a_full_scale_sine_has_0_db_at_its_frequency(hertz: float) -> None:
    middle = levels(sine(hertz), RATE)[:, 280]
    assert middle.max() == pytest.approx(0, abs=0.3)
    assert middle.argmax() / 160 * RATE / 2 == pytest.approx(hertz, abs=40)


def test_half_the_amplitude_is_6_db_less() -> None:
    difference = levels(sine(1000), RATE).max() - levels(0.5 * sine(1000), RATE).max()
    assert difference == pytest.approx(20 * math.log10(2), abs=1e-6)


def test_time_fills_the_columns_from_left_to_right() -> None:
    late = np.concatenate([np.zeros((1, 3000)), sine(1000, 1000 / RATE)], axis=1)
    loud = np.flatnonzero(levels(late, RATE).max(0) > -6)
    assert loud.min() == pytest.approx(0.75 * 560, abs=6)
    assert loud.max() == 559


def test_a_click_in_a_long_sound_is_not_lost() -> None:
    audio = np.zeros((1, RATE * 300))
    audio[0, RATE * 100] = 1.0
    level = levels(audio, RATE)
    assert level.max() > level.min() + 20
    assert np.unravel_index(level.argmax(), level.shape)[1] == pytest.approx(560 / 3, abs=1)


@pytest.mark.parametrize("samples", [0, 1, 7, 255, 256, 1601])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_length_gives_the_same_shape_and_finite_levels(samples: int, rate: int) -> None:
    level = levels(np.ones((2, samples), np.float32), rate)
    assert level.shape == (160, 560)
    assert np.isfinite(level).all()


def test_a_sound_in_either_channel_is_seen() -> None:
    silence = np.zeros_like(sine(1000))
    left = levels(np.concatenate([sine(1000), silence]), RATE)
    right = levels(np.concatenate([silence, sine(1000)]), RATE)
    assert left.max() == pytest.approx(-3, abs=0.3)
    np.testing.assert_allclose(left, right)


def test_the_outline_holds_the_extremes_of_each_channel() -> None:
    audio = np.zeros((2, 1000))
    audio[0, 123], audio[1, 999] = 0.7, -0.4
    shape = outline(audio, 100)
    assert shape.shape == (2, 2, 100)
    assert shape[0, 1].argmax() == 12
    assert (shape[0, 1].max(), shape[1, 0].min()) == (0.7, -0.4)
    assert shape[1, 0].argmin() == 99


# Pictures.


def test_the_png_has_low_frequencies_at_the_bottom_and_time_to_the_right() -> None:
    audio = np.concatenate([sine(500), np.zeros((1, 4000))], axis=1)
    bright = brightness(spectrogram_png(audio, RATE))
    assert bright.shape == (160, 560)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    assert row == pytest.approx(160 * (1 - 500 / 4000), abs=2)
    assert column < 280
    assert bright[:, 300:].max() < 0.1


def test_a_loudest_level_shared_by_two_sounds_makes_the_softer_darker() -> None:
    soft = 0.01 * sine(500)
    alone, shared = (brightness(spectrogram_png(soft, RATE, level)).max() for level in (None, 0.0))
    assert alone > 2.5
    assert shared < alone - 0.5


@pytest.mark.parametrize("count", range(1, 65))
def test_a_sheet_has_a_tidy_shape_for_any_number_of_items(count: int) -> None:
    grid = sheet_module._Grid.of(count)
    width, height = grid.size
    assert 1.2 < width / height < 4.5
    assert 6 < width < 24
    assert grid.columns * grid.rows - count < grid.columns


@pytest.mark.parametrize("count", [1, 10, 64])
def test_the_panels_of_a_sheet_keep_apart_and_inside(count: int) -> None:
    grid = sheet_module._Grid.of(count)
    boxes = [grid.panel(index) for index in range(count)]
    for i, (left, below, width, height) in enumerate(boxes):
        assert left > 0 and below > 0 and left + width < 1 and below + height < 1
        for other_left, other_below, *_ in boxes[:i]:
            assert abs(left - other_left) > width or abs(below - other_below) > height * 1.2


def test_silence_is_dark(tmp_path: Path) -> None:
    assert brightness(spectrogram_png(np.zeros((1, 800)), RATE)).max() < 0.3


def test_every_item_is_drawn_on_the_sheet(tmp_path: Path) -> None:
    def drawn(count: int, loud: int) -> np.ndarray:
        items = [(f"{i}", burst(1) * (1 if i == loud else 0)) for i in range(count)]
        sheet(tmp_path / "sheet.png", items)
        return image((tmp_path / "sheet.png").read_bytes())

    pictures = [drawn(4, loud) for loud in range(4)]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert (np.abs(first - second) > 0.1).any(-1).mean() > 0.05


def test_each_panel_has_the_waveform_of_its_own_item(tmp_path: Path) -> None:
    items = [(f"{i}", burst(1) * (i == 2)) for i in range(4)]
    sheet(tmp_path / "sheet.png", items)
    pixels = image((tmp_path / "sheet.png").read_bytes())[::-1]
    strips = []
    for index in range(4):
        left, below, width, height = sheet_module._Grid.of(4).panel(index)
        rows = slice(*(int((below + part * height) * len(pixels)) for part in (0.78, 0.98)))
        columns = slice(*(int(edge * pixels.shape[1]) for edge in (left, left + width)))
        strips.append(pixels[rows, columns, :3].mean())
    assert strips[2] > 2 * max(strips[:2] + strips[3:])


def test_labels_are_drawn_as_they_are(tmp_path: Path) -> None:
    labels = ["$\\frac{$", "漢字 \U0001f3b5", "a\nb\tc", "very long " * 40, "", "<b>&"]
    items = [(label, burst(i)) for i, label in enumerate(labels)]
    sheet(tmp_path / "sheet.png", items)
    height, width = image((tmp_path / "sheet.png").read_bytes()).shape[:2]
    assert width < 2500 and height < 2500


@pytest.mark.parametrize(
    "audio",
    [np.zeros((1, 0)), np.ones((1, 1)), np.zeros((1, 800)), burst(0, 800, 2), 3 * burst(1)],
    ids=["empty", "one sample", "silence", "stereo", "beyond full scale"],
)
def test_unusual_audio_has_a_sheet_and_a_card(tmp_path: Path, audio: np.ndarray) -> None:
    sheet(tmp_path / "sheet.png", [("odd", audio), ("even", burst(0))])
    assert image((tmp_path / "sheet.png").read_bytes()).std() > 0.05


def test_a_sheet_says_how_many_items_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    said: list[str] = []
    text = Figure.text

    def listen(self: Figure, x: float, y: float, s: str, **style: Any) -> Any:
        said.append(s)
        return text(self, x, y, s, **style)

    monkeypatch.setattr(Figure, "text", listen)
    monkeypatch.setattr(sheet_module, "_LIMIT", 2)
    sheet(tmp_path / "a.png", [(str(i), burst(0, 64)) for i in range(5)])
    assert "and 3 more" in said


def test_the_sheet_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        sheet(tmp_path / name, [("one", burst(0))])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one item"):
        sheet(tmp_path / "sheet.png", [])


def test_a_sheet_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        sheet(tmp_path / "absent" / "sheet.png", [("one", burst(0))])


# Before and after.


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that will hold the figure of each sheet that is written."""
    from matplotlib.figure import Figure

    figures: list[Any] = []
    save = Figure.savefig

    def keep(self: Figure, *words: Any, **style: Any) -> None:
        figures.append(self)
        save(self, *words, **style)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_a_sheet_has_what_was_given_above_what_was_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    items = [("song", burst(0)), ("alone", burst(1))]
    sheet(tmp_path / "a.png", items, [burst(2, 800), None])
    panels = {axes.get_title("left"): axes for axes in figures[0].axes if axes.get_title("left")}
    assert list(panels) == ["song: given", "song", "alone"]
    before, after = (panels[title].get_position() for title in ("song: given", "song"))
    assert (before.x0, before.x1) == (after.x0, after.x1)
    assert before.y0 > after.y1
    assert panels["alone"].get_position().y0 == after.y0
    assert panels["song: given"].get_xlim() == panels["song"].get_xlim() == (0, 0.2)
    assert panels["song: given"].images[0].get_extent()[1] == 0.1


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("rates", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
def test_the_panels_of_pairs_keep_apart_and_inside(count: int, rates: int, long: bool) -> None:
    grid = sheet_module._Grid.of(count, 2, long=long, rates=rates)
    boxes = [grid.panel(index, level) for index in range(count) for level in (0, 1)]
    for i, (left, below, width, height) in enumerate(boxes):
        assert left > 0 and below > 0 and left + width < 1 and below + height < 1
        for other_left, other_below, *_ in boxes[:i]:
            assert abs(left - other_left) > width or abs(below - other_below) > height * 1.05
    assert 1 < grid.size[0] / grid.size[1] < 5


def test_each_panel_has_the_frequencies_of_its_own_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    entries = [{"name": "a"}, {"name": "b", "sample_rate": 4 * RATE}]
    items = [sine(1000), sine(1000, rate=4 * RATE)]
    spectrogram_sheet(tmp_path / "a.png", record(items=entries), items)
    panels = [axes for axes in figures[0].axes if axes.get_title("left")]
    assert [axes.get_yticks()[-1] for axes in panels] == [4, 16]
    for axes in panels:
        loud = axes.images[0].get_array()[:, 200:300].mean(1).argmax()
        assert loud / 160 * axes.get_yticks()[-1] == pytest.approx(1, abs=0.1)
        assert axes.yaxis.get_tick_params()["labelleft"]
        assert axes.images[0].get_extent()[1] == 0.5


def test_the_sheet_shows_a_short_edit_of_a_long_sound_with_what_is_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    audio = np.zeros((1, 60 * RATE))
    audio[0, 40 * RATE : 42 * RATE] = sine(1000, 2)[0]
    sheet(tmp_path / "a.png", [("song", audio)], [0 * audio], spans=[[40, 42]])
    axes = next(axes for axes in figures[0].axes if axes.get_title("left") == "song")
    assert axes.get_xlim() == (38, 44)
    assert axes.get_title("right") == "38\u201344 s"
    loud = np.flatnonzero(axes.images[0].get_array().max(0) > -6)
    assert (loud.min(), loud.max()) == pytest.approx((560 / 3, 2 * 560 / 3), abs=3)
    assert [line.get_xdata()[0] for line in axes.lines] == [40, 42]


def test_a_part_of_a_sound_looks_as_it_does_in_the_whole() -> None:
    audio = burst(0, 8000)
    whole = levels(audio, RATE, columns=400)
    part = levels(audio, RATE, columns=200, part=slice(2000, 6000))
    np.testing.assert_allclose(part, whole[:, 100:300])


@pytest.mark.parametrize(
    ("seconds", "spans", "view"),
    [
        (60, [], (0, 60)),
        (60, [(30, 30.5)], (29, 31.5)),
        (60, [(10, 12), (13, 14)], (6, 18)),
        (60, [(0, 1)], (0, 2)),
        (60, [(1, 59)], (0, 60)),
        (2, [(1, 1.05)], (0, 2)),
    ],
)
def test_the_view_holds_the_spans_with_as_much_around_them(
    seconds: float, spans: list[tuple[float, float]], view: tuple[float, float]
) -> None:
    assert shown_module._view(seconds, spans) == view


def test_the_page_has_both_players_of_a_pair_beside_one_another(tmp_path: Path) -> None:
    entries = [{"name": "a", "given": "a-given.wav", "label": "song"}, {"name": "b"}]
    items = [burst(0), burst(1)]
    page = written(tmp_path, record(items=entries), items, [burst(2, 800), None])
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


def test_the_page_marks_the_edited_spans_on_the_waveform_and_the_picture(tmp_path: Path) -> None:
    entries = [{"name": "a", "spans": [[0.05, 0.1], [-1, 0.02], [5, 6]]}]
    page = written(tmp_path, record(items=entries), [burst(0)], [burst(1)])
    places = ["left:25.000%;width:25.000%", "left:0.000%;width:10.000%"]
    assert [mark["style"] for mark in page.all("i", "mark")] == 4 * places
    assert page.text.count("edited 0.05\u20130.1, 0\u20130.02 s") == 1


def test_the_page_shows_a_short_edit_of_a_long_sound_with_what_is_around_it(tmp_path: Path) -> None:
    entries = [{"name": "a", "spans": [[20, 22]]}]
    page = written(tmp_path, record(items=entries), [burst(0, 40 * RATE)])
    lanes = [(lane["data-start"], lane["data-stop"]) for lane in page.all("div", "lane")]
    assert lanes == [("0.000000", "40.000000"), ("18.000000", "24.000000")]
    places = ["left:50.000%;width:5.000%", "left:33.333%;width:33.333%"]
    assert [mark["style"] for mark in page.all("i", "mark")] == places
    assert len(page.all("div", "ruler")) == 2


def test_a_page_embeds_each_sound_at_its_own_rate(tmp_path: Path) -> None:
    import soundfile

    entries = [{"name": "a", "sample_rate": 2 * RATE}, {"name": "b"}]
    page = written(tmp_path, record(items=entries), [burst(0), burst(1)], [burst(2), None])
    rates = []
    for audio in page.all("audio"):
        data = base64.b64decode(str(audio["src"]).removeprefix("data:audio/wav;base64,"))
        rates.append(soundfile.info(io.BytesIO(data)).samplerate)
    assert rates == [2 * RATE, 2 * RATE, RATE]
    assert "16 kHz" not in page.text and "8 kHz" in page.text and "4 kHz" in page.text


@pytest.mark.parametrize(("start", "stop"), [(38.0, 44.0), (61.3, 69.9), (0.95, 1.1)])
def test_the_ticks_of_a_part_lie_in_it(start: float, stop: float) -> None:
    moments = ticks(stop, start)
    assert 2 <= len(moments) <= 5
    assert start - 1e-9 <= moments[0] and moments[-1] <= stop + 1e-9


# The record.


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"b": 1, "a": {"d": "ü", "c": (1, 2)}})
    text = (tmp_path / "run.json").read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert list(json.loads(text)) == ["a", "b"]
    assert json.loads(text)["a"] == {"c": [1, 2], "d": "ü"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_a_number_and_names_it(tmp_path: Path, value: float) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(NumericalError, match=r"run\.json: items\[1\]\.gain is (nan|-?inf)"):
        write_json(path, {"items": [{"gain": 1.0}, {"gain": value}]})
    assert not path.exists()


def test_json_keeps_a_file_name_that_is_no_unicode(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"file": "a\udc80.wav"})
    assert json.loads((tmp_path / "run.json").read_bytes())["file"] == "a\udc80.wav"


# HTML.


def test_text_and_attributes_are_escaped_and_html_is_not() -> None:
    inner = element("b", "<i>&")
    assert element("p", inner, " >", title='"<', hidden=True, id=None, aria_label="x") == (
        '<p title="&quot;&lt;" hidden aria-label="x"><b>&lt;i&gt;&amp;</b> &gt;</p>'
    )
    assert isinstance(join("<", Html("<br>")), Html)
    assert join("<", Html("<br>")) == "&lt;<br>"


# The page.


def test_the_page_has_a_card_with_its_sound_for_each_item(tmp_path: Path) -> None:
    items = [burst(0), burst(1, 800)]
    page = written(tmp_path, record(), items)
    sources = [str(audio["src"]) for audio in page.all("audio")]
    assert len(page.all("div", "card")) == len(sources) == 2
    for source, audio in zip(sources, items, strict=True):
        import soundfile

        data = base64.b64decode(source.removeprefix("data:audio/wav;base64,"))
        sound, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(sound, audio[0], atol=1 / 32000)


def test_the_cards_show_their_own_spectrograms_on_one_scale(tmp_path: Path) -> None:
    page = written(tmp_path, record(), [sine(500), 0.01 * sine(2000)])
    pictures = [
        base64.b64decode(str(each["src"]).removeprefix("data:image/png;base64,"))
        for each in page.all("img")
    ]
    assert pictures == [
        spectrogram_png(sine(500), RATE, levels(sine(500), RATE).max()),
        spectrogram_png(0.01 * sine(2000), RATE, levels(sine(500), RATE).max()),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "first", "2 sounds", "20 November 2025, 16:48 UTC", "digits-edm", "pack 2.0", "16", "31",
        "7", "cpu", "float32", "1.25 s", "2", "0.5 s of sound a second", "mind the gap", "unipc",
        "kernel-audio-plugins 0.1.0", "label 0", "0001.wav", "order", "3", "bh2", "true", "none",
        "solver.heun@ours by solver.unipc@theirs", "kernel run --plugins edm,unipc --name 'my run'",
    ],
)  # fmt: skip
def test_the_page_says(tmp_path: Path, words: str) -> None:
    page = written(tmp_path, record(), [burst(0), burst(1)])
    assert re.search(rf"(^|\W){re.escape(words)}($|\W)", " ".join(page.text.split()))


def test_the_gain_that_a_file_was_lowered_by_is_told(tmp_path: Path) -> None:
    lowered = record(1, items=[{"name": "a", "gain": 0.5}])
    assert "-6.0 dB" in written(tmp_path, lowered, [burst(0)]).text


def test_only_the_sample_rate_must_be_known(tmp_path: Path) -> None:
    page = written(tmp_path, {"sampling": {"sample_rate": RATE}}, [burst(0), burst(1)])
    assert [each["href"] for each in page.all("a")][:2] == ["0000.wav", "0001.wav"]
    assert "Model" not in page.text


def test_a_page_without_sounds_is_still_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, record(0), [])
    assert "0 sounds" in page.text


def test_all_text_is_escaped(tmp_path: Path) -> None:
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
        items=[{"name": evil, "file": evil, "label": evil}],
    )
    page = written(tmp_path, hostile, [burst(0)])
    assert len(page.all("script")) == 1
    assert evil not in page.raw
    assert page.text.count("<script>alert(1)") >= 12


def test_a_file_name_becomes_a_link_that_stays_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "EMBEDDED", 0)
    odd = record(1, items=[{"name": "a", "file": "javascript:a b#1?.wav"}])
    page = written(tmp_path, odd, [burst(0)])
    assert page.all("a")[0]["href"] == "javascript%3Aa%20b%231%3F.wav"
    assert page.all("audio")[0]["src"] == "javascript%3Aa%20b%231%3F.wav"


def test_much_sound_is_linked_in_place_of_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [burst(0), burst(1)]
    monkeypatch.setattr(page_module, "EMBEDDED", 2 * (2 * 1600 + 44))
    assert str(written(tmp_path, record(), items).all("audio")[0]["src"]).startswith("data:")
    monkeypatch.setattr(page_module, "EMBEDDED", 2 * (2 * 1600 + 44) - 1)
    page = written(tmp_path, record(), items)
    assert [each["src"] for each in page.all("audio")] == ["0000.wav", "0001.wav"]


def test_the_page_names_no_other_place(tmp_path: Path) -> None:
    page = written(tmp_path, record(), [burst(0), burst(1)])
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "poster"):
            assert "//" not in (attributes.get(key) or "").partition("data:")[0]
    assert re.findall(r"@import|url\(", page.raw) == []
    policy = next(each for each in page.all("meta") if "http-equiv" in each)
    assert str(policy["content"]).startswith("default-src 'none'")


def test_every_control_has_a_name_for_those_who_cannot_see_it(tmp_path: Path) -> None:
    page = written(tmp_path, record(), [burst(0), burst(1)])
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


@pytest.mark.parametrize("seconds", [0.001, 0.2, 1.0, 1.024, 3.0, 61.0, 5000.0])
def test_the_ticks_of_time_are_few_round_and_inside(seconds: float) -> None:
    moments = ticks(seconds)
    step = moments[1]
    assert 3 <= len(moments) <= 6
    assert moments[0] == 0
    assert moments[-1] <= seconds * (1 + 1e-6)
    assert moments[-1] + step > seconds
    assert f"{step:.6e}"[0] in "125"


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


def test_a_page_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_page(tmp_path / "absent" / "index.html", record(), [burst(0), burst(1)])


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = (
        "import sys, kernel.report;"
        "print(*sorted({'torch', 'numpy', 'matplotlib', 'soundfile'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_no_state_of_matplotlib_is_touched(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, matplotlib, pathlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "from kernel.report import spectrogram_sheet\n"
        "record = {'sampling': {'sample_rate': 8000}}\n"
        "spectrogram_sheet(pathlib.Path(sys.argv[1]), record, [numpy.ones((1, 99))])\n"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.rcParams.copy() == before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["False", "True"]


def test_the_page_shows_the_scores_of_the_run_and_of_each_sound(tmp_path: Path) -> None:
    said = record()
    said["scores"] = [
        {"name": "snr", "value": 4.5, "std": 0.5, "count": 2, "higher_is_better": True},
        {"name": "unscored", "value": None, "std": None, "count": 0, "higher_is_better": None},
        {"name": "distance", "value": 9.25, "std": None, "count": 2, "higher_is_better": False},
    ]
    said["items"][0]["scores"] = {"snr": 4.0}
    said["items"][1]["scores"] = {"snr": None}
    text = written(tmp_path, said, [burst(0), burst(1)]).text
    assert "4.5" in text and "\u00b1 0.5 over 2 sounds, higher is better" in text
    assert "9.25" in text and "lower is better" in text
    assert "unscored" not in text
    assert "\u00b7 snr 4" in text and "\u00b7 snr \u2013" in text
