"""Malformed distributions, made from a seed: each is listed, or told with its owner.

The first of each list is well-formed.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kernel._scan import canonical
from kernel.registry import Registry

CASES = 150
GOOD = "[kernel.v1]\nsolver.good = lab_good\n"

NAMES = ["lab-{}", "Lab_{}", "lab.{} ", "lab {}", "läb{}", "", "\0{}", "../lab{}", "x" * 10**5]
VERSIONS = ["1.0", "", "1" * 5000, "1.0+löcal", "not a version", "\x1b[31m", "." * 10**6]
HEADERS = [
    "[kernel.v1]",
    *("[ kernel.v1 ]", "[KERNEL.V1]", "[kernel.v01]", "[kernel.v]", "[kernel.v1.2]", "[kernel.v1"),
    *("[kernel.v2]", f"[kernel.v{'9' * 5000}]", "[kernel.v1]\n[kernel.v1]", "x = y\n[kernel.v1]"),
    *("[kernel.v1]]", "kernel.v1 = x", "[console_scripts]\nx = kernel.v1.main\n[kernel.v1]"),
]
ENTRIES = [
    *("solver.a = lab_a", "solver.a = lab_a\nsolver.a = lab_b", "solver.a: lab_a", "solver.a"),
    *("= lab_a", "solver.a =", "solver.a = lab a", "a = lab_a", "solver.a = lab_a:make", "[", "]"),
    *("solvr.a = lab_a", "solver.ä = lab_a", "solver.a = lab_a [extra]", "solver.a = %(b)s"),
    *("solver.a = \x1b[31m", "solver.a" + " " * 10**5 + "b", "solver.a = " + "x" * 10**6),
    *("s" * 10**6 + " = lab_a", "solver.a = lab_a\n  lab_b", "solver.a = a\0b", ""),
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
FOLDERS = [
    "{name}-{version}.dist-info",
    *("{name}.egg-info", "{name}-{version}-py3.11.egg-info", "EGG-INFO", ".dist-info"),
    *("-.dist-info", "l\udcffb-1.dist-info", "a b-1.dist-info", "lab\n-1.dist-info"),
]


class Maker:
    """Makes one malformed distribution in a folder of its own."""

    def __init__(self, number: int, site: Path) -> None:
        self.draws = random.Random(number)
        name, version = self.of(NAMES).format(number), self.of(VERSIONS)
        short = f"lab{number}"
        stem = self.of(FOLDERS).format(name=short, version=version[:20].strip("\x1b[/"))
        self.folder = site / stem
        self.folder.mkdir(parents=True)
        lines = [self.of(HEADERS), self.of(ENTRIES), self.of(ENTRIES)]
        end = self.of(["\n", "\r\n", "\r"])
        entry_points = self.put("entry_points.txt", end.join([*lines, ""]))
        fields = [f"Name: {name}", f"Version: {version}", "Requires-Dist: kernel-audio", "", "x"]
        metadata = self.put("PKG-INFO" if "egg" in stem.lower() else "METADATA", end.join(fields))
        for other in ("RECORD", "direct_url.json"):
            if self.draws.random() < 0.3:
                self.put(other, "{")
        plain = [
            None if each is None else each.replace(b"\0", b"") for each in (entry_points, metadata)
        ]
        speaks = b"kernel.v" in (plain[0] or b"").lower()
        doubtful = entry_points is None or b"\0" in entry_points or entry_points[:2] == b"\x1f\x8b"
        self.ours = speaks or (doubtful and b"kernel-audio" in (plain[1] or b""))
        stem = "".join(letter if letter.isprintable() else "?" for letter in stem)
        stem = stem.rpartition(".")[0].strip("-") or stem
        self.owners = set(map(canonical, (name.strip(), stem.rpartition("-")[0], stem))) - {""}

    def of(self, choices: list[str]) -> str:
        """Return the well-formed choice as often as one of the others."""
        return self.draws.choice([choices[0], self.draws.choice(choices[1:])])

    def put(self, file: str, text: str) -> bytes | None:
        """Write a file, or something in its place; return its content, None for what has none."""
        path, chance = self.folder / file, self.draws.random()
        if chance < 0.03:
            path.mkdir()
        elif chance < 0.06:
            os.mkfifo(path)
        elif chance < 0.09:
            path.symlink_to(path)
        elif chance < 0.12:
            path.symlink_to("/dev/zero")
        else:
            content = text.encode(self.of(ENCODINGS), "replace")
            if chance < 0.2:
                content = content[: self.draws.randrange(len(content) + 1)]
            elif chance < 0.23:
                content = gzip.compress(content)
            elif chance < 0.27:
                content = self.draws.randbytes(40) + content
            path.write_bytes(content)
            return content
        return None


class LateError(Exception):
    """What hangs; no OSError, as TimeoutError is, which a reader of files may catch."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise LateError in what hangs."""

    def late(*_: object) -> None:
        raise LateError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Maker]]:
    made = []
    for number in range(CASES):
        site = tmp_path_factory.mktemp(f"site{number}")
        good = site / "good-1.0.dist-info"
        good.mkdir()
        (good / "entry_points.txt").write_text(GOOD)
        (good / "METADATA").write_text("Name: good\nVersion: 1.0\n")
        made.append((site, Maker(number, site)))
    return made


def test_a_malformed_distribution_is_listed_or_told_with_its_owner(
    sites: list[tuple[Path, Maker]],
) -> None:
    told = listed = 0
    for site, bad in sites:
        with at_most(5):
            registry = Registry.scan(path=[str(site)])
        assert "good" in {info.distribution for info in registry.plugins}, bad.folder
        found = {info.distribution for info in registry.plugins + registry.foreign} - {"good"}
        for problem in registry.problems:
            assert problem.isprintable() and len(problem) < 1500, problem
            assert any(owner in problem for owner in bad.owners), (problem, bad.owners)
        assert found <= bad.owners
        assert bad.ours == bool(found or registry.problems), (bad.folder, registry)
        told += bool(registry.problems)
        listed += bool(found)
    # The generator makes many of both, and few that are nobody's business.
    assert told > CASES / 2 and listed > CASES / 5
    assert sum(bad.ours for _, bad in sites) > CASES * 0.8


@pytest.mark.parametrize("arguments", [["--json"], ["--requirements", "--json"], []])
def test_no_listing_ends_in_a_traceback(
    sites: list[tuple[Path, Maker]],
    site: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    for folder, _ in sites:
        monkeypatch.syspath_prepend(str(folder))
    with at_most(20):
        done = site.invoke("plugins", *arguments)
    assert done.exit_code == 0, done.exception
    if "--json" in arguments:
        assert json.loads(done.stdout)
    done.stdout.encode()
