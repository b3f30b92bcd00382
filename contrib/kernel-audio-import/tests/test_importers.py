"""A family of another project's checkpoints, imported by a plugin into a model that plays."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kernel import ConditionSpec, LatentSpec
from kernel.models import find_pack
from kernel.registry import Registry

OPTIONS = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention_levels": [], "groups": 4}
LAB = '''
    """Checkpoints of the lab: a class in the hyper-parameters, an average without names."""

    from pathlib import Path

    from pydantic import Field

    from kernel import Importer, InputError, hookimpl


    class Lab(Importer):
        """Checkpoints of the lab, whose settings lie beside them."""

        averaged: bool = Field(True, description="take the average")

        def detect(self, file):
            cls = file.at("hyper_parameters", "data_module_cls", default=None)
            return getattr(cls, "name", "") == "lab_project.Data"

        def configuration(self, file):
            settings = (file.path.parent / "settings.txt").read_text()
            if file.at("hyper_parameters", "loss", default="mse") != "mse":
                raise InputError(f"{file.path} was trained with another loss than mse")
            return {
                "title": settings,
                "plugins": {"objective": "edm", "schedule": "edm", "solver": "heun",
                            "backbone": "unet", "codec": "waveform", "task": "unconditional"},
                "options": {"backbone": dict(file.at("hyper_parameters", "network")),
                            "codec": {"fold": 16},
                            "task": {"sample_rate": 8000, "seconds": 0.1}},
                "steps": 3,
                "trained": {"sigma_min": 0.002, "sigma_max": 80.0, "condition_dropout": 0.0,
                            "steps": 10, "batch": 1, "seed": 0, "sample_rate": 8000},
            }

        def rename(self, file):
            names = [name for name in file.tensors if name.startswith("state_dict.dnn.")]
            if self.averaged:
                shadows = [f"ema.shadow_params.{number}" for number in range(len(names))]
            else:
                shadows = names
            return {
                name.removeprefix("state_dict.dnn."): file.tensors[shadow]
                for name, shadow in zip(names, shadows, strict=True)
            }

        def weights(self, file):
            import torch

            tensors = super().weights(file)
            for name in [name for name in tensors if name.endswith(".weight_g")]:
                stem = name[: -len("_g")]
                g, v = tensors.pop(name), tensors.pop(stem + "_v")
                tensors[stem] = torch._weight_norm(v, g, 0)
            for name in [name for name in tensors if name.endswith(".first")]:
                stem = name[: -len(".first")]
                tensors[stem] = torch.cat([tensors.pop(name), tensors.pop(stem + ".second")])
            return tensors


    @hookimpl
    def importer():
        return Lab
'''
PROJECT = "class Data:\n    pass\n"


def built() -> nn.Module:
    registry = Registry.scan()
    backbone: Any = registry.load(registry.pick("unet", "backbone")).model_validate(OPTIONS)
    network: nn.Module = backbone.build(LatentSpec(32, (51,)), ConditionSpec())
    return network


def state() -> dict[str, Tensor]:
    """Return the weights of a network, none of which is zero."""
    draws = torch.Generator().manual_seed(0)
    return {
        name: 0.1 * torch.randn(each.shape, generator=draws)
        for name, each in built().state_dict().items()
    }


def theirs(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as the lab has them: the first one normalised, the last one in two."""
    matrices = [name for name, each in ours.items() if each.ndim > 1 and len(each) % 2 == 0]
    given = {}
    for name, each in ours.items():
        if name == matrices[0]:
            norm = each.flatten(1).norm(dim=1).view(-1, *[1] * (each.ndim - 1))
            given |= {f"{name}_g": norm, f"{name}_v": 2 * each}
        elif name == matrices[-1]:
            first, second = each.chunk(2)
            given |= {f"{name}.first": first.clone(), f"{name}.second": second.clone()}
        else:
            given[name] = each
    return given


@pytest.fixture
def checkpoint(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "lab_project.py").write_text(PROJECT)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(project))
        import lab_project  # type: ignore[import-not-found]

        last, average = theirs({name: -each for name, each in state().items()}), theirs(state())
        value = {
            "state_dict": {f"dnn.{name}": each for name, each in last.items()},
            "ema": {"decay": 0.999, "shadow_params": list(average.values())},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
            "hyper_parameters": {"data_module_cls": lab_project.Data, "network": OPTIONS},
        }
        torch.save(value, tmp_path / "last.ckpt")
    del sys.modules["lab_project"]
    (tmp_path / "settings.txt").write_text("Of the lab")
    site.install("lab-import", {"importer.lab": "lab_importer"}, {"lab_importer.py": LAB})
    yield tmp_path / "last.ckpt"
    sys.modules.pop("lab_importer", None)


def test_a_checkpoint_becomes_a_model_that_plays(
    site: Any, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    done = site.invoke("import", str(checkpoint), "--as", "lab", "--out", str(out))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(f"; `kernel run --model {out}` plays it\n")
    assert done.stderr == "note: left out lab_project.Data\n"
    expected, written = state(), load_file(out / "model.safetensors")
    assert written.keys() == expected.keys()
    for name, each in expected.items():
        torch.testing.assert_close(written[name], each)
    manifest = find_pack(Registry.scan(), out).manifest
    assert (manifest.title, manifest.options["backbone"]) == ("Of the lab", OPTIONS)
    assert manifest.parameters == sum(each.numel() for each in built().parameters())
    assert manifest.distributions["backbone.unet"] == "kernel-audio-plugins"
    args = ["--model", str(out), "--count", "1", "--device", "cpu", "--out", str(tmp_path / "runs")]
    done = site.invoke("run", *args)
    assert done.exit_code == 0, done.stderr
    (record,) = (tmp_path / "runs").glob("*/run.json")
    assert len(json.loads(record.read_text())["items"]) == 1


def test_an_option_chooses_other_weights(site: Any, checkpoint: Path, tmp_path: Path) -> None:
    args = ["--as", "lab", "-o", "importer.averaged=false", "--out", str(tmp_path / "model")]
    assert site.invoke("import", str(checkpoint), *args).exit_code == 0
    written = load_file(tmp_path / "model" / "model.safetensors")
    for name, each in state().items():
        torch.testing.assert_close(written[name], -each)


def test_the_list_says_who_knows_a_file(site: Any, checkpoint: Path) -> None:
    done = site.invoke("import", str(checkpoint), "--list")
    assert "Importers for --as that know this file: lab" in " ".join(done.stdout.split())
    done = site.invoke("import", str(checkpoint), "--list", "--json")
    assert json.loads(done.stdout)["importers"] == ["lab"]


def test_the_list_of_an_importer_has_our_names(site: Any, checkpoint: Path) -> None:
    done = site.invoke("import", str(checkpoint), "--list", "--json", "--as", "lab")
    names = {each["name"] for each in json.loads(done.stdout)["tensors"]}
    assert names == set(theirs(state()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("detect(self, file):", "detect(self, file):\n            return file.no_such"),
            "importer.lab@lab-import cannot read it (AttributeError: 'ForeignFile' object",
        ),
        (
            ("from kernel import", "import no_such_module\n    from kernel import"),
            "importer.lab of lab-import 1.0",
        ),
    ],
    ids=["detect", "import"],
)
def test_a_broken_importer_does_not_take_the_list_down(
    site: Any, checkpoint: Path, change: tuple[str, str], says: str
) -> None:
    from textwrap import dedent

    (site.folder / "lab_importer.py").write_text(dedent(LAB.replace(*change)))
    done = site.invoke("import", str(checkpoint), "--list")
    assert done.exit_code == 0
    assert says in " ".join(done.stdout.split())
    assert "state_dict" in done.stdout


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (('"steps": 3,', ""), 4, "model.toml is not a manifest ("),
        (('"fold": 16', '"fold": -1'), 2, "option of codec.waveform 'fold' cannot be -1"),
        (('"unet"', '"no-such"'), 2, "there is no backbone 'no-such'"),
        (("shadow_params.{number}", "shadow.{number}"), 1, ""),
        (
            ("return tensors", "tensors.popitem(); return tensors"),
            4,
            "does not fit the network: 'out.weight' is missing in model.safetensors",
        ),
        (('"loss", default="mse"', '"loss", default="l1"'), 4, "trained with another loss than"),
    ],
)
def test_what_does_not_fit_is_not_written(
    site: Any, checkpoint: Path, tmp_path: Path, change: tuple[str, str], code: int, says: str
) -> None:
    from textwrap import dedent

    assert change[0] in LAB
    (site.folder / "lab_importer.py").write_text(dedent(LAB.replace(*change)))
    before = sorted(tmp_path.iterdir())
    args = ["import", str(checkpoint), "--as", "lab", "--out", str(tmp_path / "model")]
    done = site.invoke(*args)
    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr
    assert sorted(tmp_path.iterdir()) == before
