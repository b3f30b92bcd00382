from __future__ import annotations

import json
from typing import Any

import click
import pytest

from kernel import cli
from kernel.errors import KernelError, UsageError

SOLVER = '''
    from typing import Literal
    from pydantic import Field
    from kernel import Solver, hookimpl

    class Mine(Solver):
        """Go down in steps.

        x' = x + h f(x)    (eq. 1)
        """

        order_: int = Field(3, ge=1, le=4, description="how many steps are looked at")
        variant: Literal["a", "b"] = Field("b", description="which of the two")
        path: str | None = Field(None, pattern="^/", description="a table")
        must: float = Field(gt=0, description="no default is right")

    @hookimpl
    def solver():
        return Mine
'''

MODEL = """
format = 1
title = "Tones"
parameters = 1500000
steps = 16
plugins = { objective = "edm", backbone = "dit", codec = "mel", task = "labelled" }

[trained]
sigma_min = 0.1
sigma_max = 8
condition_dropout = 0
steps = 9
batch = 2
seed = 0
sample_rate = 8000
"""


@pytest.fixture
def lab(site: Any) -> Any:
    files = {
        "lab_code/__init__.py": "",
        "lab_code/mine.py": SOLVER,
        "lab_code/bad.py": "import sys\nsys.exit(5)\n",
        "lab_code/tones/model.toml": MODEL,
        "lab_code/tones/model.safetensors": b"",
    }
    entries = {
        "solver.lab-mine": "lab_code.mine",
        "solver.lab-bad": "lab_code.bad",
        "guidance.lab-mine": "lab_code.gone",
        "model.lab-tones": "lab_code.tones",
        "model.lab-broken": "lab_code.broken",
        "solvr.x": "lab_code.mine",
    }
    site.install("lab-b", entries, files, version="2.1")
    site.install("lab-new", {"solver.future": "lab_new"}, api=7)
    return site


def flat(text: str) -> str:
    return " ".join(text.split())


HEAVY = {"torch", "torchaudio", "numpy", "matplotlib", "soundfile"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "light"),
    [
        (["--help"], {"pydantic", "rich", "pluggy", "attr", "packaging"}),
        (["plugins"], {"pydantic", "rich", "pluggy", "attr", "packaging"}),
        (["plugins", "solver.lab-mine"], {"rich"}),
        (["plugins", "unipc"], {"rich"}),
        (["models", "lab-tones"], {"rich"}),
    ],
    ids=lambda words: " ".join(sorted(words)),
)
def test_listings_import_nothing_heavy(lab: Any, args: list[str], light: set[str]) -> None:
    assert not lab.modules_after(*args) & (HEAVY | light)


def test_the_list_shows_everything_in_80_columns(lab: Any) -> None:
    done = lab.invoke_alone("plugins")
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["kind", "name", "distribution", "version"]
    assert ["solver", "lab-mine", "lab-b", "2.1"] in rows
    assert ["solver", "future", "lab-new", "1.0", "kernel.v7"] in rows
    assert "'solvr.x' of lab-b 2.1 has the unknown kind 'solvr'; did you" in flat(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_list_for_programs(lab: Any) -> None:
    listing = json.loads(lab.invoke_alone("plugins", "--json").stdout)
    assert [f"{each['kind']}.{each['name']}" for each in listing["plugins"]] == [
        "guidance.lab-mine",
        "model.lab-broken",
        "model.lab-tones",
        "solver.lab-bad",
        "solver.lab-mine",
    ]
    assert listing["api"] == 1
    assert listing["foreign"][0]["api"] == 7
    assert len(listing["problems"]) == 1


def test_the_list_tells_of_conflicts(site: Any) -> None:
    site.install("lab-a", {"solver.x": "a"})
    site.install("lab-b", {"solver.x": "b"})
    text = flat(site.invoke_alone("plugins").stdout)
    assert "name it as solver.x@lab-a or solver.x@lab-b." in text


@pytest.mark.parametrize("what", ["plugins", "models"])
def test_with_nothing_installed_the_lists_say_what_to_do(site: Any, what: str) -> None:
    done = site.invoke_alone(what)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"No {what} are installed: `pip install`")


def test_an_option_is_shown_with_type_default_bounds_and_description(lab: Any) -> None:
    done = lab.invoke("plugins", "solver.lab-mine")
    assert done.exit_code == 0, done.stderr
    assert "solver.lab-mine  (lab-b 2.1, lab_code.mine)" in done.stdout
    assert "  x' = x + h f(x)    (eq. 1)" in done.stdout
    assert "solver.order_ = 3\n      int, >= 1, <= 4: how many steps" in done.stdout
    assert 'solver.variant = "b"\n      "a" or "b": which' in done.stdout
    assert "solver.path (not set)\n      str | None, matching ^/: a table" in done.stdout
    assert "solver.must (required)\n      float, > 0: no default" in done.stdout


def test_options_for_programs(lab: Any) -> None:
    (mine,) = json.loads(lab.invoke("plugins", "solver.lab-mine", "--json").stdout)
    assert mine["doc"].startswith("Go down in steps.")
    assert mine["options"][0] == {
        "name": "order_",
        "type": "int",
        "required": False,
        "default": 3,
        "bounds": [">= 1", "<= 4"],
        "description": "how many steps are looked at",
    }


def test_a_broken_plugin_is_told_beside_the_sound_one(lab: Any) -> None:
    done = lab.invoke("plugins", "lab-mine")
    assert done.exit_code == 3
    assert "solver.order_ = 3" in done.stdout
    assert "guidance.lab-mine of lab-b 2.1 (lab_code.gone) cannot be used" in flat(done.stdout)


def test_a_plugin_that_exits_does_not_decide_the_exit_code(lab: Any) -> None:
    done = lab.invoke("plugins", "lab-bad")
    assert done.exit_code == 3
    assert "raised SystemExit: 5" in flat(done.stdout)


def test_a_model_among_plugins_points_to_models(lab: Any) -> None:
    assert "see `kernel models lab-tones`" in lab.invoke("plugins", "lab-tones").stdout


def test_a_misspelt_plugin_is_one_sentence(lab: Any) -> None:
    done = lab.invoke("plugins", "solver.lab-mime")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("kernel: there is no solver 'lab-mime'; did you mean 'lab-mine'")
    assert done.stderr.count("\n") == 1


def test_models_are_listed_beside_the_broken_ones(lab: Any) -> None:
    done = lab.invoke_alone("models")
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["lab-tones", "1.5", "M", "objective.edm,", "backbone.dit,", "codec.mel,"] in [
        row[:6] for row in rows
    ]
    assert "Problem: model lab-broken of lab-b 2.1 cannot be used" in flat(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_models_for_programs(lab: Any) -> None:
    listing = json.loads(lab.invoke_alone("models", "--json").stdout)
    assert [model["name"] for model in listing["models"]] == ["lab-tones"]
    assert listing["models"][0]["trained"]["sigma_max"] == 8
    assert len(listing["problems"]) == 1


def test_one_model_shows_everything(lab: Any) -> None:
    done = lab.invoke("models", "lab-tones")
    assert done.exit_code == 0, done.stderr
    for part in ("Tones  (lab-b 2.1)", "1,500,000", "16 recommended", "sigma_max 8.0"):
        assert part in flat(done.stdout) or part in done.stdout
    record = json.loads(lab.invoke("models", "lab-tones", "--json").stdout)
    assert (record["distribution"], record["steps"]) == ("lab-b", 16)


def test_a_broken_model_that_is_named_is_an_error(lab: Any) -> None:
    done = lab.invoke("models", "lab-broken")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "there is no folder lab_code.broken; reinstall lab-b" in done.stderr


@pytest.mark.slow
def test_the_installed_command_prints_the_list(lab: Any) -> None:
    done = lab.run("plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    names = [each["name"] for each in json.loads(done.stdout)["plugins"]]
    assert "lab-mine" in names


def test_a_second_owner_of_the_import_name_is_told_in_one_sentence(site: Any) -> None:
    info = site.install("kernel", "[console_scripts]\nx = kernel:x\n")
    (info / "RECORD").write_text("kernel/__init__.py,sha256=abc,3\n")
    done = site.invoke("models", "--json")
    assert done.exit_code == 0
    assert done.stderr.startswith("kernel: the distribution kernel installs a package named")
    assert done.stderr.count("\n") == 1


def test_a_package_that_only_ends_in_kernel_is_no_second_owner(site: Any) -> None:
    info = site.install("ipykernel", "")
    (info / "RECORD").write_text("ipykernel/__init__.py,,\nx/kernel/__init__.py,sha256=a,3\n")
    assert site.invoke("models", "--json").stderr == ""


def with_command(site: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Any:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "import_module", lambda name: type("Module", (), {"command": command}))
    return site.invoke("run")


@pytest.mark.parametrize("kind", [UsageError, *KernelError.__subclasses__()])
def test_every_error_has_one_form_and_its_exit_code(
    site: Any, monkeypatch: pytest.MonkeyPatch, kind: type[KernelError]
) -> None:
    result = with_command(site, monkeypatch, kind("what; where; what to do"))
    assert result.exit_code == kind.exit_code
    assert result.stderr == "kernel: what; where; what to do\n"


def test_ctrl_c_ends_with_130(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = with_command(site, monkeypatch, KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "kernel: interrupted\n")


def test_a_bug_has_a_traceback_and_asks_to_be_reported(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = with_command(site, monkeypatch, RuntimeError("inner"))
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "RuntimeError: inner" in result.stderr
    assert "please report it" in result.stderr.splitlines()[-1]


def test_a_misspelt_command_is_told_with_near_misses(site: Any) -> None:
    result = site.invoke("plugin")
    assert result.exit_code == 2
    assert result.stderr == "kernel: there is no command 'plugin'; did you mean 'plugins'?\n"


def test_help_lists_every_command(site: Any) -> None:
    result = site.invoke("--help")
    assert result.exit_code == 0
    for name, line in cli.COMMANDS.items():
        assert f"{name} " in result.stdout
        assert line in result.stdout
