from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from zipfile import ZipFile

import pytest

from kernel import Solver
from kernel.errors import PluginError, UsageError
from kernel.registry import PluginInfo, Registry, Selection, locate

OURS = {
    "objective.edm": "ours.edm",
    "schedule.edm": "ours.edm",
    "schedule.rf": "ours.rf",
    "solver.heun": "ours.heun",
    "solver.unipc": "ours.unipc",
    "guidance.cfg": "ours.cfg",
    "guidance.limit": "ours.limit",
    "model.digits": "ours.digits",
}

SOLVER = """
    from kernel import Solver, hookimpl

    class Mine(Solver):
        "Do nothing."

    @hookimpl
    def solver(name):
        return Mine if name == "mine" else None
"""


@pytest.fixture
def registry(site: Any) -> Registry:
    site.install("Kernel_Ours", OURS)
    return Registry.scan(path=site.path)


def scan_with_lab(site: Any, **prefer: str) -> Registry:
    site.install("kernel-ours", OURS)
    site.install("lab-b", {"solver.unipc": "lab_b.unipc"}, version="2.1")
    return Registry.scan({name.replace("_", "."): who for name, who in prefer.items()}, site.path)


def spellings(infos: Any) -> list[str]:
    return [info.spelling for info in infos]


def test_scan_reports_name_version_and_normalised_distribution(registry: Registry) -> None:
    assert registry.find("unipc") == [
        PluginInfo("solver", "unipc", "kernel-ours", "1.0", "ours.unipc")
    ]
    assert registry.find("unipc")[0].qualified == "solver.unipc@kernel-ours"


def test_scan_is_sorted_and_complete(registry: Registry) -> None:
    assert spellings(registry.plugins) == sorted(OURS)
    assert (registry.foreign, registry.problems) == ((), ())


def test_scan_imports_nothing(site: Any) -> None:
    site.install("bomb", {"solver.bomb": "bomb"}, {"bomb.py": "raise SystemExit(3)"})
    assert spellings(Registry.scan(path=site.path).plugins) == ["solver.bomb"]


def test_scan_sees_what_is_installed_on_sys_path(site: Any) -> None:
    site.install("lab-c", {"solver.only-in-lab-c": "lab_c"})
    assert Registry.scan().find("only-in-lab-c")[0].distribution == "lab-c"


def test_a_folder_that_is_on_the_path_twice_counts_once(site: Any) -> None:
    site.install("lab-b", {"solver.unipc": "lab_b"})
    registry = Registry.scan(path=site.path * 2)
    assert spellings(registry.plugins) == ["solver.unipc"]
    assert registry.problems == ()


def test_a_name_may_have_dots(site: Any) -> None:
    site.install("lab-b", {"solver.dpm.2m": "lab_b"})
    registry = Registry.scan(path=site.path)
    assert spellings(registry.select(["dpm.2m"]).plugins) == ["solver.dpm.2m"]
    assert spellings(registry.select(["solver.dpm.2m@Lab_B"]).plugins) == ["solver.dpm.2m"]


@pytest.mark.parametrize(
    "foreign",
    [
        b"no section\n",
        b"[kernel_like\nx = y\n",
        b"[a]\nx = 1\n[a]\nx = 2\n",
        b"[a]\nx = 1\nx = 2\n",
        b"[console_scripts]\nx = \xff\xfe\n",
    ],
    ids=["no section", "open section", "section twice", "option twice", "not UTF-8"],
)
def test_malformed_metadata_of_others_is_not_our_users_business(site: Any, foreign: bytes) -> None:
    site.install("kernel-ours", OURS)
    info = site.install("a-stranger", "")
    (info / "entry_points.txt").write_bytes(foreign)
    registry = Registry.scan(path=site.path)
    assert spellings(registry.plugins) == sorted(OURS)
    assert {info.version for info in registry.plugins} == {"1.0"}
    assert registry.problems == ()


def test_a_byte_order_mark_hides_no_plugin(site: Any) -> None:
    site.install("lab-b", "\ufeff[kernel.v1]\nsolver.unipc = lab_b\n")
    assert spellings(Registry.scan(path=site.path).plugins) == ["solver.unipc"]


def test_a_percent_sign_in_a_value_is_no_interpolation(site: Any) -> None:
    site.install("lab-b", "[kernel.v1]\nsolver.a = %(b)s\nsolver.c = lab_b\n")
    registry = Registry.scan(path=site.path)
    assert spellings(registry.plugins) == ["solver.c"]
    assert "'%(b)s', which is not the name of a module" in registry.problems[0]


def test_an_entry_that_is_there_twice_is_read_and_told(site: Any) -> None:
    site.install("lab-b", "[kernel.v1]\nsolver.a = lab_a\nsolver.a = lab_b\n")
    registry = Registry.scan(path=site.path)
    assert [(info.spelling, info.target) for info in registry.plugins] == [("solver.a", "lab_b")]
    assert "'solver.a' is there twice, and the last one counts" in registry.problems[0]


def test_unreadable_metadata_of_a_plugin_is_a_problem(site: Any) -> None:
    site.install("lab-b", "[kernel.v1]\nno equals sign\n")
    registry = Registry.scan(path=site.path)
    assert registry.plugins == ()
    assert "entry points of lab-b 1.0" in registry.problems[0]
    assert registry.problems[0].endswith("reinstall it")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("also", ["METADATA", "RECORD"])
def test_entry_points_in_another_encoding_are_told_with_their_owner(
    site: Any, encoding: str, also: str
) -> None:
    info = site.install("lab-b", {"solver.x": "lab_b"}, version="2.1")
    for name in ("entry_points.txt", also):
        (info / name).write_text((info / name).read_text(), encoding)
    assert Registry.scan(path=site.path).problems == (
        f"the entry points of lab-b 2.1 in {site.folder} are malformed (it is no UTF-8 text); "
        "reinstall it",
    )


def test_entry_points_that_are_no_text_are_told_where_they_are_for_us(site: Any) -> None:
    info = site.install("lab-b", "")
    (info / "entry_points.txt").write_bytes(b"\x1f\x8b\x08\xff")
    assert Registry.scan(path=site.path).problems == ()
    with (info / "METADATA").open("a") as file:
        file.write("Requires-Dist: kernel-audio\n")
    assert "entry points of lab-b 1.0" in Registry.scan(path=site.path).problems[0]


@pytest.mark.parametrize("missing", ["a FIFO", "5,000 digits"])
def test_metadata_that_says_nothing_leaves_the_folders_name(site: Any, missing: str) -> None:
    info = site.install("lab-b", {"solver.x": "lab_b"}, version="2.1")
    (info / "METADATA").unlink()
    if missing == "a FIFO":
        os.mkfifo(info / "METADATA")
    else:
        (info / "METADATA").write_text(f"Name: lab-b\nVersion: {'1' * 5000}\n")
    site.install("lab-b", {"solver.x": "lab_b"}, version="2.0")
    registry = Registry.scan(path=site.path)
    assert [info[:4] for info in registry.plugins] == [("solver", "x", "lab-b", "2.1")]
    assert "lab-b is installed twice, 2.1 in" in registry.problems[0]


@pytest.mark.parametrize("header", ["[kernel.v1", "[kernel.v01]", "[kernel.v]", "[Kernel.V1]"])
def test_a_group_that_is_nearly_ours_is_a_problem(site: Any, header: str) -> None:
    site.install("lab-b", f"{header}\nsolver.x = lab_b\n")
    (problem,) = Registry.scan(path=site.path).problems
    assert f"{header!r} is no group of plugins; write '[kernel.v1]'" in problem


def test_plugins_in_an_archive_are_found(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "lab.zip", "w") as archive:
        archive.writestr("lab_b-2.1.dist-info/entry_points.txt", "[kernel.v1]\nsolver.x = lab_b\n")
        archive.writestr("lab_b-2.1.dist-info/METADATA", "Name: lab-b\nVersion: 2.1\n")
    (tmp_path / "no.zip").write_bytes(b"PK")
    registry = Registry.scan(path=[str(tmp_path / "lab.zip"), str(tmp_path / "no.zip")])
    assert [info[:4] for info in registry.plugins] == [("solver", "x", "lab-b", "2.1")]
    assert registry.problems == ()


@pytest.mark.parametrize(
    ("entry", "target", "says"),
    [
        ("unipc", "lab_b", "is not named KIND.NAME"),
        ("solver.", "lab_b", "is not named KIND.NAME"),
        ("solver.uni pc", "lab_b", "is not named KIND.NAME"),
        ("solvr.unipc", "lab_b", "unknown kind 'solvr'; did you mean 'solver'?"),
        ("solver.unipc", "lab_b:make", "'lab_b:make', which is not the name of a module"),
    ],
)
def test_an_entry_that_cannot_be_used_is_a_problem_with_an_owner(
    site: Any, entry: str, target: str, says: str
) -> None:
    site.install("lab-b", {entry: target, "solver.good": "lab_b"})
    registry = Registry.scan(path=site.path)
    assert spellings(registry.plugins) == ["solver.good"]
    (problem,) = registry.problems
    assert f"{entry!r} of lab-b 1.0" in problem
    assert says in problem


def test_other_majors_are_seen_and_not_selected(site: Any) -> None:
    site.install("kernel-ours", OURS)
    site.install("lab-b", {"solver.new": "lab_b", "odd": "x:y"}, api=2)
    registry = Registry.scan(path=site.path)
    assert [(info.name, info.api) for info in registry.foreign] == [("", 2), ("new", 2)]
    assert registry.find("new") == []
    with pytest.raises(UsageError, match=r"lab-b 1.0 offers it for kernel.v2 .*; upgrade kernel-"):
        registry.select(["new"])


def test_a_stale_copy_is_reported_and_the_first_on_the_path_counts(tmp_path: Path) -> None:
    fresh, stale = tmp_path / "fresh", tmp_path / "stale"
    for folder, text in ((fresh / "lab_b-2.0.dist-info", "new"), (stale / "lab_b.egg-info", "old")):
        folder.mkdir(parents=True)
        (folder / "entry_points.txt").write_text(f"[kernel.v1]\nsolver.{text} = lab_b\n")
    (stale / "lab_b.egg-info" / "PKG-INFO").write_text("Name: lab-b\nVersion: 1.5\n")
    registry = Registry.scan(path=[str(fresh), str(stale)])
    assert [(info.name, info.version) for info in registry.plugins] == [("new", "2.0")]
    assert f"installed twice, 2.0 in {fresh} and 1.5 in {stale}" in registry.problems[0]


def test_what_an_interrupted_pip_left_behind_is_not_installed(site: Any) -> None:
    site.install("lab-b", {"solver.x": "lab_b"}, version="2.0")
    left = site.install("lab-b", {"solver.x": "lab_b"}, version="1.0")
    left.rename(left.with_name("~ab_b-1.0.dist-info"))
    for _ in range(2):
        registry = Registry.scan(path=site.path)
        assert [(info.qualified, info.version) for info in registry.plugins] == [
            ("solver.x@lab-b", "2.0")
        ]
        assert registry.problems == ()
        site.install("a-stranger", "malformed\n")  # read by another way from now on


def test_of_two_versions_in_one_folder_the_newer_counts(site: Any) -> None:
    site.install("lab-b", {"solver.old": "lab_b"}, version="1.9")
    site.install("lab-b", {"solver.new": "lab_b"}, version="1.10")
    registry = Registry.scan(path=site.path)
    assert [(info.name, info.version) for info in registry.plugins] == [("new", "1.10")]
    assert "installed twice" in registry.problems[0]


def test_a_bare_name_takes_every_kind(registry: Registry) -> None:
    assert spellings(registry.select(["edm"]).plugins) == ["objective.edm", "schedule.edm"]


def test_a_later_plugin_replaces_and_the_selection_says_so(registry: Registry) -> None:
    selection = registry.select(["edm", "heun", "schedule.rf", "unipc"])
    assert spellings(selection.plugins) == ["objective.edm", "schedule.rf", "solver.unipc"]
    assert [spellings(pair) for pair in selection.replaced] == [
        ["schedule.edm", "schedule.rf"],
        ["solver.heun", "solver.unipc"],
    ]


def test_the_same_plugin_twice_replaces_nothing(registry: Registry) -> None:
    selection = registry.select(["heun", "cfg", "heun", "cfg"])
    assert spellings(selection.plugins) == ["solver.heun", "guidance.cfg"]
    assert selection.replaced == ()


def test_guidances_accumulate_in_order(registry: Registry) -> None:
    selection = registry.select(["limit", "heun", "cfg"])
    assert spellings(selection.of("guidance")) == ["guidance.limit", "guidance.cfg"]


def test_a_selection_takes_more_plugins_after_its_own(registry: Registry) -> None:
    selection = registry.select(["heun", "unipc"]).plus(registry.select(["edm"]).plugins)
    assert spellings(selection.plugins) == ["solver.unipc", "objective.edm", "schedule.edm"]
    assert [spellings(pair) for pair in selection.replaced] == [["solver.heun", "solver.unipc"]]


def test_nothing_selected_is_an_empty_selection(registry: Registry) -> None:
    assert registry.select([]) == Selection()


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("digits", "digits"), ("model.digits", "digits"), ("model.absent", "absent")],
)
def test_a_model_is_not_among_the_plugins(registry: Registry, spelling: str, name: str) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' is a model .* select it with --model {name}$"):
        registry.select([spelling])


@pytest.mark.parametrize(
    ("spelling", "says"),
    [
        ("unipcc", "there is no plugin 'unipcc'; did you mean 'unipc'?"),
        ("UniPC", "did you mean 'unipc'?"),
        ("solver.unpic", "there is no solver 'unpic'; did you mean 'unipc'?"),
        ("solvr.unipc", "there is no plugin 'solvr.unipc'; did you mean 'solver.unipc'"),
        ("solver.edm", "there is objective.edm@kernel-ours, schedule.edm@kernel-ours"),
        ("unipc@lab-z", "in the distribution 'lab-z'; there is solver.unipc@kernel-ours"),
        ("qqqqqqqq", "there is no plugin 'qqqqqqqq'; `kernel plugins` lists what is installed"),
        ("", "'' is not the name of a plugin; write [KIND.]NAME[@DISTRIBUTION]"),
        ("unipc@", "'unipc@' is not the name of a plugin"),
    ],
)
def test_an_unknown_name_is_told_with_near_misses(
    registry: Registry, spelling: str, says: str
) -> None:
    with pytest.raises(UsageError) as raised:
        registry.select([spelling])
    assert says in str(raised.value)
    assert raised.value.exit_code == 2


def test_with_nothing_installed_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no plugins are installed; `pip install` a distribution"):
        Registry.scan(path=[str(tmp_path)]).select(["unipc"])


def test_two_distributions_with_the_same_plugin_are_an_error(site: Any) -> None:
    with pytest.raises(UsageError) as raised:
        scan_with_lab(site).select(["unipc"])
    assert "solver.unipc@kernel-ours, solver.unipc@lab-b" in str(raised.value)
    assert '"solver.unipc" = "lab-b" under [prefer]' in str(raised.value)


def test_the_qualified_spelling_settles_a_conflict(site: Any) -> None:
    selection = scan_with_lab(site).select(["unipc@lab-b"])
    assert [info.qualified for info in selection.plugins] == ["solver.unipc@lab-b"]


def test_a_preference_settles_a_conflict(site: Any) -> None:
    registry = scan_with_lab(site, solver_unipc="Lab_B")
    assert registry.select(["unipc"]).plugins[0].qualified == "solver.unipc@lab-b"
    assert registry.pick("unipc", "solver").qualified == "solver.unipc@lab-b"


def test_a_spelled_out_distribution_beats_a_preference(site: Any) -> None:
    registry = scan_with_lab(site, solver_unipc="lab-b")
    assert registry.select(["unipc@kernel-ours"]).plugins[0].distribution == "kernel-ours"


def test_a_preference_for_one_kind_leaves_the_other_kinds_of_a_bare_name(site: Any) -> None:
    site.install("kernel-ours", OURS)
    site.install("lab-b", {"objective.edm": "lab_b"})
    registry = Registry.scan({"objective.edm": "lab-b"}, site.path)
    assert [info.qualified for info in registry.select(["edm"]).plugins] == [
        "objective.edm@lab-b",
        "schedule.edm@kernel-ours",
    ]


def test_a_bare_name_never_mixes_two_distributions_by_itself(site: Any) -> None:
    site.install("kernel-ours", OURS)
    site.install("lab-b", {"task.heun": "lab_b"})
    with pytest.raises(UsageError, match=r"solver.heun@kernel-ours, task.heun@lab-b"):
        Registry.scan(path=site.path).select(["heun"])


@pytest.mark.parametrize("prefer", [{"solver_unipc": "lab-z"}, {"solver_unpic": "lab-b"}])
def test_a_preference_for_something_absent_is_an_error(site: Any, prefer: dict[str, str]) -> None:
    registry = scan_with_lab(site, **prefer)
    with pytest.raises(UsageError, match=r"\[prefer\] says .*(there is|did you mean) .*unipc"):
        registry.select(["heun"])


def test_the_same_guidance_of_another_distribution_replaces(site: Any) -> None:
    site.install("kernel-ours", OURS)
    site.install("lab-b", {"guidance.cfg": "lab_b"})
    selection = Registry.scan(path=site.path).select(["cfg@kernel-ours", "cfg@lab-b"])
    assert [info.qualified for info in selection.plugins] == ["guidance.cfg@lab-b"]
    assert len(selection.replaced) == 1


def test_pick_refuses_another_kind(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"'solver.heun' is a solver where a task is needed"):
        registry.pick("solver.heun", "task")


def load(site: Any, code: str, entry: str = "solver.mine", module: str = "lab_code") -> type:
    site.install("lab-b", {entry: module}, {f"{module}.py": code}, version="2.1")
    registry = Registry.scan(path=site.path)
    return registry.load(registry.plugins[0])


def test_load_returns_the_class_that_the_hook_offers(site: Any) -> None:
    component = load(site, SOLVER)
    assert issubclass(component, Solver)
    assert component.__name__ == "Mine"


def test_load_asks_for_the_name_of_the_entry(site: Any) -> None:
    with pytest.raises(PluginError, match="returned None for the name 'yours'"):
        load(site, SOLVER, "solver.yours")


IMPORTS = "from kernel import Objective, Solver, hookimpl\n"
BAD = {
    "raises": ("raise ValueError('one\\n two')", "ValueError: one two at "),
    "needs something": ("import not_there_at_all", "No module named 'not_there_at_all' at "),
    "recurses": ("def f():\n    f()\nf()", "raised RecursionError: maximum recursion depth"),
    "exits": ("import sys\nsys.exit(3)", "raised SystemExit: 3 at "),
    "ends the process": ("import os\nos._exit(0)", "raised SystemExit: os._exit(0) at "),
    "ends it by a name of its own": (
        "from os import _exit\n_exit(0)",
        "raised SystemExit: os._exit(0) at ",
    ),
    "no Python": ("x = 1\ndef (:", "lab_code.py:2;"),
    "hook that does not exist": (
        IMPORTS + "@hookimpl\ndef solvr(name):\n    pass",
        "there is no hook 'solvr'; did you mean 'solver'",
    ),
    "argument that does not exist": (
        IMPORTS + "@hookimpl\ndef solver(nam):\n    pass",
        "does not match the specification",
    ),
    "no hook": ("x = 1", "no hook implementation called 'solver'"),
    "hook of another kind": (
        IMPORTS + "@hookimpl\ndef objective(name):\n    pass",
        "no hook implementation called 'solver'",
    ),
    "hook raises": (
        IMPORTS + "@hookimpl\ndef solver(name):\n    1 / 0",
        "raised ZeroDivisionError",
    ),
    "hook exits": (IMPORTS + "@hookimpl\ndef solver(name):\n    exit(4)", "raised SystemExit: 4"),
    "hook ends the process": (
        IMPORTS + "import os\n@hookimpl\ndef solver(name):\n    os._exit(0)",
        "its hook 'solver' raised SystemExit: os._exit(0) at ",
    ),
    "None": (IMPORTS + "@hookimpl\ndef solver(name):\n    pass", "returned None for the name"),
    "an instance": (
        IMPORTS + "@hookimpl\ndef solver(name):\n    return Solver()",
        "not a subclass of kernel.Solver",
    ),
    "wrong kind": (
        IMPORTS + "@hookimpl\ndef solver(name):\n    return Objective",
        "not a subclass of kernel.Solver",
    ),
    "no docstring": (
        IMPORTS + "class Mine(Solver):\n    pass\n@hookimpl\ndef solver(name):\n    return Mine",
        "its class Mine has no docstring",
    ),
}


@pytest.fixture(autouse=True)
def shield_is_gone() -> Iterator[None]:
    """Hold every test to leaving `os._exit` as it was."""
    before = os._exit
    yield
    assert os._exit is before


def test_a_process_that_a_plugin_forks_may_end(site: Any) -> None:
    code = "import os\nif not (child := os.fork()):\n    os._exit(7)\n"
    status = "ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\nassert ended == 7\n"
    assert load(site, code + status + dedent(SOLVER)).__name__ == "Mine"


@pytest.mark.parametrize("why", BAD)
def test_a_broken_plugin_is_an_error_with_owner_place_cause_and_remedy(site: Any, why: str) -> None:
    code, says = BAD[why]
    with pytest.raises(PluginError) as raised:
        load(site, code)
    message = str(raised.value)
    assert message.startswith("solver.mine of lab-b 2.1 (")
    assert str(site.folder / "lab_code.py") in message
    assert says in message
    assert "`kernel check solver.mine`" in message
    assert "\n" not in message


def test_what_a_plugin_requires_here_and_is_not_installed_is_named(site: Any) -> None:
    info = site.install("lab-b", {"solver.mine": "lab_code"}, {"lab_code.py": "import gone\n"})
    lines = ["gone>=2 ; python_version >= '3'", "old ; python_version < '3'", "click", "not one!"]
    with (info / "METADATA").open("a") as file:
        file.writelines(f"Requires-Dist: {line}\n" for line in lines)
    registry = Registry.scan(path=site.path)
    with pytest.raises(PluginError, match=r"; `pip install 'gone>=2'` installs what it"):
        registry.load(registry.plugins[0])


def test_the_line_of_the_plugin_that_failed_is_named(site: Any) -> None:
    with pytest.raises(PluginError, match=r"lab_code.py:3; `kernel check"):
        load(site, "import os\n\nos.environ['not there at all']\n")


def test_ctrl_c_is_not_the_fault_of_a_plugin(site: Any) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^while solver.mine of lab-b 2.1 was loaded; "):
        load(site, "raise KeyboardInterrupt")


def test_what_a_plugin_prints_is_not_our_output(site: Any, capsys: Any) -> None:
    load(
        site, "print('imported')\n" + dedent(SOLVER).replace("return", "print('asked')\n    return")
    )
    assert capsys.readouterr() == ("", "imported\nasked\n")


def test_a_plugin_whose_module_is_gone(site: Any) -> None:
    site.install("lab-b", {"solver.mine": "lab_gone.solver"})
    registry = Registry.scan(path=site.path)
    with pytest.raises(
        PluginError, match=r"solver.mine of lab-b 1.0 \(lab_gone.solver\).*No modul"
    ):
        registry.load(registry.plugins[0])


def test_one_module_may_offer_several_names_and_kinds(site: Any) -> None:
    code = """
        from kernel import Schedule, Solver, hookimpl
        class A(Solver):
            "A."
        class B(Solver):
            "B."
        class C(Schedule):
            "C."
        @hookimpl
        def solver(name):
            return {"a": A, "b": B}[name]
        @hookimpl
        def schedule():
            return C
    """
    entries = {"solver.a": "lab_many", "solver.b": "lab_many", "schedule.a": "lab_many"}
    site.install("lab-b", entries, {"lab_many.py": code})
    registry = Registry.scan(path=site.path)
    loaded = {info.spelling: registry.load(info).__name__ for info in registry.plugins}
    assert loaded == {"solver.a": "A", "solver.b": "B", "schedule.a": "C"}


@pytest.mark.slow
def test_the_working_directory_offers_no_code(site: Any, tmp_path: Path) -> None:
    site.install("lab-b", {"solver.mine": "lab_cwd"})
    (tmp_path / "lab_cwd.py").write_text("open('imported', 'w').close()\n")
    done = site.run("plugins", "mine", cwd=tmp_path)
    assert done.returncode == 3
    assert "No module named 'lab_cwd'" in " ".join(done.stdout.split())
    assert not (tmp_path / "imported").exists()


def test_locate_finds_modules_and_folders_and_imports_no_parent(site: Any) -> None:
    bomb = "raise RuntimeError('imported')"
    files = {"lab_pack/__init__.py": bomb, "lab_pack/a.py": bomb, "lab_pack/data/deep/x.txt": ""}
    site.install("lab-b", {}, files)
    assert locate("lab_pack") == site.folder / "lab_pack"
    assert locate("lab_pack.a") == site.folder / "lab_pack" / "a.py"
    assert locate("lab_pack.data.deep") == site.folder / "lab_pack" / "data" / "deep"


def test_locate_finds_folders_in_a_namespace_package(site: Any) -> None:
    site.install("lab-b", {}, {"lab_space/inner/deep/x.txt": ""})
    assert locate("lab_space") == site.folder / "lab_space"
    assert locate("lab_space.inner.deep") == site.folder / "lab_space" / "inner" / "deep"


def test_locate_returns_none_inside_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ZipFile(tmp_path / "lab.zip", "w") as archive:
        archive.writestr("lab_zipped.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "lab.zip"))
    assert locate("lab_zipped") is None


@pytest.mark.parametrize("module", ["not_there", "not_there.at.all", "sys", "os.path.x", "json.no"])
def test_locate_returns_none_for_what_is_not_on_disk(module: str) -> None:
    assert locate(module) is None
