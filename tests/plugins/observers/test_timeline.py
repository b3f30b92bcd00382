from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel import OutputError, Sound
from kernel.audio import write_audio
from kernel_plugins.observers.page import Page


def sampled(page: Page, folder: Path, step: int, names: str = "ab", level: float = 0.5) -> None:
    """Tell a page of the samples of a step, and of the step."""
    place = folder / "samples" / f"{step:08d}"
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        audio = level * torch.sin(torch.arange(800) * 0.3)[None]
        file = f"samples/{place.name}/{name}.wav"
        write_audio(folder / file, audio, 8000)
        entry = {"name": name, "file": file, "given": None, "label": f"<{name}>", "step": step}
        page.sound(Sound(name, audio, 8000), entry)
    page.step(step, 100, {"loss": 1.0})


def text(folder: Path) -> str:
    return (folder / "index.html").read_text("utf-8")


def test_the_samples_stand_step_below_step_the_newest_first(tmp_path: Path) -> None:
    page = Page()
    page.started(tmp_path, {})
    sampled(page, tmp_path, 10)
    assert re.findall(r"<h2>Step (\d+)", text(tmp_path)) == ["10"]
    sampled(page, tmp_path, 20)
    found = text(tmp_path)
    assert re.findall(r"<h2>Step (\d+)", found) == ["20", "10"]
    assert "&lt;a&gt;" in found
    assert "<a>" not in found
    sources = re.findall(r'src="([^"]+)"', found)
    assert len(sources) == 8
    assert all((tmp_path / each).is_file() for each in sources)
    said = page.finished(tmp_path)
    assert said == f"open {tmp_path / 'index.html'} to listen to the samples"


def test_a_resumed_training_goes_on_with_its_page(tmp_path: Path) -> None:
    first = Page()
    first.started(tmp_path, {})
    sampled(first, tmp_path, 10)
    sampled(first, tmp_path, 20)
    with (tmp_path / "samples" / "samples.jsonl").open("a") as lines:
        lines.write('{"step": 3')
    second = Page()
    second.started(tmp_path, {})
    sampled(second, tmp_path, 20)
    sampled(second, tmp_path, 30)
    found = text(tmp_path)
    assert re.findall(r"<h2>Step (\d+)", found) == ["30", "20", "10"]
    assert found.count("<figure><img") == 6


def test_the_curves_are_those_of_the_history(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"step": 10, "loss": 1.0},
        {"step": 20, "loss": 0.5, "valid.loss": 0.25},
        {"step": 40, "loss": 0.25, "valid.loss": 0.0625},
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in entries))
    page = Page()
    page.started(tmp_path, {})
    sampled(page, tmp_path, 40)
    found = re.findall(r'points="([^"]+)"', text(tmp_path))
    assert found == ["250.0,0.0 500.0,50.0 1000.0,100.0", "500.0,100.0 1000.0,200.0"]
    assert "loss: 1 to 0.25 · valid.loss: 0.25 to 0.0625" in text(tmp_path)


def test_all_pictures_have_one_scale(tmp_path: Path) -> None:
    from PIL import Image

    page = Page()
    page.started(tmp_path, {})
    sampled(page, tmp_path, 10, level=0.5)
    sampled(page, tmp_path, 20, level=0.05)
    loud, quiet = (
        max(Image.open(tmp_path / f"samples/{step:08d}/a.png").tobytes()) for step in (10, 20)
    )
    # 20 dB of the 80 dB that 255 bytes stand for.
    assert loud - quiet == pytest.approx(20 * 255 / 80, abs=2)


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    page = Page()
    page.started(tmp_path, {})
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OutputError, match=r"^observer.page cannot write .*; make room for it, or"):
        sampled(page, tmp_path, 10)
