from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import kernel
from kernel import provenance
from kernel.provenance import (
    content_hash,
    describe,
    describe_kernel,
    folder_hash,
    library_versions,
    requirements,
)
from kernel.registry import Registry

FILES = {"lab_code/__init__.py": "", "lab_code/a.py": "x = 1\n", "lab_code/b.bin": b"1"}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for cached in ("_distribution", "_installed_hash", "_sources_hash"):
        getattr(provenance, cached).cache_clear()


def described(site: Any, prefer: dict[str, str] | None = None) -> dict[str, Any]:
    for cached in ("_distribution", "_installed_hash", "_sources_hash"):
        getattr(provenance, cached).cache_clear()
    registry = Registry.scan(prefer, site.path)
    return describe(registry.plugins[0], registry)


def install(site: Any, editable: bool = False) -> Path:
    info: Path = site.install(
        "lab-b", {"solver.a": "lab_code.a"}, FILES, version="2.1", editable=editable
    )
    return info


@pytest.mark.parametrize("editable", [False, True])
def test_describe_names_the_owner_and_imports_nothing(site: Any, editable: bool) -> None:
    install(site, editable)
    record = described(site)
    assert record.pop("hash").startswith("sha256:")
    assert record == {
        "kind": "solver",
        "name": "a",
        "distribution": "lab-b",
        "version": "2.1",
        "editable": editable,
    }


@pytest.mark.parametrize(
    ("editable", "changed", "counts"),
    [
        (False, "lab_code/a.py", True),
        (False, "lab_code/b.bin", True),
        (False, "lab_b-2.1.dist-info/entry_points.txt", True),
        (False, "lab_b-2.1.dist-info/METADATA", False),
        (False, "lab_code/not_recorded.py", False),
        (True, "lab_code/a.py", True),
        (True, "lab_code/deep/new.py", True),
        (True, "lab_code/b.bin", True),
        (True, "lab_code/__pycache__/a.cpython-311.pyc", False),
        (True, "lab_code/a.pyc", False),
        (True, "lab_code/.a.py.swp", False),
        (True, "lab_code/.cache/notes", False),
    ],
)
def test_the_hash_follows_the_content(
    site: Any, editable: bool, changed: str, counts: bool
) -> None:
    install(site, editable)
    before = described(site)["hash"]
    assert described(site)["hash"] == before
    path = site.folder / changed
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write("\n")
    assert (described(site)["hash"] != before) == counts


def test_a_recorded_file_that_is_gone_changes_the_hash(site: Any) -> None:
    install(site)
    before = described(site)["hash"]
    (site.folder / "lab_code" / "a.py").unlink()
    assert described(site)["hash"] != before


def test_the_hash_does_not_depend_on_the_place_or_the_installer(site: Any) -> None:
    info = install(site)
    before = described(site)["hash"]
    (site.folder / "lab_code" / "a.pyc").write_text("compiled here")
    rows = (info / "RECORD").read_text().splitlines()
    rows += ["lab_code/a.pyc,,", "../../bin/lab,sha256=abc,3"]
    rows += ["lab_b-2.1.dist-info/INSTALLER,sha256=abc,3"]
    (info / "RECORD").write_text("\n".join(reversed(rows)) + "\n")
    assert described(site)["hash"] == before


def test_a_single_module_can_be_editable(site: Any) -> None:
    site.install("lab-b", {"solver.a": "lab_single"}, {"lab_single.py": "x = 1"}, editable=True)
    before = described(site)["hash"]
    (site.folder / "lab_single.py").write_text("x = 2")
    assert described(site)["hash"] != before


def test_sources_that_are_gone_have_no_hash(site: Any) -> None:
    site.install("lab-b", {"solver.a": "lab_gone"}, editable=True)
    assert described(site)["hash"] is None


def test_metadata_without_a_record_counts_as_editable(site: Any) -> None:
    (install(site) / "RECORD").unlink()
    assert described(site)["editable"] is True


def test_an_unreadable_direct_url_is_no_reason_to_fail(site: Any) -> None:
    (install(site) / "direct_url.json").write_text("{")
    assert described(site)["editable"] is False


def test_metadata_that_cannot_be_read_counts_as_missing(site: Any) -> None:
    info = install(site)
    (info / "METADATA").write_text((info / "METADATA").read_text(), "utf-16")
    for name in ("RECORD", "direct_url.json"):
        (info / name).unlink(missing_ok=True)
        os.mkfifo(info / name)
    assert described(site)["editable"] is True
    assert mine(requirements(["lab-b"])) == "lab-b"


def test_a_preference_is_recorded(site: Any) -> None:
    install(site)
    assert described(site, {"solver.a": "lab-b"})["preferred"] is True
    assert "preferred" not in described(site)


def test_a_folders_hash_leaves_caches_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = folder_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("2")
    assert folder_hash(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert folder_hash(tmp_path) != before


def test_an_input_has_the_sha256_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    assert content_hash(tmp_path / "a.wav") == f"sha256:{hashlib.sha256(b'sound').hexdigest()}"
    assert content_hash(tmp_path) == folder_hash(tmp_path)
    assert content_hash(tmp_path / "gone") is None


def test_the_kernel_describes_itself() -> None:
    assert describe_kernel() == {
        "version": kernel.__version__,
        "hash": folder_hash(Path(kernel.__file__).parent),
    }


def wheel(folder: Path, name: str = "lab-b", version: str = "2.1") -> Path:
    """Write a wheel that really installs."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    path = folder / f"{stem}-py3-none-any.whl"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lab_code.py", "x = 1\n")
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[kernel.v1]\nsolver.a = lab_code\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def pip(*arguments: object) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mine(lines: list[str]) -> str:
    """Return the line that is not about the kernel or torch."""
    (line,) = [line for line in lines if "lab" in line]
    return line


def test_a_distribution_from_an_index_is_pinned_by_its_version(site: Any) -> None:
    install(site)
    requirement = Requirement(mine(requirements(["lab-b"])))
    assert (requirement.name, str(requirement.specifier)) == ("lab-b", "==2.1")


def test_the_kernel_and_torch_are_always_required_and_the_order_is_fixed() -> None:
    lines = requirements(())
    assert [line for line in lines if line.startswith("torch")] == [
        f"{name}=={library_versions()[name]}" for name in ("torch", "torchaudio")
    ]
    assert len(lines) == 3
    assert requirements(["torch", "kernel-audio"]) == lines


DIRECT = {
    "editable": (
        {"url": "file:///lab/my%20code", "dir_info": {"editable": True}},
        "-e '/lab/my code'",
    ),
    "folder": ({"url": "file:///lab/code", "dir_info": {}}, "lab-b @ file:///lab/code"),
    "archive": (
        {"url": "https://lab.org/b.whl", "archive_info": {"hashes": {"sha256": "ab12"}}},
        "lab-b @ https://lab.org/b.whl#sha256=ab12",
    ),
    "repository": (
        {
            "url": "https://lab.org/b.git",
            "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": "c0ffee"},
            "subdirectory": "plugins/b",
        },
        "lab-b @ git+https://lab.org/b.git@c0ffee#subdirectory=plugins/b",
    ),
    "nonsense": (["lab"], "lab-b==2.1"),
}


@pytest.mark.parametrize("case", DIRECT)
def test_a_distribution_from_elsewhere_is_required_from_there(site: Any, case: str) -> None:
    given, line = DIRECT[case]
    (install(site) / "direct_url.json").write_text(json.dumps(given))
    assert mine(requirements(["lab-b"])) == line
    if line.startswith("-e"):
        assert shlex.split(line) == ["-e", "/lab/my code"]
    else:
        assert Requirement(line).name == "lab-b"


@pytest.mark.slow
def test_pip_takes_what_is_printed_for_what_pip_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    pip("install", "--no-deps", "--no-index", "--target", site, wheel(tmp_path))
    monkeypatch.syspath_prepend(str(site))
    line = mine(requirements(["lab-b"]))
    assert line.startswith("lab-b @ file://") and "#sha256=" in line
    file = tmp_path / "requirements.txt"
    file.write_text(f"{line}\n")
    assert "Would install lab-b-2.1" in pip(
        "install", "--dry-run", "--no-deps", "--no-index", "--target", tmp_path / "x", "-r", file
    )


def test_library_versions_are_those_of_the_requirements() -> None:
    versions = library_versions()
    assert versions["python"] == platform.python_version()
    assert versions["kernel-audio"] == kernel.__version__
    assert {"torch", "pluggy", "pydantic", "numpy"} <= versions.keys()
    assert list(versions) == ["python", *sorted(versions.keys() - {"python"})]
