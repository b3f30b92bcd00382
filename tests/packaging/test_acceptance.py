"""The commands of docs/examples.md, from `kernel new` to playing, in a fresh environment."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement

from tests.packaging.conftest import TOOLS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "examples.md").read_text("utf-8")
ACCEPTANCE = ROOT / "tests" / "integration" / "acceptance"
RATE = 8000
SIZES = {
    "dit": ("backbone.width=32", "backbone.depth=1", "backbone.heads=2"),
    "lab-predicted": ("backbone.width=16",),
    "mel": (
        *("codec.bands=12", "codec.n_fft=256", "codec.window=256"),
        "codec.griffin_lim_iters=2",
    ),
    "stft": ("codec.n_fft=62", "codec.hop=31"),
    "labelled": ("task.sample_rate=8000", "task.seconds=0.25"),
    "lab-paired": ("task.sample_rate=8000", "task.seconds=0.25"),
    "lab-incontext": ("task.sample_rate=8000", "task.seconds=0.25"),
}
"""Options that make a part small."""

DRIVER = """
import json, sys
from kernel.cli import main
for words in json.load(open(sys.argv[1])):
    try:
        main(words, prog_name="kernel")
    except SystemExit as end:
        if end.code:
            sys.exit(f"kernel {' '.join(words)} ended with {end.code}")
"""
"""Runs commands one after the other, so that torch is imported once."""

Blocks = list[tuple[str, list[str]]]


def sections() -> dict[str, Blocks]:
    """Return the commands of each section by its heading, in stretches for one program each."""
    found = {}
    for part in re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        blocks: Blocks = []
        lines = re.findall(r"^    (\S.*)$", text.replace("\\\n", " "), re.MULTILINE)
        for line in lines:
            program = line.split()[0]
            program = program if program in ("kernel", "pip") else "sh"
            if not blocks or blocks[-1][0] != program:
                blocks.append((program, []))
            blocks[-1][1].append(line)
        if blocks:
            found[heading] = blocks
    return found


SECTIONS = sections()


def sounds(work: Path) -> None:
    """Make the recordings that the page speaks of: `clean`, `noisy` and `digits`."""
    draws = np.random.default_rng(0)
    for folder in ("clean", "noisy", "digits"):
        (work / folder).mkdir()
    for number in range(4):
        tone = 0.2 * np.sin(2 * np.pi * 300 * (number + 1) * np.arange(3000) / RATE)
        soundfile.write(work / "clean" / f"{number}.wav", tone, RATE)
        soundfile.write(work / "digits" / f"{number}_one.wav", tone[:2000], RATE)
        noisy = tone + 0.05 * draws.standard_normal(len(tone))
        soundfile.write(work / "noisy" / f"{number}.wav", noisy, RATE)


def small(line: str, name: str) -> list[str]:
    """Return the words after `kernel` of a command, which makes little: a run is called `name`."""
    words = shlex.split(line)[1:]
    if words[0] == "train":
        named = words[words.index("--plugins") + 1].split(",")
        options = [option for part in named for option in SIZES.get(part, ())]
        sizes = [word for option in options for word in ("-o", option)]
        words += ["--steps", "2", "--batch", "2", "--device", "cpu"]
        words += [] if "--model" in words else sizes
    elif words[0] == "run":
        words += ["--steps", "3", "--device", "cpu", "--count", "1", "--name", name]
    return words


@pytest.fixture(scope="module")
def typed(environment: Callable[[str], Any]) -> tuple[Any, dict[str, list[Path]]]:
    """Return an environment in which all commands were typed, and the runs of each section."""
    fresh = environment("examples")
    fresh.pip("install", *fresh.wheels(ROOT, *TOOLS, ROOT / "plugins"))
    (fresh.work / "tests").symlink_to(ROOT / "tests")
    (fresh.work / "driver.py").write_text(DRIVER, "utf-8")
    sounds(fresh.work)
    runs: dict[str, list[Path]] = {heading: [] for heading in SECTIONS}
    for number, blocks in enumerate(zip_longest(*SECTIONS.values(), fillvalue=("", []))):
        (program,) = {program for program, _ in blocks} - {""}
        lines = [line for _, block in blocks for line in block]
        if program == "sh":
            subprocess.run(["sh", "-ec", "\n".join(lines)], cwd=fresh.work, check=True)
        elif program == "pip":
            fresh.pip("install", *fresh.wheels(*(fresh.work / line.split()[-1] for line in lines)))
        else:
            commands = []
            for heading, (_, block) in zip(SECTIONS, blocks, strict=True):
                for line in block:
                    place = fresh.work / "runs" / f"{number}-{len(commands)}"
                    runs[heading] += [place] if line.startswith("kernel run") else []
                    commands.append(small(line, place.name))
            (fresh.work / "commands.json").write_text(json.dumps(commands), "utf-8")
            fresh.python("driver.py", "commands.json")
    return fresh, runs


def test_every_acceptance_plugin_is_shown() -> None:
    folders = sorted({path.parent.name for path in ACCEPTANCE.glob("*/*.py")})
    assert len(SECTIONS) == 9
    for name in folders:
        assert f"cp tests/integration/acceptance/{name}/" in PAGE


@pytest.mark.parametrize("heading", SECTIONS)
def test_what_it_made_plays(typed: Any, heading: str) -> None:
    _, runs = typed
    assert runs[heading]
    for run in runs[heading]:
        files = sorted(run.glob("*.wav"))
        assert files
        for file in files:
            audio, _ = soundfile.read(file)
            assert np.isfinite(audio).all() and np.abs(audio).max() > 1e-3, file


@pytest.mark.parametrize("heading", SECTIONS)
def test_its_pack_requires_what_a_run_of_it_took(typed: Any, heading: str) -> None:
    fresh, runs = typed
    record = json.loads((runs[heading][0] / "run.json").read_text("utf-8"))
    pack = fresh.work / record["model"]["distribution"] / "pyproject.toml"
    project = tomllib.loads(pack.read_text("utf-8"))["project"]
    required = {Requirement(each).name for each in project["dependencies"]}
    kinds = ("objective", "solver", "backbone", "codec", "task")
    taken = {each["distribution"] for each in record["plugins"] if each["kind"] in kinds}
    assert taken and taken <= required
