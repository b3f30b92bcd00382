"""`kernel new` and `kernel export` from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def next_lines(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if line.startswith("    ")]


def test_new_says_what_to_type_next(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = site.invoke("new", "kernel-audio-zig", "--kind", "solver")
    assert done.exit_code == 0, done.output
    assert "./kernel-audio-zig is a project of solver.zig; next:" in done.stdout
    assert next_lines(done.stdout) == [
        "pip install -e ./kernel-audio-zig",
        "kernel check solver.zig",
        "kernel run --plugins solver.zig",
    ]
    assert (tmp_path / "kernel-audio-zig" / "kernel_audio_zig" / "solver.py").is_file()


def test_new_writes_where_it_is_told(site: Any, tmp_path: Path) -> None:
    out = tmp_path / "some place" / "plugins"
    done = site.invoke("new", "kernel-audio-zig", "-k", "observer", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert next_lines(done.stdout)[0] == f"pip install -e '{out}/kernel-audio-zig'"
    assert (out / "kernel-audio-zig" / "pyproject.toml").is_file()


def test_new_adds_to_a_project(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = site.invoke("new", "lab-parts", "-k", "solver", "--name", "ab2")
    assert done.exit_code == 0, done.output
    assert next_lines(done.stdout)[1:] == [
        "kernel check solver.ab2",
        "kernel run --plugins solver.ab2",
    ]
    done = site.invoke("new", "--into", "lab-parts", "-k", "codec", "--name", "bands")
    assert done.exit_code == 0, done.output
    assert "./lab-parts now has codec.bands; next:" in done.stdout
    assert next_lines(done.stdout) == [
        "pip install -e ./lab-parts",
        "kernel check codec.bands",
        "kernel train --plugins edm,dit,labelled,unipc,codec.bands -o task.path=FOLDER",
    ]
    assert (tmp_path / "lab-parts" / "lab_parts" / "codec.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--kind", "solver"), 2, "name a new distribution, e.g. kernel-audio-ab2, or the folder"),
        (("zig", "--into", "there", "-k", "solver"), 2, "name a new distribution, e.g. kernel-au"),
        (("--into", "there", "-k", "solver", "--out", "x"), 2, "--out is for a new project; leave"),
        (("--into", "there", "-k", "solver"), 4, "there/pyproject.toml is not the metadata of a"),
        (("zig", "-k", "solver", "--name", "2m"), 2, "a component cannot be called '2m'"),
        (("Ab2", "--kind", "solver"), 2, "cannot be called 'Ab2' here; use lower-case letters"),
        (("zig", "--kind", "sovler"), 2, "no kind of plugin 'sovler'; did you mean 'solver'?"),
        (("torch", "--kind", "solver"), 2, "the name torch is taken"),
        (("there", "--kind", "solver"), 5, "there exists already; choose another name"),
    ],
)
def test_mistakes_with_new(
    site: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.iterdir())
    done = site.invoke("new", *arguments)
    assert done.exit_code == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_export_packs_a_model_and_says_what_to_type_next(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert site.invoke("new", "kernel-audio-bells", "--kind", "model").exit_code == 0
    monkeypatch.syspath_prepend(str(tmp_path / "kernel-audio-bells"))
    kinds = ("objective", "schedule", "solver", "guidance", "backbone", "codec", "task")
    entries = {f"{kind}.bells": f"kernel_audio_bells.{kind}" for kind in kinds}
    site.install("kernel-audio-bells", entries)
    source = "kernel-audio-bells/kernel_audio_bells/model"
    done = site.invoke("export", source, "--pack", "lab-tones", "--attribution", "the lab")
    assert done.exit_code == 0, done.output
    assert "./lab-tones is a project of model.lab-tones; next:" in done.stdout
    assert next_lines(done.stdout) == [
        "pip install -e ./lab-tones",
        "kernel check model.lab-tones",
        "kernel run --model lab-tones",
    ]
    assert '"kernel-audio-bells>=1.0"' in (tmp_path / "lab-tones/pyproject.toml").read_text()
    assert 'attribution = "the lab"' in (tmp_path / "lab-tones/lab_tones/model.toml").read_text()

    again = site.invoke("export", source, "--pack", "lab-tones")
    assert again.exit_code == 5
    assert "lab-tones exists already" in again.stderr
    weights = tmp_path / source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    broken = site.invoke("export", source, "--pack", "lab-others")
    assert broken.exit_code == 4
    assert "model.safetensors are damaged" in broken.stderr


@pytest.mark.parametrize("command", ["new", "export"])
def test_neither_needs_torch(site: Any, tmp_path: Path, command: str) -> None:
    out = ("--out", str(tmp_path / "out"))
    if command == "new":
        arguments: tuple[str, ...] = ("new", "kernel-audio-bells", "--kind", "model")
    else:
        import kernel_audio_testing.projects

        pack = Path(kernel_audio_testing.projects.__file__).with_name("templates") / "model"
        kinds = ("objective", "schedule", "solver", "guidance", "backbone", "codec", "task")
        site.install("lab-mine", {f"{kind}.mine": "nowhere" for kind in kinds})
        arguments = ("export", str(pack), "--pack", "kernel-audio-bells")
    assert "torch" not in site.modules_after(*arguments, *out)
    assert (tmp_path / "out" / "kernel-audio-bells" / "README.md").is_file()
