from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel.errors import InputError, PluginError, UsageError
from kernel.models import MANIFEST, WEIGHTS, find_pack, survey
from kernel.registry import Registry

MODEL = """
format = 1
title = "Spoken digits"
description = "Ten words."
licence = "CC-BY-SA-4.0"
attribution = "somebody"
parameters = 1234567
steps = 16
plugins = {{ objective = "{objective}", schedule = "{objective}", guidance = ["cfg", "limit"], \
backbone = "dit", codec = "mel", task = "labelled" }}
options = {{ backbone = {{ depth = 4 }}, "guidance.cfg" = {{ guidance_scale = 2.0 }} }}
trained = {{ sigma_min = 0.002, sigma_max = 80, condition_dropout = 0.1, steps = 1500, batch = 32, \
seed = 0, sample_rate = 8000 }}
"""


def install(site: Any, name: str, text: str, distribution: str = "lab-m") -> Path:
    package = f"{distribution.replace('-', '_')}_{name}"
    files = {f"{package}/{MANIFEST}": text, f"{package}/{WEIGHTS}": b"weights of " + name.encode()}
    site.install(distribution, {f"model.{name}": package}, files)
    return Path(site.folder, package)


@pytest.fixture
def registry(site: Any) -> Registry:
    install(site, "rf", MODEL.format(objective="rf"), "lab-r")
    install(site, "edm", MODEL.format(objective="edm"), "lab-e")
    plugins = {"objective.edm": "x", "schedule.rf": "x", "codec.stft": "x", "backbone.dit": "x"}
    site.install("lab-p", plugins)
    return Registry.scan(path=site.path)


def test_a_pack_is_read_without_importing_it(site: Any) -> None:
    folder = install(site, "edm", MODEL.format(objective="edm"))
    (folder / "__init__.py").write_text("raise SystemExit(3)")
    (pack,) = survey(Registry.scan(path=site.path))[0]
    assert (pack.name, pack.folder, pack.weights) == ("edm", folder, folder / WEIGHTS)
    assert pack.manifest.plugins["guidance"] == ["cfg", "limit"]
    assert pack.manifest.options["guidance.cfg"] == {"guidance_scale": 2.0}
    assert pack.manifest.trained.sigma_max == 80
    assert pack.manifest.trained.loss is None


def test_packs_are_sorted_by_name(registry: Registry) -> None:
    assert [pack.name for pack in survey(registry)[0]] == ["edm", "rf"]


@pytest.mark.parametrize(
    ("selected", "fit"),
    [
        ([], ["edm", "rf"]),
        (["edm"], ["edm"]),
        (["schedule.rf"], ["edm", "rf"]),
        (["backbone.dit"], ["edm", "rf"]),
        (["stft"], []),
        (["backbone.dit", "edm"], ["edm"]),
    ],
)
def test_fitting_packs_agree_with_every_part_that_weights_belong_to(
    registry: Registry, selected: list[str], fit: list[str]
) -> None:
    found = [pack for pack in survey(registry)[0] if not pack.strangers(registry.select(selected))]
    assert [pack.name for pack in found] == fit


def test_describe_says_whose_and_which_weights(site: Any, registry: Registry) -> None:
    pack = find_pack(registry, "rf")
    before = pack.describe()
    assert before["name"] == "rf"
    assert before["distribution"] == "lab-r"
    assert before["licence"] == "CC-BY-SA-4.0"
    pack.weights.write_bytes(b"others")
    assert pack.describe()["hash"] != before["hash"]


def test_a_folder_is_a_pack_too(site: Any, tmp_path: Path) -> None:
    folder = install(site, "edm", MODEL.format(objective="edm"))
    pack = find_pack(Registry(), folder)
    assert (pack.info, pack.name) == (None, str(folder))
    assert find_pack(Registry(), str(folder)) == pack


def test_a_folder_in_the_working_directory_needs_no_slash(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(site, "edm", MODEL.format(objective="edm"))
    monkeypatch.chdir(folder.parent)
    assert find_pack(Registry(), folder.name).manifest.title == "Spoken digits"


def test_an_installed_name_comes_before_a_folder(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_pack(registry, "rf").info is not None


def test_an_unknown_model_is_told_with_near_misses(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"there is no model 'edn'; did you mean 'edm'\?"):
        find_pack(registry, "edn")


def test_two_distributions_with_a_model_are_a_conflict_that_a_preference_settles(
    site: Any,
) -> None:
    for owner in ("lab-a", "lab-b"):
        install(site, "x", MODEL.format(objective="rf"), owner)
    registry = Registry.scan(path=site.path)
    with pytest.raises(UsageError, match=r"model.x@lab-a, model.x@lab-b"):
        find_pack(registry, "x")
    settled = Registry.scan({"model.x": "lab-b"}, site.path)
    assert find_pack(settled, "x").info == survey(settled)[0][0].info == registry.plugins[1]
    assert len(survey(settled)[0]) == 1


GOOD = MODEL.format(objective="edm")
BROKEN = {
    "not TOML": ("[", "model.toml is not a manifest ("),
    "no title": (GOOD.replace('title = "Spoken digits"', ""), "(title: Field required)"),
    "unknown key": ("colour = 1\n" + GOOD, "(colour: Extra inputs are not permitted)"),
    "not finite": (GOOD.replace("= 80,", "= inf,"), "(trained.sigma_max: "),
    "no steps": (GOOD.replace("steps = 16\n", ""), "(steps, trained.sigma_min and trained.sigma_m"),
    "no sigma": (GOOD.replace("sigma_min = 0.002,", ""), "(steps, trained.sigma_min and trained.s"),
    "no codec": (GOOD.replace('codec = "mel",', ""), "(plugins: no codec is named)"),
    "two codecs": (GOOD.replace('"mel"', '["mel", "stft"]'), "(plugins: codec has to be one name)"),
    "unknown kind": (GOOD.replace("schedule =", "sched ="), "'sched' is not a kind of plugin"),
    "bad name": (GOOD.replace('"mel"', '"mel@lab b"'), "codec cannot be called 'mel@lab b'"),
    "newer": (GOOD.replace("format = 1", "format = 2"), "so upgrade kernel-audio"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_broken_manifest_is_told_in_a_sentence(site: Any, why: str) -> None:
    text, says = BROKEN[why]
    folder = install(site, "x", text)
    registry = Registry.scan(path=site.path)
    with pytest.raises(PluginError) as raised:
        find_pack(registry, "x")
    message = str(raised.value)
    assert message.startswith("model x of lab-m 1.0 cannot be used: ")
    assert says in message
    assert survey(registry) == ([], [message])
    with pytest.raises(InputError, match=r"train it again|upgrade"):
        find_pack(registry, folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(site: Any, name: str) -> None:
    folder = install(site, "x", GOOD)
    (folder / name).unlink()
    with pytest.raises(PluginError, match=f"{name} is missing; reinstall it"):
        find_pack(Registry.scan(path=site.path), "x")


def test_a_codec_alone_needs_its_own_weights_and_no_network(site: Any) -> None:
    text = GOOD.replace('objective = "edm", schedule = "edm",', "").replace('backbone = "dit",', "")
    folder = install(site, "vae", text)
    with pytest.raises(PluginError, match="codec.safetensors is missing; reinstall it"):
        find_pack(Registry.scan(path=site.path), "vae")
    (folder / WEIGHTS).rename(folder / "codec.safetensors")
    pack = find_pack(Registry.scan(path=site.path), "vae")
    assert not pack.manifest.network and pack.codec.is_file()


def test_a_missing_folder_is_named(site: Any) -> None:
    site.install("lab-m", {"model.x": "lab_gone.x"})
    with pytest.raises(PluginError, match=r"there is no folder lab_gone.x; reinstall lab-m"):
        find_pack(Registry.scan(path=site.path), "x")


def test_a_path_to_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.toml is missing; train it again"):
        find_pack(Registry(), str(tmp_path / "gone"))


def test_a_broken_pack_does_not_hide_the_others(site: Any, registry: Registry) -> None:
    install(site, "bad", "[", "lab-x")
    whole, broken = survey(Registry.scan(path=site.path))
    assert [pack.name for pack in whole] == ["edm", "rf"]
    assert len(broken) == 1
