"""Reads what W&B wrote with W&B's own records, and keeps everybody off the network."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BLOCK, HEAD = 32768, 7
"""Bytes of a block, and of the head of each part of a record, in a transaction log (LevelDB's)."""


class Session:
    """What one offline run folder of W&B holds."""

    def __init__(self, folder: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record

        (log,) = folder.glob("run-*.wandb")
        self.folder = folder
        self.records: list[Any] = []
        data, place, whole = log.read_bytes(), HEAD, b""
        assert data[:4] == b":W&B"
        while place + HEAD <= len(data):
            if BLOCK - place % BLOCK < HEAD:
                place += BLOCK - place % BLOCK
                continue
            _, size, kind = struct.unpack_from("<IHB", data, place)
            whole += data[place + HEAD : place + HEAD + size]
            place += HEAD + size
            if kind in (1, 4):  # the only or the last part
                self.records.append(Record.FromString(whole))
                whole = b""

    def of(self, kind: str) -> list[Any]:
        """Return the records of a kind."""
        found = (each for each in self.records if each.WhichOneof("record_type") == kind)
        return [getattr(each, kind) for each in found]

    @property
    def run(self) -> Any:
        """Return the record of the run."""
        return self.of("run")[0]

    @property
    def config(self) -> dict[str, Any]:
        """Return the settings that runs are compared by."""
        values = {each.key: json.loads(each.value_json) for each in self.run.config.update}
        return {name: value for name, value in values.items() if name != "_wandb"}

    def curve(self, *key: str) -> dict[int, Any]:
        """Return the points of a curve by their steps, each of which has one."""
        points = {}
        for row in self.of("history"):
            values = {tuple(each.nested_key): json.loads(each.value_json) for each in row.item}
            if key in values:
                assert row.step.num not in points
                points[row.step.num] = values[key]
        return points

    def sound(self, name: str, step: int) -> bytes:
        """Return the bytes of a sound at a step."""
        return (self.folder / "files" / self.curve(f"sounds/{name}", "path")[step]).read_bytes()

    @property
    def exit_code(self) -> int:
        """Return how the run ended."""
        (end,) = self.of("exit")
        return int(end.exit_code)


@pytest.fixture
def seen() -> Callable[[Path], list[Session]]:
    """Return a function from a folder of a run to the sessions of W&B in it, the oldest first."""
    return lambda folder: [Session(each) for each in sorted(folder.glob("wandb/offline-run-*"))]


def services() -> int:
    """Return how many services of W&B are children of this process."""
    listed = subprocess.run(["ps", "-eo", "ppid,comm"], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    return sum(row[0] == str(os.getpid()) and row[1].startswith("wandb") for row in rows)


@pytest.fixture(autouse=True)
def alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Refuse every connection to a machine; check that no service and no variable is left."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX, f"a connection to {address}"
        connect(self, address)

    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    deadline = time.monotonic() + 20
    while services() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert services() == 0
    assert "WANDB_SERVICE" not in os.environ
