"""Plant faults in copies of shipped components and tell which of them the conformance kit catches.

`faults/KIND.toml` lists the faults of one kind: the component, what is wrong, and the replacement
of one place in one file of `plugins/`. Each fault is planted alone in a copy of the package, and
`kernel check` runs there. A fault is caught where a check fails. The checks that failed are written
to `faults/KIND.json`, and the table to `docs/kit.md`.

    python benchmarks/kit/plant.py schedule solver       # both kinds anew, then the table
    python benchmarks/kit/plant.py schedule --only 3     # the third fault of that kind
    python benchmarks/kit/plant.py --table               # only the table

`first/`, `second/` and `third/` have earlier lists, which showed what checks were missing;
`--list first` measures one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).resolve().parent / "faults"
PAGE = ROOT / "docs" / "kit.md"
MAIN = "from kernel.cli import main; main()"
BEGIN, END = "<!-- faults: written by benchmarks/kit/plant.py -->", "<!-- end of faults -->"


@attrs.frozen
class Fault:
    """A replacement of `old`, which stands once in `file`, by `new`. options: -o of the check."""

    component: str
    sentence: str
    file: str
    old: str
    new: str
    options: tuple[str, ...] = attrs.field(default=(), converter=tuple)

    def planted(self, source: str) -> str:
        """Return the source with the fault. Raises ValueError unless `old` stands there once."""
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.file}: {self.old!r} stands there {source.count(self.old)} times; "
                f"correct the fault {self.sentence!r}"
            )
        return source.replace(self.old, self.new)


def kinds(folder: Path = FAULTS) -> list[str]:
    """Return the kinds that have faults."""
    return sorted(place.stem for place in folder.glob("*.toml"))


def faults(kind: str, folder: Path = FAULTS) -> list[Fault]:
    """Return the faults of a kind."""
    text = (folder / f"{kind}.toml").read_text("utf-8")
    return [Fault(**each) for each in tomllib.loads(text)["fault"]]


def caught(fault: Fault, timeout: float = 600) -> list[str]:
    """Return the names of the checks that fail where the fault is planted.

    Raises RuntimeError where the component cannot be loaded: such a fault is not a fair one.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "kernel_plugins"
        ignored = shutil.ignore_patterns("__pycache__", "model.safetensors")
        shutil.copytree(ROOT / "plugins" / "kernel_plugins", copy, ignore=ignored)
        place = Path(folder) / fault.file
        place.write_text(fault.planted(place.read_text("utf-8")), "utf-8")
        options = [word for option in fault.options for word in ("-o", option)]
        name = f"{fault.component}@kernel-audio-plugins"
        command = [sys.executable, "-c", MAIN, "check", name, "--json", *options]
        done = subprocess.run(
            [*command, "--timeout", str(timeout)],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            capture_output=True,
            text=True,
        )
    try:
        (plugin,) = json.loads(done.stdout)["plugins"]
    except ValueError:
        raise RuntimeError(f"{fault.component}: {done.stderr.strip()}") from None
    if plugin["status"] == "unusable":
        raise RuntimeError(f"{fault.component} with {fault.sentence!r}: {plugin['error']}")
    return [each["check"] for each in plugin["checks"] if each["status"] in ("failed", "error")]


def found(kind: str, folder: Path = FAULTS) -> dict[str, list[str]]:
    """Return what was caught when the kind was last measured: the checks, by sentence."""
    place = folder / f"{kind}.json"
    return json.loads(place.read_text("utf-8")) if place.exists() else {}


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    results = [
        (fault, found(kind).get(fault.sentence)) for kind in kinds() for fault in faults(kind)
    ]
    yield f"{sum(bool(checks) for _, checks in results)} of {len(results)} are caught."
    yield ""
    yield "| component | fault | caught by |"
    yield "|---|---|---|"
    for fault, checks in results:
        names = ", ".join(f"`{check}`" for check in checks or ())
        names = names or ("not measured" if checks is None else "**missed**")
        yield f"| `{fault.component}` | {fault.sentence} | {names} |"


def table(page: str) -> str:
    """Return a page with its table written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", *rows(), f"{END}{after}"])


def measure(kind: str, only: int | None, folder: Path) -> None:
    """Plant the faults of a kind, or one of them, and write down what was caught."""
    known: dict[str, Any] = found(kind, folder)
    listed = faults(kind, folder)
    for number, fault in enumerate(listed, 1):
        if only in (None, number):
            known[fault.sentence] = caught(fault)
            print(
                f"{kind} {number}: {fault.sentence} {known[fault.sentence] or 'MISSED'}", flush=True
            )
    kept = {fault.sentence: known[fault.sentence] for fault in listed if fault.sentence in known}
    (folder / f"{kind}.json").write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="which kinds to measure; all unless named")
    parser.add_argument("--only", type=int, help="the number of one fault of that kind")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table")
    parser.add_argument("--list", default="faults", help="the list: faults, first, second or third")
    arguments = parser.parse_args()
    folder = FAULTS.parent / arguments.list
    for kind in () if arguments.table else arguments.kinds or kinds(folder):
        measure(kind, arguments.only, folder)
    PAGE.write_text(table(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
