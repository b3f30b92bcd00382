"""The samples that a training makes while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel import Sound, read_audio
from kernel.config import RunConfig
from kernel.errors import NumericalError, UsageError
from kernel.registry import Registry
from kernel.runner.plan import plan_run
from kernel.runner.run import execute as play
from kernel.runner.run import folder_for
from kernel_audio_training.checkpoints import checkpoints
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.execution import execute
from kernel_audio_training.plan import plan_training
from kernel_audio_training.samples import Samples

Train = Callable[..., Path]


class Ears:
    """An observer that keeps what it is told of sounds."""

    def __init__(self) -> None:
        self.heard: list[tuple[Sound, dict[str, Any]]] = []

    def started(self, *_: object) -> None: ...

    def step(self, *_: object) -> None: ...

    def checkpoint(self, *_: object) -> None: ...

    def finished(self, *_: object) -> None: ...

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        self.heard.append((sound, entry))


def test_samples_change_nothing_and_are_those_of_a_run_of_the_model(
    train: Train, registry: Registry, tmp_path: Path
) -> None:
    options = {"backbone": {"dropout": 0.2}}
    given = {"options": options, "steps": 6, "checkpoint_every": 2, "seed": 3}
    plain = train(tmp_path / "plain", **given)
    ears = Ears()
    told = {"sample_every": 4, "sample_count": 2, "sampling_steps": 3}
    watched = train(tmp_path / "watched", [ears], **given, **told)
    for name in ("weights", "ema", "optimizer"):
        one, other = (
            (checkpoints(each)[-1] / f"{name}.safetensors").read_bytes()
            for each in (plain, watched)
        )
        assert one == other
    assert [(entry["step"], entry["file"]) for _, entry in ears.heard] == [
        (step, f"samples/{step:08d}/{name}.wav")
        for step in (4, 6)
        for name in ("00-high", "01-low")
    ]
    # Those of the last step are what the model plays, but for its weights' float16.
    config = RunConfig(model=str(watched / "model"), count=2, seed=3, out=tmp_path, device="cpu")
    with folder_for(config) as folder:
        play(config, plan_run(config, registry), folder)
    for name in ("00-high.wav", "01-low.wav"):
        sample, rate = read_audio(watched / "samples" / "00000006" / name)
        sound, _ = read_audio(folder / name)
        assert rate == 8000
        assert (sample - sound).abs().max() < 0.02 * sound.abs().max()


@pytest.mark.parametrize("moment", ["checkpoint", "sound"])
def test_a_resumed_training_makes_the_same_samples(
    train: Train, tmp_path: Path, moment: str
) -> None:
    given = {"sample_every": 2, "sample_count": 1, "sampling_steps": 2, "checkpoint_every": 2}
    whole = train(tmp_path / "whole", steps=4, **given)
    cut = tmp_path / "cut"
    with pytest.raises(ZeroDivisionError):
        train(cut, [Fails(moment)], steps=4, **given)
    assert (cut / "checkpoints" / "00000004").is_dir()
    assert (cut / "samples" / "00000004").is_dir() == (moment == "sound")
    train(cut, steps=4, **given)
    one, other = (
        [path.read_bytes() for path in sorted(each.glob("samples/*/*.wav"))]
        for each in (whole, cut)
    )
    assert len(one) == 2
    assert one == other


class Fails(Ears):
    """An observer that ends the training at step 4, as a crash would."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self.moment = moment

    def checkpoint(self, path: Path) -> None:
        if self.moment == "checkpoint" and path.name == "00000004":
            raise ZeroDivisionError

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        if entry["step"] == 4:
            raise ZeroDivisionError


def test_weights_that_make_no_sound_are_a_warning(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise NumericalError("x is not finite")

    monkeypatch.setattr(Samples, "_made", fails)
    with pytest.warns(UserWarning, match="^there are no samples of step 4: x is not finite$"):
        folder = train(tmp_path / "t", sample_every=4)
    assert (folder / "model").is_dir()


def test_samples_need_a_solver(
    training: Callable[..., TrainConfig], registry: Registry, tmp_path: Path
) -> None:
    config = training(tmp_path / "t", plugins=("edm", "dit", "mel", "labelled"), sample_every=2)
    with pytest.raises(UsageError, match=r"^sample_every needs a solver, e.g. --plugins unipc; "):
        execute(config, plan_training(config, registry))
    assert not (tmp_path / "t").exists()
