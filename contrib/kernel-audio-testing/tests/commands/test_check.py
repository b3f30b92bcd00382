from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kernel.registry import Registry
from kernel_audio_testing.commands import check

pytestmark = pytest.mark.slow

GRID = """
    import pydantic
    from kernel import Schedule, UsageError, hookimpl
    {top}

    class Mine(Schedule):
        "Equal steps."
        sigma_min: float = pydantic.Field(0.01, gt=0, description="smallest")
        sigma_max: float = pydantic.Field(10.0, gt=0, description="largest")
        {within}

        def sigmas(self, steps):
            {body}
            if steps < 1:
                raise UsageError("at least one step is needed; ask for more")
            return [self.sigma_max * (1 - index / steps) for index in range(steps)] + [{last}]

        def draw(self, count, generator):
            import torch
            drawn = torch.empty(count)
            return drawn.uniform_(self.sigma_min, self.sigma_max, generator=generator)

    @hookimpl
    def schedule():
        return Mine
"""


def install(
    site: Any,
    name: str,
    top: str = "",
    body: str = "pass",
    last: str = "0.0",
    within: str = "",
) -> None:
    module = f"{name}_module"
    text = GRID.format(top=top, body=body, last=last, within=within)
    site.install(f"dist-{name}", {f"schedule.{name}": module}, {f"{module}.py": text})


@pytest.fixture
def alone(site: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check no plugins but those of the site."""
    scan = SimpleNamespace(scan=lambda: Registry.scan(path=site.path))
    monkeypatch.setattr(check, "Registry", scan)
    return site


def test_a_plugin_that_keeps_its_promises_under_options(site: Any) -> None:
    install(site, "good", top="print('hello from the plugin')")
    done = site.invoke("check", "good", "-o", "sigma_max=20", "-o", "schedule.sigma_min=0.02")
    assert done.exit_code == 0, done.output
    assert "schedule.good (dist-good 1.0): 2 inapplicable, 26 passed in" in done.stdout
    assert "0.02 to 20" in done.stdout
    assert "The last value of a grid is exactly 0." in done.stdout
    assert "hello" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_shortfall_is_expected_and_shown_with_its_reason(site: Any) -> None:
    shortfalls = "shortfalls = {'ends_at_zero': 'it stops where hearing does'}"
    install(site, "short", last="self.sigma_min / 2", within=shortfalls)
    done = site.invoke("check", "short")
    assert done.exit_code == 0, done.output
    assert "1 expected, 2 inapplicable, 25 passed in" in done.stdout
    assert "it stops where hearing does" in " ".join(done.stdout.split())
    (plugin,) = json.loads(site.invoke("check", "short", "--json").stdout)["plugins"]
    (expected,) = [check for check in plugin["checks"] if check["status"] == "expected"]
    assert plugin["status"] == "passed" and expected["check"] == "ends_at_zero"
    assert expected["detail"].startswith("it stops where hearing does (the grid of 1 steps ends")


def test_a_shortfall_that_is_none_is_a_failure(site: Any) -> None:
    shortfalls = "shortfalls = {'ends_at_zero': 'hm', 'end_at_zero': 'hm'}"
    install(site, "good", within=shortfalls)
    done = site.invoke("check", "good")
    assert done.exit_code == 8, done.output
    told = " ".join(done.stdout.split())
    assert "it is kept, and `shortfalls` says that it is not (hm); take 'ends_at_zero' off" in told
    assert (
        "names 'end_at_zero', which is no check of the kind schedule; did you mean 'ends_at" in told
    )
    assert "2 of 28 checks failed" in done.stderr


def test_a_failed_check_exits_with_8_and_counts_more_than_an_unusable_plugin(site: Any) -> None:
    install(site, "bad", top="import os; os._exit(1)")
    install(site, "short", last="self.sigma_min / 2")
    done = site.invoke("check", "bad", "schedule.short@dist-short")
    assert done.exit_code == 8
    assert "schedule.bad (dist-bad 1.0): cannot be loaded" in done.stdout
    assert "the grid of 1 steps ends at 0.005, not at 0" in done.stdout
    assert "kernel: 2 of 28 checks failed, in schedule.short; " in done.stderr


def test_all_survives_everything_at_once(alone: Any) -> None:
    install(alone, "bad", top="import os; os._exit(1)")
    install(alone, "quits", body="import os; os._exit(0)")
    install(alone, "good")
    alone.install("empty", {"sampler.x": "nowhere"})
    done = alone.invoke("check", "--all", "--json")
    assert done.exit_code == 8, done.output
    found = json.loads(done.stdout)
    statuses = {plugin["name"]: plugin["status"] for plugin in found["plugins"]}
    assert statuses == {"bad": "unusable", "good": "passed", "quits": "failed"}
    assert "has the unknown kind 'sampler'" in found["problems"][0]
    checks = {plugin["name"]: plugin["checks"] for plugin in found["plugins"]}
    assert set(checks["good"][0]) == {"check", "promise", "status", "detail", "seconds"}
    last = checks["quits"][-1]
    assert (last["check"], last["status"]) == ("count", "error")
    assert last["detail"] == "the check ended its process with the exit status 0"


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ("import sys; sys.exit(5)", "importing bad_module raised SystemExit: 5"),
        ("import os; os._exit(5)", "importing bad_module raised SystemExit: os._exit(5)"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_exits_with_3(site: Any, top: str, reason: str) -> None:
    install(site, "bad", top=top)
    done = site.invoke("check", "bad")
    assert done.exit_code == 3
    assert "schedule.bad (dist-bad 1.0): cannot be loaded" in done.stdout
    assert reason in done.stderr


def test_the_cause_is_shown_where_loading_fails(site: Any) -> None:
    install(site, "bad", top="None.nothing")
    done = site.invoke("check", "bad")
    assert "None.nothing" in done.stdout and "AttributeError: 'NoneType'" in done.stdout


def test_a_plugin_that_hangs_on_import_is_ended(site: Any) -> None:
    install(site, "slow", top="import time; time.sleep(600)")
    began = time.monotonic()
    done = site.invoke("check", "slow", "--timeout", "3")
    assert time.monotonic() - began < 50
    assert done.exit_code == 3
    assert "schedule.slow@dist-slow cannot be used: loading it was still running after 3 s" in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the plugins to check, or add --all"),
        (("good", "--all"), "name the plugins to check, or add --all"),
        (("goof",), "there is no plugin 'goof'; did you mean 'good'?"),
        (("good", "-o", "sigma_mix=1"), "'sigma_mix' does not exist; did you mean 'sigma_min'"),
        (("good", "-o", "sigma_min=-1"), "'sigma_min' cannot be -1"),
        (("good", "-o", "codec.hop=1"), "option codec.hop belongs to no plugin that is checked"),
        (("good", "-o", "hop"), "is not of the form KIND.OPTION=VALUE"),
    ],
)
def test_mistakes_exit_with_2(site: Any, arguments: tuple[str, ...], message: str) -> None:
    install(site, "good")
    done = site.invoke("check", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_several_unusable_plugins_are_named(site: Any) -> None:
    install(site, "bad", top="import os; os._exit(1)")
    install(site, "worse", top="import os; os._exit(2)")
    done = site.invoke("check", "bad", "worse")
    assert done.exit_code == 3
    assert (
        "2 plugins cannot be loaded: schedule.bad, schedule.worse; the lines above" in done.stderr
    )
