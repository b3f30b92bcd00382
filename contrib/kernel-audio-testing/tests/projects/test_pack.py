from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from kernel import InputError, UsageError
from kernel.models import MANIFEST, WEIGHTS, find_pack
from kernel.registry import Registry
from kernel_audio_testing.projects import Names, pack_project

NAMES = Names("kernel-audio-drums")
PLUGINS = {
    "objective": "edm",
    "schedule": "edm",
    "solver": "unipc",
    "backbone": "dit",
    "codec": "mel",
    "task": "labelled",
}
MODEL = """
format = 1
title = "Drums"
description = '''Kicks and
snares.'''
licence = "{licence}"
attribution = "a \\"quoted\\" somebody"
parameters = 12345
steps = 16
plugins = {{ objective = "edm", schedule = "edm", solver = "unipc", guidance = ["cfg"], \
backbone = "dit", codec = "mel", task = "labelled" }}
trained = {{ sigma_min = 0.002, sigma_max = 80, condition_dropout = 0.1, steps = 1500, batch = 32, \
seed = 0, sample_rate = 8000 }}
"""


@pytest.fixture
def registry(site: Any) -> Registry:
    edm = {"objective.edm": "x", "schedule.edm": "x", "solver.unipc": "x"}
    site.install("lab-edm", edm, version="2.1+local.7")
    site.install("lab-rest", {"backbone.dit": "x", "codec.mel": "x"}, version="0.3")
    site.install("lab-tasks", {"task.labelled": "x", "guidance.cfg": "x"}, version="unknown")
    return Registry.scan(path=site.path)


def model(folder: Path, licence: str = "CC0-1.0", weights: bytes | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(MODEL.format(licence=licence), "utf-8")
    given = save({"a": np.ones(3, np.float16)}) if weights is None else weights
    (folder / WEIGHTS).write_bytes(given)
    return folder


def training(folder: Path, record: Any) -> Path:
    model(folder / "model")
    text = record if isinstance(record, str) else json.dumps(record)
    (folder / "train.json").write_text(text, "utf-8")
    return folder


def component(kind: str, name: str, distribution: str, version: str) -> Mapping[str, str]:
    return {"kind": kind, "name": name, "distribution": distribution, "version": version}


def test_a_pack_is_a_folder_of_data(registry: Registry, tmp_path: Path) -> None:
    source = model(tmp_path / "source")
    folder = pack_project(NAMES, source, registry).write(tmp_path)
    package = folder / "kernel_audio_drums"
    assert sorted(path.name for path in package.iterdir()) == [WEIGHTS, MANIFEST]
    assert (package / WEIGHTS).read_bytes() == (source / WEIGHTS).read_bytes()
    assert tomllib.loads((package / MANIFEST).read_text("utf-8"))["title"] == "Drums"
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["kernel.v1"] == {"model.drums": "kernel_audio_drums"}
    assert project["description"] == "Kicks and snares."
    assert project["license"] == {"text": "CC0-1.0"}
    test = (folder / "tests" / "test_conformance.py").read_text("utf-8")
    assert 'conformance("model.drums@kernel-audio-drums")' in test


def test_what_is_installed_is_required_as_it_is_or_newer(
    registry: Registry, tmp_path: Path
) -> None:
    project = pack_project(NAMES, model(tmp_path / "source"), registry)
    assert project.requires == ("lab-edm>=2.1", "lab-rest>=0.3", "lab-tasks")


@pytest.mark.parametrize("inside", ["", "model"])
def test_what_a_training_used_is_required(tmp_path: Path, inside: str) -> None:
    used = [
        component(kind, name, f"lab-{kind}", "1.0.dev3")
        for kind, name in {**PLUGINS, "guidance": "cfg"}.items()
    ]
    used.append(component("observer", "tensorboard", "lab-o", "1.0"))
    folder = training(tmp_path / "training", {"plugins": used})
    project = pack_project(NAMES, folder / inside, Registry())
    kinds = ("backbone", "codec", "guidance", "objective", "schedule", "solver", "task")
    assert project.requires == tuple(f"lab-{kind}>=1.0.dev3" for kind in kinds)


def test_what_a_training_does_not_say_is_looked_up(registry: Registry, tmp_path: Path) -> None:
    used = [
        component(kind, PLUGINS[kind], "lab-a", "1.0")
        for kind in ("objective", "schedule", "solver")
    ]
    project = pack_project(NAMES, training(tmp_path / "t", {"plugins": used}), registry)
    assert project.requires == ("lab-a>=1.0", "lab-rest>=0.3", "lab-tasks")


def test_the_readme_says_what_the_model_is_and_how_to_play_it(
    registry: Registry, tmp_path: Path
) -> None:
    folder = pack_project(NAMES, model(tmp_path / "source"), registry).write(tmp_path)
    readme = (folder / "README.md").read_text("utf-8")
    assert readme.startswith("# Drums\n\nKicks and snares.\n\n    pip install -e .\n")
    assert "    kernel run --model drums\n" in readme
    assert "| licence of the weights | CC0-1.0 |" in readme
    assert '| attribution | a "quoted" somebody |' in readme
    assert "| components | objective.edm, schedule.edm, solver.unipc, guidance.cfg, " in readme


def test_a_licence_and_an_attribution_can_be_given(registry: Registry, tmp_path: Path) -> None:
    source = model(tmp_path / "source", licence=" ")
    project = pack_project(NAMES, source, registry, "see LICENCE, all of it", "the band")
    folder = project.write(tmp_path)
    manifest = tomllib.loads((folder / "kernel_audio_drums" / MANIFEST).read_text("utf-8"))
    assert manifest["licence"] == "see LICENCE, all of it"
    assert manifest["attribution"] == "the band"
    assert "| attribution | the band |" in (folder / "README.md").read_text("utf-8")


def test_weights_without_a_licence_are_not_packed(registry: Registry, tmp_path: Path) -> None:
    source = model(tmp_path / "source", licence=" ")
    with pytest.raises(UsageError, match=r"source/model.toml names no licence .* add --licence"):
        pack_project(NAMES, source, registry)


@pytest.mark.parametrize("kind", ["schedule", "solver"])
def test_a_model_that_cannot_be_played_by_its_name(
    registry: Registry, tmp_path: Path, kind: str
) -> None:
    source = model(tmp_path / "source")
    line = f'{kind} = "{PLUGINS[kind]}", '
    text = (source / MANIFEST).read_text("utf-8")
    assert line in text
    (source / MANIFEST).write_text(text.replace(line, ""), "utf-8")
    with pytest.raises(UsageError, match=rf"recommends no {kind}, .* add a line {kind} = "):
        pack_project(NAMES, source, registry)


def test_a_component_that_nobody_offers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no objective 'edm'"):
        pack_project(NAMES, model(tmp_path / "source"), Registry())


def test_a_component_that_two_offer(registry: Registry, site: Any, tmp_path: Path) -> None:
    site.install("lab-b", {"codec.mel": "x"})
    with pytest.raises(UsageError, match=r"codec.mel@lab-b, codec.mel@lab-rest; use one of these"):
        pack_project(NAMES, model(tmp_path / "source"), Registry.scan(path=site.path))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder .*nowhere; name a training"):
        pack_project(NAMES, tmp_path / "nowhere", Registry())


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.toml is missing"):
        pack_project(NAMES, tmp_path, Registry())


def test_a_training_that_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"plugins": []}')
    with pytest.raises(
        InputError, match=f"no model yet; go on with `kernel train --resume {tmp_path}`"
    ):
        pack_project(NAMES, tmp_path, Registry())


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"plugins": [{}]}', '{"plugins": 3}'])
def test_a_training_whose_record_is_damaged(tmp_path: Path, record: str) -> None:
    folder = training(tmp_path / "training", record)
    with pytest.raises(
        InputError, match=r"train.json does not say what the model was trained with"
    ):
        pack_project(NAMES, folder, Registry())


def half(value: float) -> bytes:
    import torch

    return bytes(save_torch({"a": torch.tensor([1.0, value], dtype=torch.bfloat16)}))


@pytest.mark.parametrize(
    "weights",
    [
        *(save({"a": np.array([1, np.nan], dtype)}) for dtype in (np.float16, np.float32)),
        save({"a": np.array([1, -np.inf])}),
        half(float("inf")),
    ],
)
def test_weights_that_are_not_finite(registry: Registry, tmp_path: Path, weights: bytes) -> None:
    source = model(tmp_path / "source", weights=weights)
    with pytest.raises(InputError, match=r"'a' in .*safetensors holds values that are not finite"):
        pack_project(NAMES, source, registry)


@pytest.mark.parametrize("weights", [half(3.0), save({"a": np.array([1, 2])})])
def test_weights_of_any_type_are_packed(registry: Registry, tmp_path: Path, weights: bytes) -> None:
    source = model(tmp_path / "source", weights=weights)
    assert pack_project(NAMES, source, registry).files[WEIGHTS] == weights


@pytest.mark.parametrize("weights", [b"", b"no weights at all", save({"a": np.ones(9)})[:-5]])
def test_weights_that_are_damaged(registry: Registry, tmp_path: Path, weights: bytes) -> None:
    source = model(tmp_path / "source", weights=weights)
    with pytest.raises(
        InputError, match=r"model.safetensors are damaged .*; train the model again"
    ):
        pack_project(NAMES, source, registry)


def test_weights_that_hold_nothing(registry: Registry, tmp_path: Path) -> None:
    source = model(tmp_path / "source", weights=save({}))
    with pytest.raises(InputError, match="model.safetensors hold no tensors"):
        pack_project(NAMES, source, registry)


def test_weights_that_cannot_be_read(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = model(tmp_path / "source")

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InputError, match="model.safetensors cannot be read: Permission denied"):
        pack_project(NAMES, source, registry)


def test_a_network_brings_its_codec_or_holds_it(site: Any, tmp_path: Path) -> None:
    weights = save({"a": np.ones(3, np.float16)})
    told = {"name": "vae", "distribution": "lab-vae", "version": "1.2"}
    codec = """title = "VAE"
licence = "CC0-1.0"
parameters = 3
plugins = { codec = "mel", task = "labelled" }
trained = { steps = 1, batch = 1, seed = 0, sample_rate = 8000 }
"""
    site.install("lab-edm", {"objective.edm": "x", "schedule.edm": "x", "solver.unipc": "x"})
    site.install("lab-rest", {"backbone.dit": "x", "codec.mel": "x"})
    site.install("lab-tasks", {"task.labelled": "x", "guidance.cfg": "x"})
    files = {"lab_vae/model.toml": codec, "lab_vae/codec.safetensors": weights}
    site.install("lab-vae", {"model.vae": "lab_vae"}, files, version="1.2")
    registry = Registry.scan(path=site.path)

    alone = pack_project(NAMES, Path(site.folder, "lab_vae"), registry)
    assert sorted(alone.files) == ["codec.safetensors", MANIFEST]
    assert "-o codec.pack=drums" in alone.play

    source = model(tmp_path / "source")
    with pytest.raises(UsageError, match="no codec with weights of its own; leave --whole out"):
        pack_project(NAMES, source, registry, whole=True)
    told |= find_pack(registry, "vae").codec_heritage
    text = MODEL.format(licence="CC0-1.0").replace(
        "trained = {",
        f"options = {{ codec = {{ pack = 'vae' }} }}\ntrained = {{ codec = {_toml(told)},",
    )
    (source / MANIFEST).write_text(text, "utf-8")
    plain = pack_project(NAMES, source, registry)
    assert "lab-vae>=1.2" in plain.requires and "codec.safetensors" not in plain.files
    whole = pack_project(NAMES, source, registry, whole=True)
    assert "lab-vae>=1.2" not in whole.requires
    assert whole.files["codec.safetensors"] == weights
    assert "pack" not in tomllib.loads(whole.files[MANIFEST].decode())["options"]["codec"]
    Path(site.folder, "lab_vae", "codec.safetensors").write_bytes(save({"a": np.zeros(3)}))
    with pytest.raises(InputError, match="`pip install lab-vae==1.2` brings these"):
        pack_project(NAMES, source, registry, whole=True)


def _toml(table: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name} = '{value}'" for name, value in table.items()) + "}"
