"""Checkpoints that the projects' own code wrote, read without it.

They are data for development beside the repository, in `../shared/foreign`, or in the folder that
the variable FOREIGN_CHECKPOINTS names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_audio_import import opened, subtree

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("FOREIGN_CHECKPOINTS", ROOT.parent / "shared" / "foreign"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the foreign checkpoints are not here ({FOLDER.name}/)"
)

SPECS = ("sgmse.data_module.SpecsDataModule",)
COUNTS = {
    "audio_diffusion_pytorch/unetv0_v.pt": (459, ()),
    "audiodiffuser/uncond_ema/last.ckpt": (307, ()),
    "bbed/bbed_bbve_old_names.ckpt": (454, SPECS),
    "dac/dac_16k_oddstride.pth": (266, ()),
    "dac_minivae/minivae.pt": (29, ()),
    "dacvae_meta/dacvae_small.weights.pth": (181, ()),
    "diffwave/cond/weights.pt": (62, ()),
    "sgmse/ouve_2022code.ckpt": (1132, SPECS),
    "sgmse/ouve_ncsnpp.ckpt": (1133, SPECS),
    "sgmse/ouve_ncsnpp_48k.ckpt": (390, SPECS),
    "sgmse/ouve_v2_denoiser_edm.ckpt": (454, SPECS),
    "sgmse/sbve_v2_pesq.ckpt": (464, SPECS),
    "stable_audio_tools/sao_v.autoencoder.ckpt": (225, ()),
    "storm/storm_both.ckpt": (564, SPECS),
}
"""How many tensors a file holds, as many as `torch.load` finds, and the classes that it names."""


@pytest.mark.parametrize("place", COUNTS)
def test_every_tensor_is_read(place: str) -> None:
    with opened(FOLDER / place) as file:
        assert (len(file.tensors), file.unread) == COUNTS[place]
        assert all(tensor.load().shape == tensor.shape for tensor in file.tensors.values())


def test_values_are_those_that_were_saved() -> None:
    with opened(FOLDER / "sgmse/ouve_ncsnpp.ckpt") as file:
        assert file.at("hyper_parameters", "data_module_cls").name == SPECS[0]
        assert file.at("hyper_parameters", "theta") == 1.5
        assert file.at("ema", "decay") == 0.999
        own, average = subtree(file.tensors, "state_dict.dnn"), subtree(file.tensors, "ema")
    shapes = sorted(tensor.shape for tensor in own.values())
    assert sorted(each.shape for each in average.values()) == shapes


def test_options_that_are_objects_are_read() -> None:
    with opened(FOLDER / "open_universe/universepp/weights.ckpt") as file:
        assert len(file.tensors) == 902
        assert "omegaconf.dictconfig.DictConfig" in file.unread
        assert file.at("hyper_parameters", "fs") == 16000
        assert file.at("hyper_parameters", "score_model", "_content", "n_channels", "_val") == 4


def test_an_average_that_is_a_pickled_network_is_read() -> None:
    folder = FOLDER / "audiodiffuser" / "uncond_ema"
    with opened(folder / "last.ckpt") as last, opened(folder / "ema_prof_4") as average:
        own = subtree(last.tensors, "state_dict.net")
        assert {name: each.shape for name, each in own.items()} == {
            name: each.shape for name, each in average.tensors.items()
        }
        assert {each.dtype for each in average.tensors.values()} == {"float16"}


def test_what_lies_beside_is_found_from_the_path() -> None:
    folder = FOLDER / "diffusers" / "autoencoder_oobleck"
    with opened(folder / "diffusion_pytorch_model.safetensors") as file:
        settings: dict[str, Any] = json.loads((file.path.parent / "config.json").read_text())
    assert settings["_class_name"] == "AutoencoderOobleck"


def test_tensors_are_those_of_torch_load() -> None:
    path = FOLDER / "diffwave/cond/weights.pt"
    whole = torch.load(path, weights_only=True)["model"]
    with opened(path) as file:
        own = {name: each.load() for name, each in subtree(file.tensors, "model").items()}
    assert own.keys() == whole.keys()
    assert all(torch.equal(own[name], whole[name]) for name in whole)
