"""How checks are found, run and told of, by `run_checks` and as pytest tests."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from kernel import Schedule, UsageError
from kernel.errors import PluginError
from kernel.kinds import KINDS
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing import Violation, checks_for, conformance, run_checks


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_states_its_promise(kind: str) -> None:
    checks = checks_for(kind)
    assert len({check.name for check in checks}) == len(checks) > 0
    for check in checks:
        assert check.promise.endswith(".") and not check.promise.startswith("Check")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="'sampler' is not a kind of plugin; the kinds are back"):
        checks_for("sampler")


class Failing(Schedule):
    """Fail in ways that no check expects."""

    sigma_min: float = Field(0.01, description="smallest")
    sigma_max: float = Field(10.0, description="largest")

    def sigmas(self, steps: int) -> list[float]:
        raise SystemExit("bye")


def test_an_unexpected_error_ends_one_check_only(subject: Any) -> None:
    tested = subject(Failing)
    outcomes = {each.check: each for each in run_checks(tested.registry, tested.info)}
    assert outcomes["count"].status == "error"
    assert outcomes["count"].detail.startswith("SystemExit: bye at ")
    assert outcomes["range"].status == "passed"
    assert outcomes["range"].seconds > 0


def test_options_are_refused_before_any_check_runs(subject: Any) -> None:
    tested = subject(Failing)
    with pytest.raises(UsageError, match=r"option of schedule.tested 'sigma_mix' does not exist"):
        run_checks(tested.registry, tested.info, {"sigma_mix": 1})


def test_a_model_takes_no_options() -> None:
    info = PluginInfo("model", "m", "tests", "1", "nowhere")
    with pytest.raises(UsageError, match=r"model.m is a model and takes no option 'a'"):
        run_checks(Registry((info,)), info, {"a": 1})


SCHEDULE = """
    from kernel import Schedule, hookimpl
    from pydantic import Field
    {imports}

    class Mine(Schedule):
        "One step."
        sigma_min: float = Field(1.0, gt=0, description="smallest")
        sigma_max: float = Field(2.0, gt=0, description="largest")
        {body}

    @hookimpl
    def schedule():
        return Mine
"""


def install(site: Any, imports: str = "", body: str = "") -> None:
    module = SCHEDULE.format(imports=imports, body=body)
    site.install("mine", {"schedule.mine": "mine_module"}, {"mine_module.py": module})


def test_conformance_is_a_test_with_one_case_for_each_check(site: Any) -> None:
    install(site)
    test = conformance("schedule.mine")
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert [case.id for case in mark.args[1]] == [check.name for check in checks_for("schedule")]
    cases = {case.id: case.values for case in mark.args[1]}
    test(*cases["range"])
    with pytest.raises(pytest.skip.Exception, match="the schedule is for training only"):
        test(*cases["count"])


def test_conformance_passes_options_on(site: Any) -> None:
    install(site)
    test = conformance("schedule.mine", sigma_min=3.0)
    cases = {case.id: case.values for case in test.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    with pytest.raises(Violation, match=r"sigma_min is 3.0 and sigma_max is 2.0"):
        test(*cases["range"])


def test_conformance_expects_shortfalls(site: Any) -> None:
    shortfalls = "shortfalls = {'range': 'it is upside down', 'no_steps': 'there are none'}"
    install(site, body=shortfalls)
    test = conformance("schedule.mine", sigma_min=3.0)
    cases = {case.id: case.values for case in test.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    with pytest.raises(pytest.xfail.Exception, match=r"it is upside down .sigma_min is 3.0 and"):
        test(*cases["range"])
    with pytest.raises(pytest.skip.Exception, match="the schedule is for training only"):
        test(*cases["no_steps"])
    right_way_up = conformance("schedule.mine").pytestmark[0].args[1]  # type: ignore[attr-defined]
    cases = {case.id: case.values for case in right_way_up}
    with pytest.raises(Violation, match="it is kept, and `shortfalls` says that it is not"):
        test(*cases["range"])


def test_conformance_knows_near_misses(site: Any) -> None:
    install(site)
    with pytest.raises(UsageError, match=r"no schedule 'mime'; did you mean 'mine'\?"):
        conformance("schedule.mime")


def test_a_module_that_imports_torch_is_caught(site: Any) -> None:
    install(site, "import sys; sys.modules.setdefault('torch', sys)")
    registry = Registry.scan(path=site.path)
    (info,) = registry.plugins
    outcomes = {each.check: each for each in run_checks(registry, info)}
    assert outcomes["light_import"].status == "failed"
    assert "importing mine_module imports torch" in outcomes["light_import"].detail


def test_a_plugin_that_cannot_be_loaded_is_no_outcome(site: Any) -> None:
    install(site, "import sys; sys.exit(3)")
    registry = Registry.scan(path=site.path)
    with pytest.raises(PluginError, match="importing mine_module raised SystemExit: 3"):
        run_checks(registry, registry.plugins[0])
