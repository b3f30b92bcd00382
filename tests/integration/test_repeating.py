"""Runs and trainings done again from their records, and refused when that would be another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kernel.cli import main
from kernel.lock import Lock, lock_path, read_lock
from kernel.repeat import RUN, TRAINING, read_record

OPTIONS = ("-o", "solver.s_churn=2.0", "-o", "guidance.guidance_scale=1.5")
SETTINGS = ("--plugins", "heun", *OPTIONS, "--steps", "3", "--seed", "5", "-n", "3", "--batch", "2")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(each) for each in arguments], prog_name="kernel")
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.fixture
def once(kernel: Callable[..., Result], model: Path) -> Path:
    """Return the folder of a run whose every setting is another than the default."""
    kernel("run", "--model", model, *SETTINGS, "--precision", "bfloat16", "--device", "cpu")
    return Path("runs/heun-1")


def sounds(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("*.wav")}
    assert found
    return found


def test_a_run_from_a_record_makes_the_same_bytes(
    kernel: Callable[..., Result], once: Path, model: Path
) -> None:
    kernel("run", "--from", once)
    again = Path("runs/heun-2")
    assert len(sounds(once)) == 3
    assert sounds(again) == sounds(once)
    assert Lock.of(read_record(again, RUN)) == Lock.of(read_record(once, RUN))
    kernel("run", "--from", again, "--locked", "--name", "third")
    assert sounds(Path("runs/third")) == sounds(once)
    assert json.loads((again / "run.json").read_text())["warnings"] == []


def test_what_was_left_out_stays_out(kernel: Callable[..., Result], model: Path) -> None:
    tiny = ("--model", model, "--steps", 2, "-n", 1)
    left = ("--without", "observer.page")
    Path("page.toml").write_text('plugins = ["heun", "observer.page"]')
    made = [
        kernel("run", *tiny, "--plugins", "heun,observer.page").stdout,
        kernel("run", *tiny, "-c", "page.toml", *left).stdout,
        kernel("run", "--from", "runs/heun-page-2").stdout,
        kernel("run", "--from", "runs/heun-page-1", *left).stdout,
        kernel("run", "--from", "runs/heun-page-1").stdout,
    ]
    pages = [path.parent.name for path in sorted(Path("runs").glob("*/index.html"))]
    assert pages == ["heun-page-1", "heun-page-5"]
    assert [f"open runs/{page}/index.html to listen\n" for page in pages] == [
        line.partition("; ")[2] for line in made if "; " in line
    ]
    assert [json.loads((run / "run.json").read_text())["config"]["without"]
            for run in sorted(Path("runs").iterdir())] == [
        [], ["observer.page"], [], ["observer.page"], [],
    ]  # fmt: skip


def test_a_run_is_repeated_from_anywhere(
    kernel: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(model.parents[1])
    kernel(
        "run",
        "--model",
        f"{model.parent.name}/{model.name}",
        "--steps",
        "2",
        "-n",
        "1",
        "--out",
        tmp_path,
    )
    (once,) = tmp_path.iterdir()
    monkeypatch.chdir(tmp_path)
    kernel("run", "--from", once.name, "--locked", "--out", "again")
    (again,) = Path("again").iterdir()
    assert sounds(again) == sounds(once)


def test_what_is_typed_beside_the_record_comes_first(
    kernel: Callable[..., Result], once: Path
) -> None:
    typed = ("--seed", "7", "--plugins", "euler", "-n", "2", "-o", "guidance.guidance_scale=3")
    kernel("run", "--from", once, *typed, "--name", "other")
    record = read_record(Path("runs/other"), RUN)
    before = read_record(once, RUN)
    assert record.settings["seed"] == 7
    assert {"steps": 3, "batch": 2}.items() <= record.settings.items()
    plugins = {each.kind: each for each in record.plugins}
    assert plugins["solver"].name == "euler"
    assert plugins["guidance"].options["guidance_scale"] == 3
    kept = {each for each in plugins if each not in ("solver", "guidance")}
    assert [each for each in before.plugins if each.kind in kept] == [
        each for each in record.plugins if each.kind in kept
    ]
    assert len(sounds(Path("runs/other"))) == 2
    done = kernel("run", "--from", once, *typed, "--locked", code=9)
    for what in ("solver.euler@", "option guidance_scale of guidance.cfg@", "seed", "count"):
        assert any(line.startswith(what) for line in done.stderr.splitlines())


def _plugin(record: dict[str, Any], **changes: Any) -> None:
    next(each for each in record["plugins"] if each["kind"] == "solver").update(changes)


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "version": (lambda record: _plugin(record, version="9"), "version of solver.heun@kernel"),
    "hash": (lambda record: _plugin(record, hash="sha256:9"), "hash of solver.heun@kernel"),
    "model": (lambda record: record["model"].update(hash="sha256:9"), "hash of model"),
    "kernel": (lambda record: record["kernel"].update(hash="sha256:9"), "hash of kernel-audio"),
    "python": (lambda record: record["versions"].update(python="2.7"), "version of python"),
    "library": (lambda record: record["versions"].update(torch="9"), "version of torch"),
    "precision": (
        lambda record: record["device"].update(precision="float16"),
        "precision of the network",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_changed_unasked_is_noted_and_refused_when_locked(
    kernel: Callable[..., Result], once: Path, case: str
) -> None:
    tamper, what = TAMPERED[case]
    record = json.loads((once / "run.json").read_text())
    tamper(record)
    (once / "run.json").write_text(json.dumps(record))
    done = kernel("run", "--from", once, "--locked", code=9)
    assert f"not everything is as in {once} ({what}" in done.stderr
    assert done.stderr.startswith(what)
    assert not Path("runs/heun-2").exists()
    kernel("run", "--from", once, "-n", "1", "--steps", "2")
    (warning,) = json.loads(Path("runs/heun-2/run.json").read_text())["warnings"]
    assert warning.startswith(what) and " was " in warning and ", is " in warning


def test_a_plugin_that_is_gone_is_one_sentence(kernel: Callable[..., Result], once: Path) -> None:
    record = json.loads((once / "run.json").read_text())
    _plugin(record, distribution="lab-b")
    (once / "run.json").write_text(json.dumps(record))
    done = kernel("run", "--from", once, code=3)
    assert f"{once} was made with solver.heun of lab-b 0.1.0, which is not installed" in done.stderr
    kernel("run", "--from", once, "--plugins", "solver.euler", "-n", "1")


@pytest.fixture
def night(model: Path, kernel: object) -> Path:
    """Return a configuration of a run."""
    path = Path("night.toml")
    path.write_text(
        f'plugins = ["heun"]\nmodel = "{model}"\nsteps = 2\ncount = 1\ndevice = "cpu"\n'
        "[options.solver]\ns_churn = 1.0\n"
    )
    return path


def test_a_lock_says_what_the_record_of_the_run_says(
    kernel: Callable[..., Result], night: Path, tmp_path: Path, model: Path
) -> None:
    done = kernel("lock", night)
    assert "night.lock locks 7 components of kernel-audio-plugins; try: kernel run" in done.stdout
    kernel("run", "-c", night, "--locked", "--name", "once")
    lock = read_lock(night, "")
    assert lock == Lock.of(read_record(Path("runs/once"), RUN))
    text = lock_path(night).read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert str(tmp_path) not in text and str(model) not in text
    kernel("lock", night)
    assert lock_path(night).read_text() == text
    kernel("lock", night, "--check")


def test_a_configuration_that_was_changed_is_refused(
    kernel: Callable[..., Result], night: Path
) -> None:
    kernel("lock", night)
    night.write_text(night.read_text().replace("1.0", "1.5").replace("steps = 2", "steps = 3"))
    for command in (["run", "-c", night, "--locked"], ["lock", night, "--check"]):
        errors = kernel(*command, code=9).stderr
        assert errors.splitlines()[:6] == [
            "steps",
            "    recorded  2",
            "    now       3",
            "option s_churn of solver.heun@kernel-audio-plugins",
            "    recorded  1.0",
            "    now       1.5",
        ]
        assert "; `kernel lock night.toml` writes it anew" in errors
    kernel("lock", night)
    kernel("run", "-c", night, "--locked")


def test_a_training_from_a_record_ends_with_the_same_weights(
    kernel: Callable[..., Result], train: Callable[..., Path], tmp_path: Path, tones: Path
) -> None:
    once = train(tmp_path / "once", seed=3, options={"schedule": {"mean": 0.3}})
    kernel("train", "--from", once, "--out", "again")
    weights = [folder / "model" / "model.safetensors" for folder in (once, Path("again"))]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_training_can_be_locked(
    kernel: Callable[..., Result], train: Callable[..., Path], tmp_path: Path, tones: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in tones.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    once = train(tmp_path / "once", options={"task": {"path": "data"}})
    record = read_record(once, TRAINING)
    assert record.inputs["task.labelled.path"].path == data
    kernel("train", "--resume", once, "--locked")
    (data / "low_0.wav").write_bytes((data / "low_1.wav").read_bytes())
    for arguments in (("--resume", once), ("--from", once, "--out", "again")):
        errors = kernel("train", *arguments, "--locked", code=9).stderr
        assert errors.startswith("content of task.labelled.path\n")
    assert not Path("again").exists()


def test_a_training_has_a_lock_beside_its_configuration(
    kernel: Callable[..., Result], training: Callable[..., Any], tmp_path: Path
) -> None:
    import tomli_w

    config = training(tmp_path / "t").model_dump(mode="json", exclude_defaults=True)
    file = Path("tones.toml")
    file.write_text(tomli_w.dumps(config))
    kernel("lock", file, "--train")
    kernel("train", "-c", file, "--locked")
    lock = read_lock(file, "")
    assert lock == Lock.of(read_record(tmp_path / "t", TRAINING))
    assert str(tmp_path) not in lock_path(file).read_text()
    errors = kernel("train", "-c", file, "--out", "x", "--seed", "1", "--locked", code=9).stderr
    assert "(seed); `kernel lock tones.toml --train` writes it anew" in errors
