"""A codec that is trained, packed and named by networks, whose weights are found or missed."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel.runner.space import latent_space
from kernel_audio_training.batches import Feed
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import plan_training

PARTS = "edm,dit,codec.conv,labelled,euler"
TINY = ("backbone.width=32", "backbone.depth=1", "backbone.heads=2", "schedule.sigma_max=10")
FAST = ("--batch", 4, "--device", "cpu", "--learning-rate", 0.01)


@pytest.fixture
def kernel(install: Callable[..., Any]) -> Callable[..., str]:
    """Return the command, which sees the trained codec and has to succeed."""
    install("elbo", "recipe.elbo")
    command = install("vae", "codec.conv")

    def run(*words: object, fails: int = 0) -> str:
        done = command(*words)
        assert done.exit_code == fails, done.output
        return " ".join(done.output.split())

    return run


def trained(
    kernel: Any, tones: Path, out: Path, parts: str, *options: str, steps: int = 3, fails: int = 0
) -> str:
    audio = ("task.sample_rate=8000", "task.seconds=0.25", f"task.path={tones}")
    spelt = [word for each in (*audio, *options) for word in ("-o", each)]
    words = ("train", "--plugins", parts, *spelt, *FAST, "--steps", steps, "--out", out)
    said: str = kernel(*words, fails=fails)
    return said


@pytest.fixture
def codec(kernel: Any, tones: Path, tmp_path: Path) -> Path:
    """Return the folder of a codec that was trained a little."""
    out = tmp_path / "vae"
    trained(kernel, tones, out, "codec.conv,elbo,labelled", "codec.channels=3", steps=30)
    return out / "model"


@pytest.fixture
def pack(codec: Path, tmp_path: Path) -> Path:
    """Return the folder of that codec, installed as `my-vae`."""
    return installed(codec, tmp_path / "site", "my-vae")


def installed(model: Path, site: Path, name: str, version: str = "1.0") -> Path:
    package = f"pack_{name.replace('-', '_')}"
    shutil.copytree(model, site / package, dirs_exist_ok=True)
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pack-{name}\nVersion: {version}\n"
    )
    (info / "entry_points.txt").write_text(f"[kernel.v1]\nmodel.{name} = {package}\n")
    (info / "RECORD").write_text(f"{package}/model.toml,,\n")
    return site / package


def manifest(model: Path) -> dict[str, Any]:
    return tomllib.loads((model / "model.toml").read_text())


def played(kernel: Any, model: Path, out: Path, *words: object) -> tuple[Any, dict[str, Any]]:
    """Return what a model sounds like, and the record of the run."""
    shutil.rmtree(out / "one", ignore_errors=True)
    kernel(
        *("run", "--model", model, "-n", 2, "--steps", 3, "--device", "cpu"),
        *("--out", out, "--name", "one", *words),
    )
    record = json.loads((out / "one" / "run.json").read_text())
    audio = [soundfile.read(out / "one" / item["file"])[0] for item in record["items"]]
    return np.concatenate(audio), record


def test_a_codec_pack_holds_weights_and_the_scale_of_the_latents(
    kernel: Any, codec: Path, tones: Path
) -> None:
    told = manifest(codec)
    assert sorted(path.name for path in codec.iterdir()) == ["codec.safetensors", "model.toml"]
    assert told["plugins"] == {"codec": "conv", "task": "labelled"}
    assert "pack" not in told["options"]["codec"]
    weights = load_file(codec / "codec.safetensors")
    assert told["parameters"] == sum(each.numel() for each in weights.values())

    from lab_vae.network import Autoencoder  # type: ignore[import-not-found]

    module = Autoencoder(1, 16, 3)
    module.load_state_dict({name: value.float() for name, value in weights.items()})
    draws = torch.Generator().manual_seed(0)
    latents = []
    for file in sorted(tones.glob("*.wav")):
        sound = torch.tensor(soundfile.read(file)[0], dtype=torch.float32)[None, None]
        with torch.no_grad():
            mean, std = module.encode(sound)
        latents.append(mean + std * torch.randn(mean.shape, generator=draws))
    drawn = torch.cat(latents).transpose(0, 1).flatten(1)
    options = told["options"]["codec"]
    torch.testing.assert_close(drawn.mean(1), torch.tensor(options["mean"]), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.std(1), torch.tensor(options["std"]), rtol=0.1, atol=0.02)


def test_a_codec_is_listed_and_is_not_played(kernel: Any, pack: Path, tmp_path: Path) -> None:
    assert "my-vae 0.0 M codec.conv, task.labelled" in kernel("models")
    assert "recommended" not in kernel("models", "my-vae")
    said = kernel("run", "--model", "my-vae", "--out", tmp_path, fails=2)
    assert "model my-vae is a trained codec and has no network" in said
    assert "-o codec.pack=my-vae" in said


def test_a_network_names_the_pack_whose_latents_it_was_trained_on(
    kernel: Any, pack: Path, tones: Path, tmp_path: Path
) -> None:
    before = (pack / "codec.safetensors").read_bytes()
    trained(kernel, tones, tmp_path / "net", PARTS, "codec.pack=my-vae", *TINY)
    model = tmp_path / "net" / "model"
    told = manifest(model)
    assert not (model / "codec.safetensors").exists()
    assert told["options"]["codec"] == manifest(pack)["options"]["codec"] | {"pack": "my-vae"}
    owner = {key: told["trained"]["codec"][key] for key in ("name", "distribution", "version")}
    assert owner == {"name": "my-vae", "distribution": "pack-my-vae", "version": "1.0"}
    assert (pack / "codec.safetensors").read_bytes() == before

    sound, record = played(kernel, model, tmp_path)
    assert np.isfinite(sound).all() and sound.any() and record["warnings"] == []
    assert "pack-my-vae==1.0" in record["requirements"]

    tensors = load_file(pack / "codec.safetensors")
    save_file({name: value * 1.1 for name, value in tensors.items()}, pack / "codec.safetensors")
    changed, record = played(kernel, model, tmp_path)
    assert "the codec weights of my-vae are not those that" in record["warnings"][0]
    assert np.abs(changed - sound).max() > 1e-3
    (tmp_path / "night.toml").write_text(f'model = "{model}"\ncount = 1\n')
    assert "are not those" in kernel("run", "-c", tmp_path / "night.toml", "--locked", fails=9)

    shutil.rmtree(tmp_path / "site" / "pack_my_vae-1.0.dist-info")
    said = kernel("run", "--model", model, "--out", tmp_path, "--name", "two", fails=3)
    assert "codec of model my-vae, which is not installed; `pip install pack-my-vae`" in said


def test_a_network_trained_with_a_folder_holds_the_codec_itself(
    kernel: Any, codec: Path, tones: Path, tmp_path: Path
) -> None:
    trained(kernel, tones, tmp_path / "net", PARTS, f"codec.pack={codec}", *TINY)
    model = tmp_path / "net" / "model"
    told = manifest(model)
    weights = (model / "codec.safetensors").read_bytes()
    assert weights == (codec / "codec.safetensors").read_bytes()
    assert str(tmp_path) not in (model / "model.toml").read_text()
    assert told["trained"]["codec"].keys() == {"name", "hash"}
    shutil.rmtree(codec)
    first, record = played(kernel, model, tmp_path)
    assert first.any() and record["warnings"] == []
    again = tmp_path / "again"
    words = ("--model", model, "-o", f"task.path={tones}", *FAST, "--steps", 1, "--out", again)
    kernel("train", *words)
    assert (again / "model" / "codec.safetensors").read_bytes() == weights
    assert manifest(again / "model")["trained"]["codec"] == told["trained"]["codec"]


def test_a_training_of_the_codec_may_go_on(
    kernel: Any, codec: Path, tones: Path, tmp_path: Path
) -> None:
    words = ("-o", f"task.path={tones}", *FAST, "--steps", 1, "--out", tmp_path / "on")
    kernel("train", "--model", codec, "--plugins", "elbo", *words)
    old, new = (
        load_file(each / "codec.safetensors") for each in (codec, tmp_path / "on" / "model")
    )
    for name, value in old.items():
        torch.testing.assert_close(new[name].float(), value.float(), rtol=0, atol=0.03)
    assert manifest(tmp_path / "on" / "model")["trained"]["parent"]["name"] == "vae"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "codec.conv has weights of its own, and no pack of them is named; set codec.pack"),
        (("codec.pack=nobody",), "there is no model 'nobody'"),
        (("codec.pack=my-vae", "codec.channels=5"), "trained with codec.channels=3, and 5"),
        (("codec.pack=my-vae", "task.sample_rate=4000"), "was trained at 8000 Hz; set task."),
        (("codec.pack=digits-edm",), "model digits-edm has no weights of codec.conv"),
    ],
)
def test_a_network_is_refused_latents_that_nobody_trained(
    kernel: Any,
    pack: Path,
    tones: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    said: str,
) -> None:
    out = tmp_path / "net"
    assert said in trained(kernel, tones, out, PARTS, *options, *TINY, fails=2)


def test_x0_is_drawn_for_each_item_and_a_condition_is_a_mean(
    kernel: Any, pack: Path, tones: Path
) -> None:
    options = {
        "task": {"path": str(tones), "sample_rate": 8000, "seconds": 0.25},
        "backbone": {"width": 32, "depth": 1, "heads": 2},
        "codec": {"pack": "my-vae"},
    }
    given = {"plugins": PARTS.split(","), "options": options, "device": "cpu", "batch": 4}
    config = TrainConfig.model_validate(given)
    assembly = plan_training(config, Registry.scan()).assembly
    machine, codec = Machine.choose(config), assembly.build_codec().eval().requires_grad_(False)
    feed = Feed(assembly, assembly.task.dataset("train"), config, machine, codec)
    whole, half = feed.batch(3, range(4)), feed.batch(3, range(2, 4))
    torch.testing.assert_close(half.x0, whole.x0[2:])
    space = latent_space(assembly, assembly.task.samples, codec, machine, lambda name: codec)
    mean, std = codec.encode(whole.audio)  # type: ignore[operator]
    sigma_data = assembly.objective.sigma_data
    torch.testing.assert_close(space.encode(whole.audio), mean * sigma_data)
    drawn = (whole.x0 / sigma_data - mean) / std
    assert abs(float(drawn.mean())) < 0.1 and 0.9 < float(drawn.std()) < 1.1
    assert not torch.equal(drawn[0], drawn[1])


def test_a_codec_is_trained_without_wrappers(
    kernel: Any, install: Callable[..., Any], tones: Path, tmp_path: Path
) -> None:
    install("wrapped", "wrapper.cache")
    said = trained(kernel, tones, tmp_path / "vae", "codec.conv,elbo,labelled,cache", fails=2)
    assert "wrapper.cache wraps the codec that is to be trained; leave it out" in said
