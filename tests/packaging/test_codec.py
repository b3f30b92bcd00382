"""A trained codec goes to who trains a network on it, and comes back with that to be played."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.packaging.conftest import TOOLS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ACCEPTANCE = ROOT / "tests" / "integration" / "acceptance"
FAST = ("--batch", "4", "--device", "cpu")
LICENCE = ("--licence", "CC0-1.0")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    time = np.arange(2000) / 8000
    for take in range(4):
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * take) * time)
        soundfile.write(folder / f"low_{take}.wav", tone, 8000)
    return folder


def dependencies(project: Path) -> list[str]:
    found: list[str] = tomllib.loads((project / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    return found


def test_a_codec_is_installed_elsewhere_and_so_are_networks_that_were_trained_on_it(
    environment: Callable[[str], Any], tones: Path
) -> None:
    first, second = map(environment, ("first", "second"))
    ours = first.wheels(ROOT, ROOT / "plugins", *TOOLS)
    first.pip("install", *ours)
    labs = []
    for name, kind in (("vae", "codec"), ("elbo", "recipe")):
        first.kernel("new", f"kernel-audio-lab-{name}", "--kind", kind)
        labs.append(first.work / f"kernel-audio-lab-{name}")
        for file in (ACCEPTANCE / name).glob("*.py"):
            shutil.copy(file, labs[-1] / f"kernel_audio_lab_{name}")
    labs = first.wheels(*labs)
    first.pip("install", *labs)
    second.pip("install", *ours, *labs)

    data = ("-o", f"task.path={tones}", "-o", "task.sample_rate=8000", "-o", "task.seconds=0.25")
    words = ("--plugins", "lab-vae,lab-elbo,labelled", *data, *FAST, "--learning-rate", "0.01")
    first.kernel("train", *words, "--steps", "20", "--out", "vae")
    first.kernel("export", "vae", "--pack", "kernel-audio-tiny-vae", *LICENCE)
    project = first.work / "kernel-audio-tiny-vae"
    assert dependencies(project) == [
        "kernel-audio>=0.1,<1",
        "kernel-audio-lab-vae>=0.1.0",
        "kernel-audio-plugins>=0.1.0",
    ]
    vae = first.wheels(project)

    second.pip("install", *vae)
    checked = second.kernel("check", "tiny-vae").stdout
    assert "failed" not in checked and "inapplicable" not in checked
    small = ("-o", "backbone.width=32", "-o", "backbone.depth=1", "-o", "backbone.heads=2")
    words = ("--plugins", "edm,dit,lab-vae,labelled,euler", "-o", "codec.pack=tiny-vae", *small)
    second.kernel("train", *words, *data, *FAST, "--steps", "2", "--out", "net")
    second.kernel("export", "net", "--pack", "kernel-audio-tiny-net", *LICENCE)
    second.kernel("export", "net", "--pack", "kernel-audio-whole-net", *LICENCE, "--whole")
    projects = [second.work / f"kernel-audio-{name}-net" for name in ("tiny", "whole")]
    assert "kernel-audio-tiny-vae>=0.1.0" in dependencies(projects[0])
    assert not any("tiny-vae" in each for each in dependencies(projects[1]))
    nets = second.wheels(*projects)

    first.pip("install", "--no-deps", *nets)
    play = ("--count", "1", "--steps", "3", "--device", "cpu")
    first.kernel("run", "--model", "whole-net", *play, "--name", "whole")
    missed = first.kernel("run", "--model", "tiny-net", *play, "--name", "no", fails=3).stderr
    assert "`pip install kernel-audio-tiny-vae`" in missed
    first.pip("install", *vae)
    first.kernel("run", "--model", "tiny-net", *play, "--name", "tiny")
    whole, tiny = (sorted(first.work.glob(f"runs/{name}/*.wav")) for name in ("whole", "tiny"))
    assert [each.read_bytes() for each in whole] == [each.read_bytes() for each in tiny]
    assert np.abs(soundfile.read(tiny[0])[0]).max() > 0
    assert "failed" not in first.kernel("check", "tiny-net").stdout
    first.kernel("run", "--from", "runs/whole", "--locked", "--name", "again")
