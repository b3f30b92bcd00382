"""Trainings in buckets: the losses of whole items, of any processes, and of a resumed training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from kernel import AudioSpec, Batch, ConditionSpec, Dataset, Item, Task
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.errors import UsageError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel_audio_training.batches import Feed
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.order import order
from kernel_audio_training.plan import plan_training
from kernel_audio_training.trainer import Trainer
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.recipes.denoise import Denoise
from tests.integration.test_processes import Job, job, losses, names, together

Train = Callable[..., Path]
RATE = 8000


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 14 tones of 0.04 to 0.25 seconds."""
    folder = tmp_path_factory.mktemp("lengths")
    draws = np.random.default_rng(0)
    for take in range(14):
        time = np.arange(int(RATE * draws.uniform(0.04, 0.25))) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (300 + 40 * take) * time)
        soundfile.write(folder / f"{'low' if take < 7 else 'high'}_{take}.wav", tone, RATE)
    return folder


def bucketed(folder: Path, **more: Any) -> dict[str, Any]:
    task = {"path": str(folder), "mask_padding": True, "seconds": 0.256}
    return {"buckets": 3, "batch": 4, "options": {"task": task, **more}}


UNET = {"width": 16, "groups": 4, "heads": 2, "attention_levels": (1,), "multipliers": (1, 2)}


@pytest.mark.parametrize("network", ["dit", "unet"])
@pytest.mark.parametrize("layout", ["channels", "image"])
def test_the_loss_of_an_item_is_that_of_the_item_with_all_its_padding(
    training: Callable[..., TrainConfig],
    registry: Any,
    lengths: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    layout: str,
) -> None:
    given = bucketed(lengths, codec={"layout": layout})
    config = training(tmp_path, plugins=("edm", network, "mel", "labelled"), **given)
    if network == "unet":
        config.options["backbone"] = UNET
    assembly = plan_training(config, registry).assembly
    assembly = assembly.swap(assembly.task.resolve())
    data = assembly.task.dataset("train")
    machine = Machine.choose(RunConfig(device="cpu", precision="float64"))
    tested = Trainer(assembly, data, config, machine)
    for each in tested.module.parameters():
        # A fresh network gives zeros.
        torch.nn.init.normal_(each, std=0.1)
    fixed = torch.randn(4, *assembly.latent.shape, dtype=torch.float64)
    monkeypatch.setattr(Batch, "normal", lambda self: fixed[..., : self.x0.shape[-1]])
    places, seen = order(assembly, data, config), set()
    for step in range(4):
        cut = tested._feed.batch(step, range(4))
        whole = Feed(assembly, data, config, machine, tested.codec)
        indices = [places.index(step * 4 + row) for row in range(4)]
        items = [data.item(index, torch.Generator()) for index in indices]
        draws = [torch.Generator().manual_seed(row) for row in range(4)]
        full = whole._whole(items, draws, torch.Generator().manual_seed(0), 4, 0, 0.0)
        told = attrs.evolve(cut, condition=attrs.evolve(full.condition, valid=cut.condition.valid))
        cut = attrs.evolve(told, common=torch.Generator().manual_seed(0))
        assert full.x0.shape[-1] == assembly.latent.size[-1]
        seen.add(cut.x0.shape[-1])
        short, long = (tested.module(batch, 0)["network"] for batch in (cut, full))
        assert short.abs().min() > 1e-3
        torch.testing.assert_close(short, long, rtol=1e-9, atol=1e-12)
    assert min(seen) < assembly.latent.size[-1]


class Beside(Task):
    """Sounds with an origin, an aligned sound and words."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(RATE)

    @property
    def samples(self) -> int:
        return 100

    @property
    def condition(self) -> ConditionSpec:
        latent = ConditionSpec.LATENT
        return ConditionSpec(sequence=2, aligned=latent, origin=latent)

    def lengths(self, data: Dataset) -> Sequence[int]:
        return [10 * (index % 9) + 20 for index in range(len(data))]


class Words:
    def __len__(self) -> int:
        return 40

    def item(self, index: int, generator: torch.Generator) -> Item:
        held = 10 * (index % 9) + 20
        audio = torch.zeros(1, 100)
        audio[:, :held] = 1 + torch.arange(held)
        words = torch.ones(1 + index % 3, 2)
        return Item(100, audio, held, sequence=words, aligned=2 * audio, origin=3 * audio)


def test_the_conditions_of_a_batch_are_as_long_as_the_batch() -> None:
    parts = (Beside(), Denoise(), Waveform(std=1.0))
    assembly = Assembly(
        tuple(Part(PluginInfo(each.kind, "mine", "tests", "1", "tests"), each) for each in parts)
    )
    config = TrainConfig(batch=4, buckets=3, workers=0, condition_dropout=0)
    places = order(assembly, Words(), config)
    machine = Machine.choose(RunConfig(device="cpu"))
    feed = Feed(assembly, Words(), config, machine, assembly.build_codec(), order=places)
    seen = set()
    for step in range(10):
        batch = feed.batch(step, range(4))
        seen.add(frames := batch.x0.shape[-1])
        held = [10 * (places.index(4 * step + row) % 9) + 20 for row in range(4)]
        words = [1 + places.index(4 * step + row) % 3 for row in range(4)]
        assert max(held) <= frames == places.samples(step)
        condition = batch.condition
        assert batch.valid is not None and batch.valid.sum(1).tolist() == held
        assert condition.aligned is not None and torch.equal(condition.aligned, 2 * batch.x0)
        assert condition.origin is not None and torch.equal(condition.origin, 3 * batch.x0)
        assert condition.mask is not None and condition.mask.sum(1).tolist() == words
    assert len(seen) == 3


@pytest.mark.slow
def test_any_number_of_processes_has_the_same_losses_in_buckets(
    training: Callable[..., TrainConfig], lengths: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "t.toml"
    settings.write_text(
        f"""
        plugins = ["edm", "dit", "mel", "labelled", "euler"]
        steps = 20
        batch = 5
        buckets = 3
        warmup = 1
        learning_rate = 1e-3
        device = "cpu"
        precision = "float64"
        [options.task]
        path = {str(lengths)!r}
        mask_padding = true
        sample_rate = 8000
        seconds = 0.25
        [options.codec]
        bands = 12
        n_fft = 256
        window = 256
        griffin_lim_iters = 2
        [options.backbone]
        width = 32
        depth = 1
        heads = 2
        """
    )
    cut, uncut = tmp_path / "cut.toml", tmp_path / "uncut.toml"
    cut.write_text(f"micro_batch = 1\nworkers = 2\n{settings.read_text()}")
    uncut.write_text(settings.read_text().replace("buckets = 3", ""))
    files = {1: settings, 2: settings, 4: settings, 3: cut, 5: uncut}
    folders = {count: tmp_path / str(count) for count in files}
    jobs: list[Job] = [
        job(count if count < 5 else 1, "train", "-c", file, "--out", folders[count])
        for count, file in files.items()
    ]
    for (codes, said), each in zip(together(*jobs), jobs, strict=True):
        assert codes == [0] * len(each["words"]), said
    for count in (2, 3, 4):
        assert losses(folders[count]) == pytest.approx(losses(folders[1]), rel=1e-9, abs=0)
        assert names(folders[count]) == names(folders[1])
    assert losses(folders[5]) != pytest.approx(losses(folders[1]), rel=1e-3)


@pytest.mark.parametrize("more", [{}, {"workers": 2, "micro_batch": 3}])
def test_a_resumed_training_is_the_same_to_the_bit(
    train: Train, lengths: Path, tmp_path: Path, more: dict[str, int]
) -> None:
    def weights(folder: Path) -> dict[str, Tensor]:
        return load_file(checkpoints(folder)[-1] / "weights.safetensors")

    given = {**bucketed(lengths), "checkpoint_every": 3, "steps": 8, **more}
    whole = train(tmp_path / "whole", **given)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    shutil.rmtree(checkpoints(again)[-1])
    assert checkpoints(again)[-1].name == "00000006"
    train(again, **given)
    one, other = weights(whole), weights(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_latents_are_kept_of_each_length_and_change_no_weight(
    train: Train, lengths: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "latents"

    def run(name: str, **more: object) -> tuple[dict[str, Tensor], list[float | None]]:
        folder = train(tmp_path / name, steps=14, checkpoint_every=7, **bucketed(lengths), **more)
        entries = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
        kept = [entry.get("latent_hits") for entry in entries]
        return load_file(checkpoints(folder)[-1] / "weights.safetensors"), kept

    plain, _ = run("plain")
    first, _ = run("first", latent_cache=cache)
    second, hits = run("second", latent_cache=cache)
    assert set(hits) == {1.0}
    for name in plain:
        torch.testing.assert_close(plain[name], first[name])
        assert torch.equal(first[name], second[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_has_a_graph_of_the_first_length_and_one_of_all_others(
    train: Train, lengths: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    counter, compile = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compile(module, backend=counter))
    train(tmp_path / "t", steps=9, compile=True, workers=0, **bucketed(lengths))
    assert counter.frame_count == 2


def test_buckets_that_cannot_be_are_refused(train: Train, lengths: Path, tmp_path: Path) -> None:
    given = bucketed(lengths)
    del given["options"]["task"]["mask_padding"]
    with pytest.raises(UsageError, match=r"^the padding of sounds is learnt as silence"):
        train(tmp_path / "t", **given)
    assert not list((tmp_path / "t").iterdir())


def test_a_training_in_buckets_validates_on_whole_items(
    train: Train, lengths: Path, tmp_path: Path
) -> None:
    given = bucketed(lengths)
    given["options"]["task"]["valid_fraction"] = 0.3
    still = {"learning_rate": 1e-30, "weight_decay": 0, "steps": 1, "validate_every": 1}
    found = []
    for name, buckets in (("a", 3), ("b", None)):
        folder = train(tmp_path / name, **{**given, **still, "buckets": buckets})
        (entry,) = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
        found.append(entry["valid.loss"])
    assert found[0] == found[1]
