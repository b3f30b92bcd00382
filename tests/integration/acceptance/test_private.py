"""A private `unipc` with other options under a trained model, on the user's word alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OURS, LAB = "kernel-audio-plugins", "lab-private"
TAKES_NONE = f"solver.unipc@{LAB} stands in for solver.unipc@{OURS} of 'tiny', and takes none of"


@pytest.fixture
def kernel(
    install: Callable[..., Any], tmp_path: Path, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Return the command, with a model of the shipped parts and the lab's beside them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    command = install("private", "solver.unipc", "backbone.dit", "codec.waveform")

    def run(*words: object, fails: int = 0) -> str:
        done = command(*words)
        assert done.exit_code == fails, done.output
        return " ".join(done.output.split())

    names = ("solver.unipc", "backbone.dit", "codec.waveform")
    parts = ",".join(["edm", *(f"{name}@{OURS}" for name in names), "labelled"])
    options = ["codec.fold=16", "backbone.width=16", "backbone.depth=1", "backbone.heads=1"]
    options += ["solver.predictor_order=3", "task.sample_rate=8000", "task.seconds=0.25"]
    spelt = [word for each in (*options, f"task.path={tones}") for word in ("-o", each)]
    settings = ("--steps", 1, "--batch", 2, "--device", "cpu", "--out", tmp_path / "tiny")
    run("train", "--plugins", parts, *spelt, *settings)
    return run


def played(kernel: Any, folder: Path, *words: object) -> tuple[dict[str, Any], str]:
    """Return the recorded solver of a run of the model, and the notes."""
    model = ("--model", folder / "tiny" / "model", "--steps", 3, "-n", 1, "--device", "cpu")
    names = {path.name for path in folder.glob("run-*")}
    name = f"run-{len(names)}"
    kernel("run", *model, "--out", folder, "--name", name, *words)
    record = json.loads((folder / name / "run.json").read_text())
    (solver,) = (each for each in record["plugins"] if each["kind"] == "solver")
    return solver, " ".join(record["warnings"])


def test_a_private_part_takes_effect_on_the_users_word_alone(kernel: Any, tmp_path: Path) -> None:
    solver, notes = played(kernel, tmp_path)
    assert (solver["distribution"], solver["options"]["predictor_order"]) == (OURS, 3)
    assert notes == ""

    solver, notes = played(kernel, tmp_path, "--plugins", f"unipc@{LAB}")
    assert (solver["distribution"], solver["options"]) == (LAB, {"memory": 0.5})
    assert TAKES_NONE in notes

    words = ("--plugins", f"unipc@{LAB}", "-o", "solver.memory=0.25")
    assert played(kernel, tmp_path, *words)[0]["options"] == {"memory": 0.25}

    (tmp_path / "night.toml").write_text(f'[prefer]\n"solver.unipc" = "{LAB}"\n')
    solver, notes = played(kernel, tmp_path, "-c", tmp_path / "night.toml")
    assert solver["distribution"] == LAB and solver["preferred"] and TAKES_NONE in notes


def test_a_preference_may_stand_in_the_users_own_file(kernel: Any, tmp_path: Path) -> None:
    own = tmp_path / "home" / "kernel-audio" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[prefer]\n"solver.unipc" = "{LAB}"\n"solver.heun" = "not-here"\n')
    solver, notes = played(kernel, tmp_path)
    assert solver["distribution"] == LAB and solver["preferred"] and TAKES_NONE in notes
    record = json.loads((tmp_path / "run-0" / "run.json").read_text())
    assert record["config"]["prefer"] == {"solver.unipc": LAB}
    (tmp_path / "ours.toml").write_text(f'[prefer]\n"solver.unipc" = "{OURS}"\n')
    assert played(kernel, tmp_path, "-c", tmp_path / "ours.toml")[0]["distribution"] == OURS

    own.write_text("steps = 3\n")
    assert "may hold the table [prefer]" in kernel("run", fails=4)
    own.write_text("[prefer")
    assert "config.toml cannot be read" in kernel("run", fails=4)


def test_a_substitute_that_weights_belong_to_takes_all_options_or_is_refused(
    kernel: Any, tmp_path: Path
) -> None:
    model = ("run", "--model", tmp_path / "tiny" / "model", "--plugins")
    said = kernel(*model, f"backbone.dit@{LAB}", fails=2)
    assert f"backbone.dit@{LAB} cannot stand in for backbone.dit@{OURS}, which 'tiny'" in said
    assert "the model's option 'width' does not exist" in said
    manifest = tmp_path / "tiny" / "model" / "model.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("fold = 16", "fold = 0"))
    said = kernel(*model, f"codec.waveform@{LAB}", "--device", "cpu", fails=4)
    assert f"codec.waveform@{LAB} stands in for codec.waveform@{OURS} of 'tiny', with the" in said
    assert "does not fit the network" in said


def test_a_trained_option_is_changed_by_force_alone(kernel: Any, tmp_path: Path) -> None:
    model = ("run", "--model", tmp_path / "tiny" / "model", "-n", 1, "--device", "cpu", "-o")
    said = kernel(*model, "objective.sigma_data=2", fails=2)
    assert "was trained with objective.sigma_data=" in said and "add --force-options" in said
    assert "was trained with codec.std=" in kernel(*model, "codec.std=2.5", fails=2)
    words = ("-o", "codec.std=2.5", "--force-options")
    _, notes = played(kernel, tmp_path, *words)
    assert "codec.std is 2.5 by force, where the model was trained with" in notes
    record = json.loads((tmp_path / "run-0" / "run.json").read_text())
    assert record["config"]["force_options"] is True


def test_a_model_knows_what_it_was_trained_with(kernel: Any, tmp_path: Path) -> None:
    place = tmp_path / "tiny" / "model" / "model.toml"
    parts = tomllib.loads(place.read_text())["parts"]
    assert set(parts) == {"backbone", "codec"}
    place.write_text(place.read_text().replace(parts["codec"]["hash"], "sha256:0123456789abcdef"))
    _, notes = played(kernel, tmp_path)
    assert "is not what" in notes and "sha256:012345678901"[:13] in notes
    words = ("run", "--from", tmp_path / "run-0", "--locked")
    assert f"codec.waveform@{OURS}" in kernel(*words, fails=9)


def test_what_is_not_installed_is_replaced_by_nobody_but_its_heir(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tiny" / "model" / "model.toml"
    text = place.read_text()
    place.write_text(text.replace(f'"solver.unipc" = "{OURS}"', '"solver.unipc" = "Old_Lab"'))
    said = kernel("run", "--model", place.parent, fails=3)
    assert "'tiny' was trained with solver.unipc of old-lab, which is not installed" in said
    assert f"name solver.unipc@{OURS} or solver.unipc@{LAB} with --plugins" in said
    from lab_private import solver as private

    monkeypatch.setattr(private.Private, "formerly", ("old.lab",))
    place.write_text(place.read_text().replace("predictor_order = 3", "memory = 0.75"))
    drop = ("corrector", "variant", "prediction", "lower_order_final", "leap_ratio")
    lines = [line for line in place.read_text().splitlines() if not line.startswith(drop)]
    place.write_text("\n".join(lines))
    solver, notes = played(kernel, tmp_path)
    assert (solver["distribution"], solver["options"]) == (LAB, {"memory": 0.75})
    assert notes == ""


def test_no_path_of_this_machine_enters_a_model(kernel: Any, tmp_path: Path, tones: Path) -> None:
    names = f"edm,backbone.dit@{OURS},codec.waveform@{LAB},labelled"
    words = ("train", "--plugins", names, "-o", f"task.path={tones}", "--out", tmp_path / "no")
    said = kernel(*words, "-o", "codec.weights=/here/w.pt", fails=2)
    assert "codec.weights is '/here/w.pt', a path of this machine" in said
    assert not (tmp_path / "no").exists()
