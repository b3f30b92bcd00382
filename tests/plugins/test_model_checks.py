"""The checks of model packs, on an untrained pack that is made here and then broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli_w
import torch

from kernel.assembly import assemble
from kernel.errors import PluginError
from kernel.kinds import KINDS
from kernel.kinds.model import Manifest
from kernel.registry import PluginInfo, Registry, Selection
from kernel.tensors import read_tensors, write_tensors
from kernel.values import ConditionSpec
from kernel_audio_testing import Outcome, run_checks

MANIFEST: dict[str, Any] = {
    "format": 1,
    "title": "Untrained",
    "licence": "CC0-1.0",
    "parameters": 0,
    "steps": 2,
    "plugins": {
        "objective": "edm",
        "schedule": "edm",
        "solver": "euler",
        "backbone": "dit",
        "codec": "mel",
        "task": "unconditional",
    },
    "options": {
        "backbone": {"width": 16, "heads": 2, "depth": 1},
        "codec": {"bands": 8, "griffin_lim_iters": 1, "inversion_iters": 1},
        "task": {"seconds": 0.1},
    },
    "trained": {
        "sigma_min": 0.01,
        "sigma_max": 80.0,
        "condition_dropout": 0.0,
        "steps": 1,
        "batch": 1,
        "seed": 0,
        "sample_rate": 16000,
    },
}


@attrs.frozen
class Pack:
    folder: Path
    registry: Registry
    info: PluginInfo

    def checks(self) -> dict[str, Outcome]:
        return {each.check: each for each in run_checks(self.registry, self.info)}

    def manifest(self, **changes: Any) -> None:
        text = tomli_w.dumps(MANIFEST | {"parameters": self.parameters()} | changes)
        (self.folder / "model.toml").write_text(text)

    def parameters(self) -> int:
        return sum(value.numel() for value in self.network().parameters())

    def network(self) -> Any:
        kinds = [kind for kind in KINDS if kind != "model"]
        manifest = Manifest.model_validate(MANIFEST)
        torch.manual_seed(0)
        return assemble(self.registry, Selection(), kinds, {}, manifest)[0].build_network(
            ConditionSpec(**manifest.trained.condition)
        )

    def weights(self, change: Callable[[dict[str, Any]], Any]) -> None:
        path = self.folder / "model.safetensors"
        tensors = read_tensors(path) if path.exists() else dict(self.network().state_dict())
        change(tensors)
        write_tensors(path, tensors)


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "untrained_pack"
    folder.mkdir()
    info = PluginInfo("model", "untrained", "tests", "1", "untrained_pack")
    pack = Pack(folder, Registry((*Registry.scan().plugins, info)), info)
    pack.weights(lambda tensors: None)
    pack.manifest()
    return pack


def test_a_whole_pack_passes(pack: Pack) -> None:
    outcomes = pack.checks()
    assert {each.status for each in outcomes.values()} == {"passed"}, outcomes
    assert "backbone.dit" in outcomes["components"].detail


@pytest.mark.parametrize(
    ("change", "check", "detail"),
    [
        ({"licence": " "}, "manifest", "names no licence"),
        ({"plugins": MANIFEST["plugins"] | {"solver": "eulr"}}, "components", "no solver 'eulr'"),
        ({"parameters": 5}, "parameters", "parameters and the manifest says 5"),
        ({"options": {}}, "weights", "does not fit the network"),
        ({"options": {"task": {"secs": 1}}}, "components", "'secs' does not exist"),
    ],
)
def test_a_wrong_manifest_is_caught(pack: Pack, change: Any, check: str, detail: str) -> None:
    pack.manifest(**change)
    outcome = pack.checks()[check]
    assert outcome.status == "failed" and detail in outcome.detail


def test_a_model_without_a_recommended_solver_is_caught(pack: Pack) -> None:
    plugins = {kind: name for kind, name in MANIFEST["plugins"].items() if kind != "solver"}
    pack.manifest(plugins=plugins)
    outcomes = pack.checks()
    assert "recommends no solver" in outcomes["components"].detail
    assert outcomes["sounds"].status == "failed"


def test_missing_and_infinite_weights_are_caught(pack: Pack) -> None:
    pack.weights(lambda tensors: tensors["out.bias"].fill_(float("inf")))
    outcomes = pack.checks()
    assert "holds values that are not finite, first in 'out.bias'" in outcomes["weights"].detail
    assert outcomes["sounds"].status == "failed"
    pack.weights(lambda tensors: tensors.pop("out.bias"))
    assert "'out.bias' is missing in model.safetensors" in pack.checks()["weights"].detail


def test_a_pack_without_weights_cannot_be_loaded(pack: Pack) -> None:
    (pack.folder / "model.safetensors").unlink()
    with pytest.raises(PluginError, match=r"model.safetensors is missing"):
        pack.checks()
