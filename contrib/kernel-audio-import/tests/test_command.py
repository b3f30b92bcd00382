from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

PARTS = """
    from kernel import AudioSpec, Backbone, Codec, LatentSpec, Objective, Task, hookimpl

    class MyObjective(Objective):
        "Predict."

    class MyBackbone(Backbone):
        "A linear network."
        def build(self, latent, condition):
            from torch import nn
            return nn.Sequential(nn.Linear(latent.channels, 3), nn.BatchNorm1d(3))

    class MyCodec(Codec):
        "Samples."
        def latent(self, audio, samples):
            return LatentSpec(2, (samples,))

    class MyTask(Task):
        "Sounds."
        audio = property(lambda self: AudioSpec(8000))
        samples = property(lambda self: 100)

    @hookimpl
    def objective():
        return MyObjective

    @hookimpl
    def backbone():
        return MyBackbone

    @hookimpl
    def codec():
        return MyCodec

    @hookimpl
    def task():
        return MyTask
"""
MANIFEST = """
format = 1
title = "Tones"
parameters = 9
steps = 16
plugins = { objective = "lab", backbone = "lab", codec = "lab", task = "lab" }
trained = { sigma_min = 0.1, sigma_max = 8, condition_dropout = 0, steps = 9, batch = 2, seed = 0, \
sample_rate = 8000 }
"""


class Config:
    """Something that only the checkpoint's own project knows."""


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.fixture
def checkpoint(tmp_path: Path, network: nn.Module) -> Path:
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    layers = {f"layers.{index}.weight": torch.ones(4, 4) for index in range(12)}
    value = {"epoch": 3, "state_dict": state, "ema": layers, "hyper_parameters": {"c": Config()}}
    torch.save(value, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.fixture
def run(site: Any, checkpoint: Path) -> Callable[..., Any]:
    return lambda *args: site.invoke("import", str(checkpoint), *map(str, args))


FOREIGN = f"{Config.__module__}.Config"


def test_a_checkpoint_becomes_safetensors(
    run: Callable[..., Any], tmp_path: Path, network: nn.Module
) -> None:
    out = tmp_path / "weights.safetensors"
    done = run("--key", "state_dict", "--strip-prefix", "model.", "--tensors-only", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{out}: 7 tensors, 0.0 MB\n"
    assert done.stderr == f"note: left out {FOREIGN}\n"
    network.load_state_dict(load_file(out))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "last.ckpt",
        "site",
        "weights.safetensors",
    ]


def test_foreign_objects_are_refused_by_name(run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("--out", tmp_path / "out.safetensors")
    assert done.exit_code == 4
    assert (
        f"holds objects that are not tensors: {FOREIGN}; none of their code was run" in done.stderr
    )
    assert done.stderr.endswith("add --tensors-only to leave them out\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_the_list_groups_what_differs_by_numbers(run: Callable[..., Any]) -> None:
    done = run("--list")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["12", "float32", "4", "x", "4", "ema.layers.*.weight"] in rows
    assert ["1", "int64", "one", "value", "state_dict.model.*.num_batches_tracked"] in rows
    assert "19 tensors, 214 values, 0.0 MB" in done.stdout
    assert "Groups for --key: state_dict (7), ema (12)" in done.stdout
    left_out = f"Not tensors, to leave out with --tensors-only: {FOREIGN}"
    assert left_out in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_list_for_programs(run: Callable[..., Any]) -> None:
    found = json.loads(run("--list", "--json", "--key", "ema.layers").stdout)
    assert len(found["tensors"]) == 12
    first = {"name": "0.weight", "from": "ema.layers.0.weight", "type": "float32", "shape": [4, 4]}
    assert found["tensors"][0] == first
    assert found["left_out"] == [FOREIGN]


def test_a_name_cannot_steer_the_terminal(site: Any, tmp_path: Path) -> None:
    torch.save({"a\x1b[2J\nb": torch.ones(1)}, tmp_path / "x.pt")
    done = site.invoke("import", str(tmp_path / "x.pt"), "--list")
    assert "a?[2J?b" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "write the tensors with --out model.safetensors, or list them with --list"),
        (("--list", "--out", "x"), "write the tensors with --out"),
        (("--out", "x", "--json"), "--json belongs to --list"),
        (("--list", "--key", "stat_dict"), "below 'stat_dict' holds a tensor; did you mean 'state"),
        (("--list", "--strip-prefix", "qqq"), "no tensor's name begins with 'qqq'"),
    ],
)
def test_mistakes_exit_with_2(run: Callable[..., Any], args: tuple[str, ...], says: str) -> None:
    done = run(*args)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"lr": 0.1}, "holds no tensors; export the weights"),
        (Config(), f"holds no tensors, only other objects ({FOREIGN}); export the weights"),
    ],
)
def test_a_file_without_tensors_is_told(
    site: Any, tmp_path: Path, value: object, says: str
) -> None:
    torch.save(value, tmp_path / "x.pt")
    done = site.invoke("import", str(tmp_path / "x.pt"), "--tensors-only", "--list")
    assert done.exit_code == 4
    assert says in done.stderr


def test_a_place_that_is_taken_or_not_there_is_told(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("something dear")
    done = run("--tensors-only", "--out", tmp_path / "taken")
    assert done.exit_code == 5
    assert "taken exists already; choose another name or remove it first" in done.stderr
    assert (tmp_path / "taken").read_text() == "something dear"
    done = run("--tensors-only", "--out", tmp_path / "not there" / "x.safetensors")
    assert done.exit_code == 5
    assert "its folder does not exist; create the folder first" in done.stderr


def test_half(run: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "half.safetensors"
    assert run("--tensors-only", "--key", "ema", "--half", "--out", out).exit_code == 0
    assert {tensor.dtype for tensor in load_file(out).values()} == {torch.float16}


@pytest.fixture
def model(site: Any, tmp_path: Path) -> Path:
    """Return a folder with the manifest of a model whose weights are to come."""
    entries = {f"{kind}.lab": "lab_parts" for kind in ("objective", "backbone", "codec", "task")}
    site.install("lab-b", entries, {"lab_parts.py": PARTS})
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.toml").write_text(MANIFEST)
    return folder


def test_weights_are_tried_in_the_network_beside_them(run: Callable[..., Any], model: Path) -> None:
    out = model / "model.safetensors"
    done = run("--tensors-only", "--key", "state_dict.model", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{out}: 7 tensors, 0.0 MB, which fit the model.toml in {model}\n"


def test_weights_that_do_not_fit_are_not_written(run: Callable[..., Any], model: Path) -> None:
    done = run("--tensors-only", "--key", "state_dict", "--out", model / "model.safetensors")
    assert done.exit_code == 4
    assert (
        f"model {model} does not fit the network: '0.bias' is missing in model.safetensors"
        in done.stderr
    )
    assert [path.name for path in model.iterdir()] == ["model.toml"]


def test_weights_beside_a_broken_manifest_are_not_written(
    run: Callable[..., Any], model: Path
) -> None:
    (model / "model.toml").write_text("title = 3")
    done = run("--tensors-only", "--key", "ema", "--out", model / "model.safetensors")
    assert done.exit_code == 4
    assert "model.toml is not a manifest (" in done.stderr
    assert "mend it, or write the weights elsewhere" in done.stderr
    assert (
        run("--tensors-only", "--key", "ema", "--out", model / "other.safetensors").exit_code == 0
    )


def test_safetensors_are_a_source_too(site: Any, tmp_path: Path, run: Callable[..., Any]) -> None:
    run("--tensors-only", "--out", tmp_path / "all.safetensors")
    args = ["--key", "ema", "--out", str(tmp_path / "ema.safetensors")]
    done = site.invoke("import", str(tmp_path / "all.safetensors"), *args)
    assert done.exit_code == 0, done.stderr
    assert len(load_file(tmp_path / "ema.safetensors")) == 12


def names(run: Callable[..., Any], *args: object) -> dict[str, str]:
    """Return the names that a listing shows, each with that in the file."""
    done = run("--list", "--json", *args)
    assert done.exit_code == 0, done.stderr
    return {each["name"]: each["from"] for each in json.loads(done.stdout)["tensors"]}


def test_tensors_are_chosen_by_patterns(run: Callable[..., Any]) -> None:
    whole = set(names(run))
    own = {name for name in whole if name.startswith("state_dict.model.")}
    norm = {name for name in own if name.startswith("state_dict.model.1.")}
    assert set(names(run, "--only", "state_dict.model")) == own
    assert set(names(run, "--drop", "ema")) == own
    assert set(names(run, "--only", "*.0", "--only", "*.bias")) == {
        *(name for name in own if ".0." in name or name.endswith(".bias")),
        "ema.layers.0.weight",
    }
    assert set(names(run, "--only", "state_dict", "--drop", "*.running_*")) == {
        name for name in own if "running" not in name
    }
    assert set(names(run, "--key", "state_dict.model", "--only", "1")) == {
        name.removeprefix("state_dict.model.") for name in norm
    }


def test_names_are_mapped_in_order(run: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    lines = ("state_dict.model.*=layer*", "*.bias=*.shift", "ema.layers=")
    flags = [word for line in lines for word in ("--map", line)]
    done = run("--tensors-only", *flags, "--out", out)
    assert done.exit_code == 0, done.stderr
    written = {"layer0.weight", "layer0.shift", "layer1.running_mean", "11.weight"}
    assert written <= set(load_file(out))
    shown = names(run, *flags)
    assert shown["layer0.shift"] == "state_dict.model.0.bias"
    assert shown["11.weight"] == "ema.layers.11.weight"


def test_a_mapping_may_stand_in_a_file(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("# ours\nstate_dict.model=net\n\nema=average  # later\n")
    shown = names(run, "--map", f"@{tmp_path / 'names.txt'}")
    assert shown["net.0.bias"] == "state_dict.model.0.bias"
    assert {name.partition(".")[0] for name in shown} == {"net", "average"}


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_mapping_that_cannot_be_read_is_told(
    run: Callable[..., Any], tmp_path: Path, content: bytes | None
) -> None:
    if content:
        (tmp_path / "names.txt").write_bytes(content)
    done = run("--list", "--map", f"@{tmp_path / 'names.txt'}")
    assert done.exit_code == 4
    assert "names.txt: " in done.stderr
    assert "write a line OLD=NEW for each tensor or group in it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_list_shows_what_is_chosen_and_renamed(run: Callable[..., Any]) -> None:
    done = run("--list", "--only", "ema", "--map", "ema.layers=blocks")
    assert done.exit_code == 0, done.stderr
    assert "12 of 19 tensors" in done.stdout
    assert "name in the file" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "blocks" in line)
    assert row.split() == ["12", "float32", "4", "x", "4", "blocks.*.weight", "ema.layers.*.weight"]
    assert "name in the file" not in run("--list").stdout


def test_the_list_tells_tied_tensors_apart(site: Any, tmp_path: Path) -> None:
    tied = torch.ones(3)
    torch.save({"first": tied, "second": tied}, tmp_path / "x.pt")
    done = site.invoke("import", str(tmp_path / "x.pt"), "--list", "--json", "--drop", "first")
    assert [each["from"] for each in json.loads(done.stdout)["tensors"]] == ["second"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--only", "emma"), "--only 'emma' fits no tensor; did you mean 'ema'"),
        (("--drop", "qqq"), "--drop 'qqq' fits no tensor; --list shows the names"),
        (("--drop", "*"), "--only and --drop leave no tensor; drop fewer of them"),
        (("--map", "em=x"), "--map 'em' fits no tensor; did you mean 'ema'"),
        (("--map", "ema=ema"), "--map ema=ema changes no name; leave it out"),
        (("--map", "ema.layers.*=x"), "would have the name of 'ema.layers.0.weight'; make the pa"),
        (("--map", "ema.layers.0.weight="), "'ema.layers.0.weight' would have no name"),
        (("--map", "ema"), "option of importer.plain 'map' cannot be ['ema']: 'ema' is not OLD=N"),
        (("--map", "ema=x.*"), "'ema=x.*' has more * in the new name than in the old name"),
    ],
)
def test_a_pattern_that_cannot_be_is_told(
    run: Callable[..., Any], args: tuple[str, ...], says: str
) -> None:
    done = run("--list", *args)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-o", "importer.kee=x"), "option of importer.plain 'kee' does not exist; did you mean"),
        (("-o", "solver.order=2"), "is not of the importer; write importer.order=..."),
        (("--as", "plane"), "there is no importer 'plane'; did you mean 'plain'?"),
    ],
)
def test_an_importer_that_cannot_be_is_told(
    run: Callable[..., Any], args: tuple[str, ...], says: str
) -> None:
    done = run("--list", *args)
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.slow
def test_the_list_needs_no_torch(site: Any, checkpoint: Path) -> None:
    assert "torch" not in site.modules_after("import", str(checkpoint), "--list")
