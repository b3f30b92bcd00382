"""Configurations that cannot be: each is one sentence, whatever is wrong with it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel.config import RunConfig, Settings, load, parse_option
from kernel.errors import InputError, KernelError, UsageError
from kernel.registry import Registry
from kernel.runner.plan import plan_run
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import plan_training

CASES = 500

SCALARS = (
    "nan",
    "inf",
    "-1",
    "0",
    "1e9",
    "1" + "0" * 30,
    "true",
    '""',
    '".."',
    '"\\u0000"',
    '"[/red]"',
    '"edm,unipc"',
    '"a/b"',
    f'"{"x" * 5000}"',
    "1979-05-27",
    "[]",
    "[1, [2, [3]]]",
    "{}",
    "{a = {b = 1}}",
    '["edm", 3]',
)
COMPONENTS = ("solver", "schedule", "objective", "guidance.cfg", "task", "codec", "colour", "", ".")
OPTIONS = ("steps", "sigma_max", "predictor_order", "path", "seconds", "labels", "x", "a.b", "é")


def drawn(draws: random.Random) -> bytes:
    """Return the text of a configuration with one to three mistakes, or none at all."""
    fields = [*RunConfig.model_fields, *TrainConfig.model_fields, "stepz", "plugin", "Ω"]
    lines = ['plugins = ["edm", "unipc"]'] if draws.random() < 0.5 else []
    for _ in range(draws.randint(0, 2)):
        lines.append(f'"{draws.choice(fields)}" = {draws.choice(SCALARS)}')
    for _ in range(draws.randint(0, 2)):
        kind, option = draws.choice(COMPONENTS), draws.choice(OPTIONS)
        value = draws.choice(SCALARS)
        place = draws.choice(["options", "prefer", "groups"])
        lines.append(
            f'[{place}."{kind}"]\n"{option}" = {value}'
            if draws.random() < 0.7
            else f'[{place}]\n"{kind}" = {value}'
        )
    text = "\n".join(lines).encode()
    match draws.randint(0, 9):
        case 0:
            place = draws.randrange(len(text) + 1)
            return text[:place] + bytes(draws.choices(range(256), k=3)) + text[place:]
        case 1:
            return text[: draws.randrange(len(text) + 1)]
        case 2:
            return text.decode().encode("utf-16")
        case 3:
            return b"a = " + b"[" * 3000 + b"]" * 3000
    return text


@pytest.mark.parametrize("part", range(10))
def test_a_configuration_is_taken_or_refused_in_one_sentence(tmp_path: Path, part: int) -> None:
    registry = Registry.scan()
    refused = 0
    for case in range(part * CASES // 10, (part + 1) * CASES // 10):
        file = tmp_path / f"{case}.toml"
        file.write_bytes(drawn(random.Random(case)))
        for schema, plan in ((RunConfig, plan_run), (TrainConfig, plan_training)):
            refused += _refused(schema, plan, file, registry)
    assert refused > CASES // 10


def _refused(
    schema: type[Settings], plan: Callable[..., Any], file: Path, registry: Registry
) -> bool:
    try:
        config = load(schema, file, {})
        plan(config, registry.preferring(config.prefer))
    except KernelError as error:
        sentence = str(error)
        assert len(sentence) > 20
        assert "\n" not in sentence, sentence
        assert len(sentence) < 1000, sentence
        return True
    return False


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[options]\nsolver = "heun"',
            "'options.solver' cannot be 'heun': input should be",
        ),
        ("options = 3", "'options' cannot be 3: input should be a valid dictionary"),
        ('out = "a\\u0000b"', "'out' cannot be 'a\\x00b': a path holds no NUL"),
        ("steps = 1" + "0" * 30, "input should be less than or equal to 1000000"),
        ('name = ".."', "'name' cannot be '..'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load(RunConfig, tmp_path / "c.toml", {}, {"solver.predictor_order": 2})
    assert sentence in str(caught.value)


def test_a_file_that_is_nested_too_deeply_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("a = " + "[" * 9999 + "]" * 9999)
    with pytest.raises(InputError, match=r"c.toml is not valid TOML: maximum recursion depth"):
        load(RunConfig, tmp_path / "c.toml", {})


@pytest.mark.parametrize("text", ["solver", "solver=2", "=", "", "predictor_order=2"])
def test_an_option_without_a_kind_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form KIND.OPTION=VALUE"):
        parse_option(text)


def test_a_value_is_toml_or_else_a_word() -> None:
    assert parse_option("solver.predictor_order=2") == ("solver.predictor_order", 2)
    assert parse_option("guidance.cfg.rescale=[0.1, 2]") == ("guidance.cfg.rescale", [0.1, 2])
    deep = "[" * 9999
    assert parse_option(f"task.path={deep}") == ("task.path", deep)
