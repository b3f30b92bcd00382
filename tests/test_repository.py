"""The documents say what the code does."""

from __future__ import annotations

import difflib
import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import kernel
from kernel.api import ELSEWHERE
from kernel.kinds import KINDS, specification
from kernel.kinds.model import Manifest, Origin, Trained
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing.projects import Names, new_project

MODULE = re.compile(r"`(kernel\.[.\w]+)`")
ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "contrib" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPECIFIED = {
    name: value for name, value in vars(specification()).items() if hasattr(value, "kernel_spec")
}
HOOKS = sorted(set(SPECIFIED) & set(KINDS))
BUILDING = sorted(set(SPECIFIED) - set(KINDS))
SHIPPED = [
    info
    for info in Registry.scan().plugins
    if info.distribution == "kernel-audio-plugins" and info.kind != "model"
]


def test_the_generated_parts_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="__main__")


def test_the_reference_of_model_toml_has_every_field_and_valid_examples() -> None:
    page = (ROOT / "docs" / "model-toml.md").read_text("utf-8")
    for record in (Manifest, Trained, Origin):
        for name, field in record.model_fields.items():
            assert field.description, f"{record.__name__}.{name}"
            assert re.search(rf"^\| `{name}` \| .*{re.escape(field.description)}", page, re.M), name
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert Manifest.model_validate(tomllib.loads(example)).network


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    for target in targets:
        place, _, heading = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        assert linked.exists(), target
        if heading:
            assert heading in anchors(linked.read_text("utf-8")), target


def anchors(text: str) -> set[str]:
    """Return the anchors that the headings of a page have."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("kind", HOOKS)
def test_every_hook_has_a_page_with_its_exact_signature(kind: str) -> None:
    parameters = inspect.signature(SPECIFIED[kind])
    heading = (ROOT / "docs" / "hooks" / f"{kind}.md").read_text("utf-8").splitlines()[0]
    assert heading == f"# `{kind}{parameters}`".replace("'", "")
    assert KINDS.index(kind) >= 0


@pytest.mark.parametrize("name", BUILDING)
def test_every_hook_of_building_has_its_exact_signature_on_the_page_of_wrappers(name: str) -> None:
    heading = f"## `{name}{inspect.signature(SPECIFIED[name])}`".replace("'", "")
    page = (ROOT / "docs" / "hooks" / "wrapper.md").read_text("utf-8").splitlines()
    assert heading in page


def test_every_page_of_a_hook_is_of_a_hook() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "hooks").glob("*.md")}
    assert pages == set(HOOKS) == set(KINDS) - {"model"}


@pytest.mark.parametrize("info", SHIPPED, ids=lambda info: info.spelling)
def test_every_component_has_its_place_in_a_page(info: PluginInfo) -> None:
    page = (ROOT / "docs" / "plugins" / f"{info.kind}.md").read_text("utf-8")
    assert f"\n## `{info.name}`\n" in page


def test_every_public_name_is_in_the_promise() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in set(kernel.__all__) - {"API", "__version__"}:
        assert re.search(rf"^\| `{name}[`(]", page, re.MULTILINE), name


def test_the_tooling_api_is_the_one_that_the_import_contract_allows() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    rows = page[page.index("## The tooling API") : page.index("## Requirements")]
    told = {name for row in rows.splitlines() if row[:2] == "| " for name in MODULE.findall(row)}
    contracts = (ROOT / "importlinter.ini").read_text("utf-8")
    allowed = set(re.findall(r"\*\* -> (kernel[.\w]*\w)$", contracts, re.MULTILINE))
    assert told - {"kernel.kinds.model"} == allowed


def test_the_readme_shows_the_guides_plugin() -> None:
    source = "\n".join(both_solvers()[1])
    method = source[source.index("    def steps(") : source.index("\n\n\n@hookimpl")]
    assert f"```python\n{method}\n```" in README


def test_the_guides_plugin_takes_at_most_twenty_lines() -> None:
    changed = [line for line in difflib.ndiff(*both_solvers()) if line.startswith("+ ")]
    assert 0 < len([line for line in changed if line[2:].strip()]) <= 20


def test_the_guides_project_is_what_kernel_new_writes(tmp_path: Path) -> None:
    written = new_project(Names("kernel-audio-ab2"), "solver").write(tmp_path)
    places = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert len(places) == 7
    for place in places:
        kept = ROOT / "contrib" / "kernel-audio-ab2" / place
        assert place.name == "solver.py" or kept.read_bytes() == (written / place).read_bytes()


def both_solvers() -> tuple[list[str], list[str]]:
    """Return the lines of the solver that `kernel new` writes and of the one in contrib."""
    template = (
        files("kernel_audio_testing.projects.templates").joinpath("solver.py").read_text("utf-8")
    )
    written = template.replace("Mine", "Ab2").replace("mine", "ab2")
    project = ROOT / "contrib" / "kernel-audio-ab2" / "kernel_audio_ab2"
    return written.splitlines(), (project / "solver.py").read_text("utf-8").splitlines()


def tracked() -> dict[str, int]:
    """Return the size of every file of the tree, by its path."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone, so git cannot say which files belong to the tree")
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    return {name: (ROOT / name).stat().st_size for name in names}


ROOMS = {
    "cli": ["kernel/cli"],
    "Python": ["kernel/api", "kernel/player"],
    "runner": ["kernel/runner"],
    "kinds, values": [
        "kernel/kinds",
        "kernel/__init__",
        "kernel/items",
        "kernel/values",
    ],
    "registry": [
        *("kernel/_identity", "kernel/_load", "kernel/_recommend", "kernel/_scan"),
        *("kernel/models", "kernel/registry"),
    ],
}
"""The rooms that the picture in the README counts, by how their files' names begin."""


def test_the_house_has_as_many_lines_as_its_picture_says() -> None:
    lines = {
        name: len((ROOT / name).read_text("utf-8").splitlines())
        for name in tracked()
        if name.startswith("kernel/") and name.endswith(".py")
    }
    assert max(lines.values()) <= 400
    # The design says 7,000; the kernel may shrink from here and not grow.
    assert sum(lines.values()) <= 8745
    rest = sum(lines.values())
    said = dict(re.findall(r"<b>([\w, ]+)</b>: ([\d,]+) lines", README))
    for room, places in ROOMS.items():
        found = sum(count for name, count in lines.items() if name.startswith(tuple(places)))
        rest -= found
        assert abs(found - int(said[room].replace(",", ""))) <= 100, (room, found)
    assert abs(rest - int(said["assembly, denoiser, records"].replace(",", ""))) <= 100, rest


def test_the_kernel_knows_who_brings_each_command() -> None:
    projects = [ROOT / "plugins" / "pyproject.toml", *(ROOT / "contrib").glob("*/pyproject.toml")]
    offered = {}
    for project in (tomllib.loads(each.read_text("utf-8"))["project"] for each in projects):
        entries = project.get("entry-points", {}).get("kernel.v1", {})
        names = sorted(name[8:] for name in entries if name.startswith("command."))
        offered |= {project["name"]: tuple(names)} if names else {}
    assert offered == ELSEWHERE


def test_the_tree_is_light() -> None:
    sizes = tracked()
    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert sum(sizes.values()) < 120_000_000
    assert sum(sizes.values()) - sum(weights.values()) < 12_000_000
    shipped = [size for name, size in weights.items() if name.startswith("plugins/")]
    assert sum(shipped) < 20_000_000
    assert all(size < 12_000_000 for size in weights.values())


def test_every_pack_in_contrib_has_its_licence_and_attribution() -> None:
    manifests = sorted((ROOT / "contrib").glob("*/kernel_audio_*/model.toml"))
    assert manifests
    for path in manifests:
        manifest = tomllib.loads(path.read_text("utf-8"))
        readme = (path.parent.parent / "README.md").read_text("utf-8")
        assert manifest["licence"] in readme and manifest["attribution"] in readme
        assert set(manifest["distributions"].values()) == {"kernel-audio-plugins"}
