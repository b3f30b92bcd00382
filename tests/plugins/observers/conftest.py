"""Pages as the observer writes them, from arrays in place of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kernel.audio import write_audio
from kernel.values import Sound
from kernel_plugins.observers.page import Page


def write(
    folder: Path,
    record: dict[str, Any],
    items: Sequence[np.ndarray],
    given: Sequence[np.ndarray | None] = (),
    pictures: Sequence[tuple[tuple[str, torch.Tensor], ...]] = (),
    **options: Any,
) -> str | None:
    """Do to `folder` what a run does with a page, and return what the page says at the end."""
    page = Page(**options)
    page.started(folder, {})
    entries = record.get("items", [{} for _ in items])
    for index, (audio, entry) in enumerate(zip(items, entries, strict=True)):
        name = entry.get("name", f"{index:04d}")
        file = entry.get("file", f"{name}.wav")
        before = given[index] if index < len(given) else None
        rate = entry.get("sample_rate") or record["sampling"]["sample_rate"]
        sound = Sound(
            name,
            torch.from_numpy(np.asarray(audio, np.float32)),
            rate,
            text=entry.get("label"),
            given=None if before is None else torch.from_numpy(np.asarray(before, np.float32)),
            spans=tuple(tuple(span) for span in entry.get("spans", ())),
            pictures=pictures[index] if index < len(pictures) else (),
        )
        told = {"name": name, "file": file, "given": None} | entry
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        write_audio(folder / file, sound.audio, rate)
        if sound.given is not None:
            told["given"] = told["given"] or f"{name}-given.wav"
            part = slice(*(round(moment * rate) for moment in told.get("given_part", (0, 1e6))))
            write_audio(folder / str(told["given"]), sound.given[:, part], rate)
        page.sound(sound, told)
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    return page.finished(folder)


@pytest.fixture
def write_page() -> Callable[..., str | None]:
    """Return what writes a record, its sounds and its page into a folder."""
    return write
