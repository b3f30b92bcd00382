"""The pictures of sounds: one alone, and many on a sheet."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kernel.values import Sound
from kernel_plugins.observers import _sheet as sheet_module
from kernel_plugins.observers._colours import PALETTE, encode, indices, palette, repaint
from kernel_plugins.observers._sheet import Grid, Panel, draw, panels
from kernel_plugins.observers._shown import Drawn, _view, drawn
from kernel_plugins.observers._spectrum import levels

RATE = 8000
MARK = (0x5C, 0xE1, 0xE6)


def sine(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)[None]


def burst(seed: int, samples: int = 1600, channels: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(channels, samples))
    return (0.2 * noise).astype(np.float32)


def image(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def spectrogram(audio: np.ndarray, loudest: float | None = None) -> np.ndarray:
    """Return the brightness of a sound's picture, 0 to 3, [rows, columns]."""
    points, own = indices(levels(audio, RATE))
    return image(encode(points, palette(own, own if loudest is None else loudest))).sum(-1) / 255


def groups(
    items: Sequence[tuple[str, np.ndarray]],
    given: Sequence[np.ndarray | None] = (),
    rates: Sequence[int] = (),
    spans: tuple[tuple[float, float], ...] = (),
) -> list[tuple[Drawn, ...]]:
    found = []
    for index, (label, audio) in enumerate(items):
        before = given[index] if index < len(given) else None
        sound = Sound(
            str(index),
            torch.from_numpy(np.asarray(audio, np.float32)),
            rates[index] if rates else RATE,
            text=label,
            given=None if before is None else torch.from_numpy(np.asarray(before, np.float32)),
            spans=spans,
        )
        entry = {"file": f"{index}.wav", "given": f"{index}-given.wav", "label": label}
        found.append(drawn(sound, entry))
    return found


def sheet(drawn: Sequence[tuple[Drawn, ...]]) -> np.ndarray:
    return image(draw(drawn, max(each.shown.loudest for group in drawn for each in group), 0))


def places(drawn: Sequence[tuple[Drawn, ...]]) -> list[Panel]:
    return panels([tuple(each.shown for each in group) for group in drawn])[1]


# One picture.


def test_the_png_has_low_frequencies_at_the_bottom_and_time_to_the_right() -> None:
    bright = spectrogram(np.concatenate([sine(500), np.zeros((1, 4000))], axis=1))
    assert bright.shape == (160, 560)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    assert row == pytest.approx(160 * (1 - 500 / 4000), abs=2)
    assert column < 280
    assert bright[:, 300:].max() < 0.1


def test_a_loudest_level_shared_by_two_sounds_makes_the_softer_darker() -> None:
    soft = 0.01 * sine(500)
    alone, shared = (spectrogram(soft, level).max() for level in (None, 0.0))
    assert alone > 2.5
    assert shared < alone - 0.5


def test_silence_is_dark() -> None:
    assert spectrogram(np.zeros((1, 800))).max() < 0.3


def test_the_colours_of_a_level_do_not_depend_on_the_loudest_point_of_its_own_picture() -> None:
    picture = levels(0.1 * burst(0), RATE)
    points, own = indices(picture)
    shared, top = indices(picture, own + 30)
    one, other = (
        image(encode(*each)).astype(int)
        for each in ((points, palette(own, own + 30)), (shared, palette(top, own + 30)))
    )
    assert np.abs(one - other).max() <= 6
    assert one.max() > 100


def test_new_colours_in_a_picture_are_those_that_it_would_have_been_written_with() -> None:
    points, own = indices(levels(burst(0), RATE))
    png = bytearray(encode(points, palette()))
    colours = repaint(palette(own, own + 12))
    png[PALETTE : PALETTE + len(colours)] = colours
    assert bytes(png) == encode(points, palette(own, own + 12))


# The sheet.


@pytest.mark.parametrize("count", range(1, 65))
def test_a_sheet_has_a_tidy_shape_for_any_number_of_items(count: int) -> None:
    grid = Grid.of(count)
    width, height = grid.size
    assert 1.2 < width / height < 4.5
    assert 6 < width < 24
    assert grid.columns * grid.rows - count < grid.columns


@pytest.mark.parametrize("count", [1, 10, 64])
def test_the_panels_of_a_sheet_keep_apart_and_inside(count: int) -> None:
    grid = Grid.of(count)
    boxes = [grid.panel(index) for index in range(count)]
    for i, (left, below, width, height) in enumerate(boxes):
        assert left > 0 and below > 0 and left + width < 1 and below + height < 1
        for other_left, other_below, *_ in boxes[:i]:
            assert abs(left - other_left) > width or abs(below - other_below) > height * 1.2


def test_every_item_is_drawn_on_the_sheet() -> None:
    def made(count: int, loud: int) -> np.ndarray:
        items = [(f"{i}", burst(1) * (1 if i == loud else 0)) for i in range(count)]
        return sheet(groups(items)).astype(int)

    pictures = [made(4, loud) for loud in range(4)]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert (np.abs(first - second) > 25).any(-1).mean() > 0.05


def test_each_panel_has_the_waveform_and_the_picture_of_its_own_item() -> None:
    made = groups([(f"{i}", burst(1) * (i == 2)) for i in range(4)])
    pixels = sheet(made)
    waves, pictures = [], []
    for panel in places(made):
        left, top, right, bottom = panel.box
        waves.append(pixels[top : panel.upper - 4, left:right].mean())
        pictures.append(pixels[panel.upper : bottom, left:right].mean())
    assert waves[2] > 2 * max(waves[:2] + waves[3:])
    assert pictures[2] > 2 * max(pictures[:2] + pictures[3:])


def test_labels_are_drawn_as_they_are_and_cut_where_they_are_long() -> None:
    labels = ["$\\frac{$", "漢字 \U0001f3b5", "a\nb\tc", "very long " * 40, "x\udc80", "<b>&", "ü"]
    made = groups([(label, burst(i)) for i, label in enumerate(labels)])
    titles = [panel.title for panel in places(made)]
    assert titles[2] == "a b c" and titles[-1] == "ü"
    assert titles[3].endswith("\u2026") and len(titles[3]) < 40
    height, width, _ = sheet(made).shape
    assert width < 2500 and height < 2500


def test_a_letter_with_a_mark_is_drawn_as_another_than_without() -> None:
    one, other = (sheet(groups([(label, 0 * burst(0))])) for label in ("Zurich", "Zürich"))
    assert 5 < (one != other).any(-1).sum() < 200


@pytest.mark.parametrize(
    "audio",
    [np.zeros((1, 0)), np.ones((1, 1)), np.zeros((1, 800)), burst(0, 800, 2), 3 * burst(1)],
    ids=["empty", "one sample", "silence", "stereo", "beyond full scale"],
)
def test_unusual_audio_has_a_panel(audio: np.ndarray) -> None:
    assert sheet(groups([("odd", audio), ("even", burst(0))])).std() > 12


@pytest.mark.parametrize(("most", "paired", "more"), [(2, False, 3), (2, True, 4), (64, False, 0)])
def test_a_sheet_says_how_many_items_it_leaves_out(
    most: int,
    paired: bool,
    more: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_page: Callable[..., Any],
) -> None:
    said: list[str] = []
    write = sheet_module._write

    def listen(pen: Any, place: Any, text: str, *style: Any) -> None:
        said.append(text)
        write(pen, place, text, *style)

    monkeypatch.setattr(sheet_module, "_write", listen)
    items = [burst(i, 64) for i in range(5)]
    record = {"sampling": {"sample_rate": RATE}, "items": [{"name": str(i)} for i in range(5)]}
    write_page(tmp_path, record, items, items if paired else (), sheet=most)
    assert [text for text in said if text.startswith("and ")] == ([f"and {more} more"] * bool(more))


def test_the_sheet_is_the_same_bytes_each_time() -> None:
    one, other = (draw(groups([("one", burst(0))]), 0.0, 0) for _ in range(2))
    assert one == other


# Before and after.


def test_a_sheet_has_what_was_given_above_what_was_made_of_it() -> None:
    made = groups([("song", burst(0)), ("alone", burst(1))], [burst(2, 800), None])
    named = {panel.title: panel for panel in places(made)}
    assert list(named) == ["song: given", "song", "alone"]
    before, after = named["song: given"], named["song"]
    assert (before.box[0], before.box[2]) == (after.box[0], after.box[2])
    assert before.box[3] < after.box[1]
    assert named["alone"].box[1] == after.box[1]
    assert before.view == after.view == (0, 0.2)
    assert (before.seen[1], after.seen[1]) == (0.1, 0.2)
    pixels = sheet(made)
    halves = np.split(pixels[before.upper : before.box[3], before.box[0] : before.box[2]], 2, 1)
    assert halves[0].mean() > 3 * halves[1].mean()


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("rates", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
def test_the_panels_of_pairs_keep_apart_and_inside(count: int, rates: int, long: bool) -> None:
    grid = Grid.of(count, 2, long=long, rates=rates)
    boxes = [grid.panel(index, level) for index in range(count) for level in (0, 1)]
    for i, (left, below, width, height) in enumerate(boxes):
        assert left > 0 and below > 0 and left + width < 1 and below + height < 1
        for other_left, other_below, *_ in boxes[:i]:
            assert abs(left - other_left) > width or abs(below - other_below) > height * 1.05
    assert 1 < grid.size[0] / grid.size[1] < 5


def test_each_panel_has_the_frequencies_of_its_own_rate() -> None:
    items = [("a", sine(1000)), ("b", sine(1000, rate=4 * RATE))]
    made = groups(items, rates=[RATE, 4 * RATE])
    pixels = sheet(made).astype(int).sum(-1)
    found = places(made)
    assert [panel.frequencies[-1] for panel in found] == [4, 16]
    for panel in found:
        left, _, right, bottom = panel.box
        loud = pixels[panel.upper : bottom, left + 50 : right - 50].mean(1).argmax()
        hertz = (1 - (loud + 0.5) / (bottom - panel.upper)) * panel.frequencies[-1]
        assert hertz == pytest.approx(1, abs=0.1)
        assert "frequencies" in panel.labels
        assert panel.seen[1] == 0.5


def test_the_sheet_shows_a_short_edit_of_a_long_sound_with_what_is_around_it() -> None:
    audio = np.zeros((1, 60 * RATE))
    audio[0, 40 * RATE : 42 * RATE] = sine(1000, 2)[0]
    made = groups([("song", audio)], [0 * audio], spans=((40, 42),))
    panel = next(panel for panel in places(made) if panel.title == "song")
    assert panel.view == (38, 44)
    assert panel.note == "38\u201344 s"
    loud = np.flatnonzero(made[0][1].points.max(0) > 236)
    assert (loud.min(), loud.max()) == pytest.approx((560 / 3, 2 * 560 / 3), abs=3)
    pixels = sheet(made)
    row = pixels[panel.box[3] - 20]
    marked = np.flatnonzero((row == MARK).all(-1))
    edges = [panel.box[0] + part * (panel.box[2] - panel.box[0]) / 3 for part in (1, 2)]
    assert (marked.min(), marked.max()) == pytest.approx(edges, abs=2)
    wave = pixels[panel.box[1] + 3]
    inside, outside = wave[(int(edges[0]) + int(edges[1])) // 2], wave[int(edges[1]) + 20]
    assert inside.sum() > outside.sum() + 50


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
    assert _view(seconds, spans) == view
