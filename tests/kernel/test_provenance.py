from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kernel
from kernel import provenance
from kernel.provenance import describe, folder_hash, library_versions
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
        (True, "lab_code/b.bin", False),
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


def test_library_versions_are_those_of_the_requirements() -> None:
    versions = library_versions()
    assert versions["python"] == platform.python_version()
    assert versions["kernel-audio"] == kernel.__version__
    assert {"torch", "pluggy", "pydantic", "numpy"} <= versions.keys()
    assert list(versions) == ["python", *sorted(versions.keys() - {"python"})]
