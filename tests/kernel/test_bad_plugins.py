"""Installed distributions that are wrong, as a user meets them on the command line.

What each may do to the scan and to loading is in `test_registry.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SOLVER = """
    from kernel import Solver, hookimpl

    class Mine(Solver):
        "Do nothing."

    @hookimpl
    def solver():
        return Mine
"""

ON_IMPORT = {
    "exits": ("import sys\nsys.exit(0)", "raised SystemExit: 0"),
    "ends the process": ("import os\nos._exit(0)", "raised SystemExit: os._exit(0) at "),
    "recurses": ("def f():\n    f()\nf()", "raised RecursionError: maximum recursion depth"),
    "needs something": ("import not_there", "raised ModuleNotFoundError: No module named 'not_t"),
    "raises": ("print('\\0garbage' * 1000)\n1 / 0", "raised ZeroDivisionError: division by zero"),
    "is no Python": ("def f(:", "raised SyntaxError"),
}


def wheel(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    entries: str = "",
    requires: str = "",
    version: str = "1.0",
) -> Path:
    """Build a wheel, as any build backend would."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {place: dedent(text) for place, text in modules.items()} | {
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[kernel.v1]\n{entries}\n",
    }
    rows = []
    for place, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{place},sha256={digest.decode()},{len(text.encode())}")
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,", ""]))
    return path


def pip_install(site: Any, path: Path) -> None:
    """Install a wheel with pip, which asks nobody for what it requires."""
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--target"]
    command = [sys.executable, "-m", "pip", "install", *options, str(site.folder), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def sentence(done: Any, code: int) -> str:
    """Return what a command said when it ended with `code`: one sentence, no traceback."""
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("kernel: ")
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


def test_what_plugins_do_on_import_is_no_matter_to_the_list(site: Any) -> None:
    bad = {why.replace(" ", "-"): code for why, (code, _) in ON_IMPORT.items()}
    bad["hangs"] = "import time\ntime.sleep(600)"
    files = {f"lab_{index}.py": code for index, code in enumerate(bad.values())}
    entries = {f"solver.{name}": f"lab_{index}" for index, name in enumerate(bad)}
    site.install("lab-b", entries, files)
    done = site.run("plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [each["name"] for each in json.loads(done.stdout)["plugins"]]
    assert set(bad) <= set(found)


@pytest.mark.parametrize("why", ON_IMPORT)
def test_a_run_that_names_a_broken_plugin_stops_and_says_whose_it_is(
    site: Any, tmp_path: Path, why: str
) -> None:
    code, cause = ON_IMPORT[why]
    site.install("lab-b", {"solver.bad": "lab_bad"}, {"lab_bad.py": code}, version="2.1")
    done = site.run("run", "--plugins", "solver.bad", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kernel: solver.bad of lab-b 2.1 (")
    assert f"{site.folder}/lab_bad.py" in last
    assert cause in last
    assert "`kernel check solver.bad` says more" in last
    assert list(tmp_path.glob("runs/*")) == []


LATER = {
    "checks its options": (
        """
        @model_validator(mode="before")
        def end(given):
            os._exit(0)
        """,
        "kernel: wrapper.bad of lab-b 1.0 (",
        "checking its options raised SystemExit: os._exit(0) at ",
    ),
    "builds": (
        """
        @hookimpl(wrapper=True)
        def build_solver(self, component):
            yield sys.exit(0)
        """,
        "kernel: solver.unipc of kernel-audio-plugins ",
        "building it with wrapper.bad@lab-b around it raised SystemExit: 0 at ",
    ),
}


@pytest.mark.parametrize("when", LATER)
def test_a_plugin_that_ends_the_process_later_is_named_too(
    site: Any, tmp_path: Path, when: str
) -> None:
    method, begins, cause = LATER[when]
    head = "import os, sys\nfrom kernel import Wrapper, hookimpl\n"
    head += "from pydantic import model_validator\n\nclass Bad(Wrapper):\n    'End the process.'\n"
    code = head + indent(dedent(method), "    ") + "\n@hookimpl\ndef wrapper():\n    return Bad\n"
    site.install("lab-b", {"wrapper.bad": "lab_bad"}, {"lab_bad.py": code})
    done = site.invoke("run", "--plugins", "wrapper.bad,unipc", "--out", str(tmp_path))
    says = sentence(done, 3)
    assert says.startswith(begins) and cause in says


@pytest.mark.parametrize(
    "code", ["import time\ntime.sleep(600)", "raise KeyboardInterrupt", "import os\nos.abort()"]
)
def test_a_check_survives_what_nothing_can_catch(site: Any, code: str) -> None:
    site.install("lab-b", {"solver.bad": "lab_bad"}, {"lab_bad.py": code})
    done = site.run("check", "solver.bad", "--json", "--timeout", "4")
    assert done.returncode == 3
    (report,) = json.loads(done.stdout)["plugins"]
    assert report["status"] == "unusable"
    assert "solver.bad@lab-b cannot be used: loading it " in report["error"]


def test_a_plugin_that_hangs_leaves_ctrl_c_to_the_user(site: Any, tmp_path: Path) -> None:
    code = "import time\nopen('begun', 'w').close()\ntime.sleep(600)"
    site.install("lab-b", {"solver.bad": "lab_bad"}, {"lab_bad.py": code})
    process = subprocess.Popen(
        [Path(sysconfig.get_path("scripts")) / "kernel", "run", "--plugins", "solver.bad"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert stderr.startswith("kernel: interrupted")
    assert stderr.count("\n") == 1


def test_what_a_plugin_prints_does_not_spoil_the_answer_for_programs(site: Any) -> None:
    code = "print('{garbage')\n" + dedent(SOLVER)
    site.install("lab-b", {"solver.loud": "lab_loud"}, {"lab_loud.py": code})
    done = site.run("plugins", "solver.loud", "--json")
    assert json.loads(done.stdout)[0]["doc"] == "Do nothing."
    assert done.stderr == "{garbage\n"


def test_a_plugin_without_what_it_requires(site: Any, tmp_path: Path) -> None:
    modules = {"lab_needs.py": "import not_there\n"}
    path = wheel(tmp_path, "lab-b", modules, "solver.needs = lab_needs", "not-there-at-all>=2")
    pip_install(site, path)
    says = sentence(site.invoke("run", "--plugins", "solver.needs"), 3)
    assert "ModuleNotFoundError: No module named 'not_there' at " in says
    assert "; `pip install 'not-there-at-all>=2'` installs what it requires" in says


def test_two_plugins_that_import_each_other(site: Any) -> None:
    for one, other in (("left", "right"), ("right", "left")):
        modules = {f"lab_{one}.py": f"from lab_{other} import there\nhere = there = 1\n"}
        site.install(f"lab-{one}", {f"solver.{one}": f"lab_{one}"}, modules)
    for name in ("left", "right"):
        says = sentence(site.invoke("run", "--plugins", f"solver.{name}"), 3)
        assert says.startswith(f"kernel: solver.{name} of lab-{name} 1.0 (")
        assert f"partially initialized module 'lab_{name}' (most likely due to a circular" in says


def test_an_old_egg_info_beside_an_editable_install(site: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    stale = source / "lab_b.egg-info"
    stale.mkdir(parents=True)
    (source / "lab_new.py").write_text(dedent(SOLVER))
    (stale / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: lab-b\nVersion: 0.9\n")
    (stale / "entry_points.txt").write_text("[kernel.v1]\nsolver.gone = lab_gone\n")
    site.install("lab-b", {"solver.new": "lab_new"}, editable=True)
    (site.folder / "lab_b.pth").write_text(f"{source}\n")
    code = "import site, sys; site.addsitedir(sys.argv.pop(1)); from kernel.cli import main; main()"

    def kernel(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", code, str(site.folder), *args]
        environment = {**os.environ, "PYTHONPATH": str(site.folder)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    listing = json.loads(kernel("plugins", "--json").stdout)
    ours = [each for each in listing["plugins"] if each["distribution"] == "lab-b"]
    assert [(each["name"], each["version"]) for each in ours] == [("new", "1.0")]
    (problem,) = [each for each in listing["problems"] if "lab-b" in each]
    assert f"lab-b is installed twice, 1.0 in {site.folder} and 0.9 in {source}" in problem
    assert kernel("plugins", "solver.new").returncode == 0


def test_a_plugin_for_the_next_major(site: Any) -> None:
    site.install("lab-b", {"solver.next": "lab_next"}, {"lab_next.py": "1 / 0"}, api=2)
    says = sentence(site.invoke("run", "--plugins", "solver.next"), 2)
    assert "lab-b 1.0 offers it for kernel.v2 and this kernel loads kernel.v1; upgrade" in says


def test_another_distribution_that_installs_a_package_called_kernel(
    site: Any, tmp_path: Path
) -> None:
    pip_install(site, wheel(tmp_path, "Kernel.Other", {"kernel/__init__.py": "theirs = True\n"}))
    done = site.invoke("plugins", "--json")
    assert done.exit_code == 0
    assert "distribution kernel.other installs a package named 'kernel'" in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    json.loads(done.stdout)


def test_what_is_left_of_an_older_kernel_is_no_second_owner(site: Any) -> None:
    info = site.install("kernel-audio", "", {"kernel/__init__.py": ""})
    info.rename(info.with_name("~ernel_audio-1.0.dist-info"))
    assert site.invoke("plugins", "--json").stderr == ""


def test_one_name_twice_within_a_distribution(site: Any) -> None:
    site.install("lab-b", "[kernel.v1]\nsolver.x = lab_a\nsolver.x = lab_b\n")
    listing = json.loads(site.invoke_alone("plugins", "--json").stdout)
    assert [each["target"] for each in listing["plugins"]] == ["lab_b"]
    assert "'solver.x' is there twice, and the last one counts" in listing["problems"][0]


def test_one_name_in_two_distributions(site: Any) -> None:
    for name in ("lab-a", "lab-b"):
        site.install(name, {"solver.x": name.replace("-", "_")})
    says = sentence(site.invoke("run", "--plugins", "x"), 2)
    assert "solver.x@lab-a, solver.x@lab-b; use one of these spellings" in says
    assert '"solver.x" = "lab-a" or "solver.x" = "lab-b" under [prefer]' in says


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("lab_gone", "No module named 'lab_gone'"),
        ("lab_here.gone", "No module named 'lab_here.gone'; 'lab_here' is not a package"),
        ("json", "its module has no hook implementation called 'solver'"),
    ],
    ids=["no module", "no module within", "another's module"],
)
def test_an_entry_point_that_points_nowhere(site: Any, target: str, cause: str) -> None:
    site.install("lab-b", {"solver.nowhere": target}, {"lab_here.py": ""})
    says = sentence(site.invoke("run", "--plugins", "solver.nowhere"), 3)
    assert says.startswith("kernel: solver.nowhere of lab-b 1.0 (")
    assert cause in says


def test_metadata_of_a_stranger_that_is_no_text_hides_nothing(site: Any, tmp_path: Path) -> None:
    stranger = site.install("a-stranger", "[console_scripts]\nx = y\n")
    for name in ("METADATA", "RECORD", "entry_points.txt"):
        (stranger / name).write_bytes(b"\xff\xfe\x00[[[")
    (site.folder / "b_stranger-1.0.dist-info").write_text("a file where a folder should be")
    pip_install(site, wheel(tmp_path, "lab-b", {"lab_mine.py": SOLVER}, "solver.mine = lab_mine"))
    listing = json.loads(site.invoke_alone("plugins", "--json").stdout)
    assert [each["name"] for each in listing["plugins"]] == ["mine"]
    assert listing["problems"] == []
    assert site.invoke("plugins", "solver.mine").exit_code == 0
