"""A further component in a project that is there already."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

import kernel
from kernel.errors import InputError, OutputError, UsageError
from kernel.files import output_error, write_atomic
from kernel_audio_testing.projects._names import Names, component_name
from kernel_audio_testing.projects._new import check_kind, modules, use
from kernel_audio_testing.projects._project import TEST, TEST_LINE

__all__ = ["Addition", "addition"]

METADATA = "pyproject.toml"
TESTS = "tests/test_conformance.py"
GROUP = f"kernel.v{kernel.API}"
_HEADER = re.compile(
    rf"""^[ \t]*\[project\.entry-points\.["']{re.escape(GROUP)}["']\](?:.*\S)?""", re.MULTILINE
)
_ROW = re.compile(r"^[ \t]*[^#\s].*\S", re.MULTILINE)


@attrs.frozen
class Addition:
    """What a further component puts into a project.

    entries: its entry point. new: files that are not there yet, by their places. changed: files
    that are there and get a line more. play: the command that uses it.
    """

    folder: Path
    entries: Mapping[str, str]
    new: Mapping[str, str]
    changed: Mapping[str, str]
    play: str

    def commands(self, place: str) -> tuple[str, str, str]:
        """Return what to type when the project is at `place`: install, check, use."""
        (spelling,) = self.entries
        return f"pip install -e {place}", f"kernel check {spelling}", self.play

    def write(self) -> Path:
        """Write the files, the metadata last, and return the folder.

        Raises OutputError when a new file exists or one cannot be written; the project is then as
        it was.
        """
        for place in self.new:
            if (self.folder / place).exists():
                raise OutputError(
                    f"{self.folder / place} exists already and stays as it is; choose another "
                    "name with --name"
                )
        before = {place: (self.folder / place).read_bytes() for place in self.changed}
        try:
            for place, text in {**self.new, **self.changed}.items():
                (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self.folder / place, text.encode())
        except BaseException as error:
            with suppress(OSError, OutputError):
                for place in self.new:
                    (self.folder / place).unlink(missing_ok=True)
                for place, content in before.items():
                    write_atomic(self.folder / place, content)
            if isinstance(error, OSError):
                raise output_error(self.folder, error) from error
            raise
        return self.folder


def addition(folder: Path, kind: str, name: str | None = None) -> Addition:
    """Return a further component for the project in `folder`.

    name: by default that of the distribution without its prefix. Raises UsageError for a component
    that the project has or that cannot be added, and InputError for a folder that is no project.
    """
    check_kind(kind)
    if kind == "model":
        raise UsageError("a model is a project of its own; name one and leave out --into")
    text, project = _metadata(folder)
    entries = project.get("entry-points", {}).get(GROUP, {})
    names = Names(project["name"])
    names = attrs.evolve(
        names,
        package=_package(folder, entries, names.package),
        name=component_name(names.name if name is None else name),
    )
    spelling = f"{kind}.{names.name}"
    if spelling in entries:
        raise UsageError(f"{folder} offers {spelling} already; choose another name with --name")
    root = "src/" if (folder / "src" / names.package).is_dir() else ""
    files, module = _modules(folder / root / names.package, names, kind)
    place, test = _test(folder, names, kind)
    new = {f"{root}{names.package}/{file}": content for file, content in files.items()}
    changed = {METADATA: _with_entry(folder, text, spelling, f"{names.package}.{module}")}
    (changed if (folder / place).exists() else new)[place] = test
    # The metadata last: until then the project offers what it did.
    changed = dict(sorted(changed.items(), key=lambda item: item[0] == METADATA))
    entry = {spelling: f"{names.package}.{module}"}
    return Addition(folder, entry, new, changed, use(names, kind))


def _metadata(folder: Path) -> tuple[str, dict[str, Any]]:
    path = folder / METADATA
    try:
        text = path.read_bytes().decode()
        project = tomllib.loads(text)["project"]
        if not isinstance(project["name"], str):
            raise KeyError("name")
        return text, project
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path} is not the metadata of a project ({reason}); name the folder of one, or leave "
            "out --into to make one"
        ) from None


def _package(folder: Path, entries: Mapping[str, str], usual: str) -> str:
    """Return the package that holds the components. Raises InputError when there is none."""
    packages = [module.partition(".")[0] for module in entries.values()]
    for package in (*packages, usual):
        if any((folder / root / package).is_dir() for root in ("", "src")):
            return package
    raise InputError(f"{folder} has no folder {usual} for the module; make the package first")


def _modules(package: Path, names: Names, kind: str) -> tuple[dict[str, str], str]:
    """Return the files of the component, by names that are free, and its module."""
    texts = {place: text.decode() for place, text in modules(names, (kind,)).items()}
    del texts["__init__.py"]
    if not any((package / place).exists() for place in texts):
        return texts, kind
    suffix = f"_{names.identifier}"
    stems = [place.removesuffix(".py") for place in texts]
    own = re.compile(rf"\b{re.escape(names.package)}\.({'|'.join(stems)})\b")
    files = {
        place.removesuffix(".py") + f"{suffix}.py": own.sub(rf"\g<0>{suffix}", text)
        for place, text in texts.items()
    }
    return files, kind + suffix


def _test(folder: Path, names: Names, kind: str) -> tuple[str, str]:
    """Return the place and the text of the file with the test of the component."""
    identifier = f"{kind}_{names.identifier}"
    line = TEST_LINE.format(
        identifier=identifier, check=f"{kind}.{names.name}", distribution=names.distribution
    )
    path = folder / TESTS
    there = path.read_bytes().decode() if path.is_file() else ""
    if re.search(r"^from kernel_audio_testing import .*\bconformance\b", there, re.MULTILINE):
        return TESTS, f"{there.rstrip()}\n{line}"
    place = f"tests/test_{identifier}.py" if there else TESTS
    return place, TEST.format(name=names.name) + line


def _with_entry(folder: Path, text: str, spelling: str, module: str) -> str:
    """Return the metadata with one entry point more and everything else as it was."""
    line = f'"{spelling}" = "{module}"\n'
    header = _HEADER.search(text)
    if header is None:
        changed = f'{text.rstrip()}\n\n[project.entry-points."{GROUP}"]\n{line}'
    else:
        # Behind the last entry of the table, and before the comments of the one that follows.
        following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, header.end())
        stop = following.start() if following else len(text)
        rows = [row.end() for row in _ROW.finditer(text, header.end(), stop)]
        end = max(rows, default=header.end())
        changed = f"{text[:end]}\n{line.rstrip()}{text[end:]}"
    wanted = tomllib.loads(text)
    points = wanted["project"].setdefault("entry-points", {})
    points.setdefault(GROUP, {})[spelling] = module
    try:
        kept = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        kept = False
    if not kept:
        raise UsageError(
            f"{folder / METADATA} states its entry points in a form that cannot be added to; put "
            f'them under [project.entry-points."{GROUP}"], a line each'
        )
    return changed
