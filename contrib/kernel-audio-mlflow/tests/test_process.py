"""Processes of their own: what reaches the network, and what is left of a failed training."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WATCHED = """
import sys
from pathlib import Path
from kernel import OutputError
from kernel_audio_mlflow.mlflow import MLflow

observer, folder = MLflow(uri=sys.argv[2] or None), Path(sys.argv[1])
try:
    observer.started(folder, {"config": {}, "plugins": []})
    observer.step(10, 20, {"loss": 1.0})
    observer.checkpoint(folder)
    observer.step(20, 20, {"loss": 0.5})
    if "fail" in sys.argv:
        sys.exit()
    print(observer.finished(folder))
except OutputError as error:
    print(error)
"""


class Server:
    """Takes connections and refuses what they ask."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                self.asked.append(connection.recv(4096).split(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def server() -> Server:
    """Return the server that every proxy is said to be."""
    return Server()


@pytest.fixture
def watched(tmp_path: Path, server: Server) -> Callable[..., str]:
    """Return a function that runs `WATCHED` for `tmp_path`; it returns the standard output."""

    def run(uri: str = "", *words: str) -> str:
        # In tests and in CI MLflow does not tell its makers how it is used.
        quiet = ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS")
        own = {name: value for name, value in os.environ.items() if name not in quiet}
        own = {name: value for name, value in own.items() if "proxy" not in name.lower()}
        own |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), server.address)
        own |= {"HOME": str(tmp_path / "home"), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        command = [sys.executable, "-c", WATCHED, str(tmp_path), uri, *words]
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120)
        assert not done.stderr
        return done.stdout

    return run


def test_nothing_leaves_the_machine(
    tmp_path: Path, server: Server, watched: Callable[..., str], seen: Callable[..., Any]
) -> None:
    said = watched()
    assert said == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow/mlflow.db\n"
    assert seen(tmp_path).curve("loss") == {10: 1.0, 20: 0.5}
    assert server.asked == []


def test_a_server_is_asked_and_its_refusal_is_one_sentence(
    server: Server, watched: Callable[..., str]
) -> None:
    said = watched(server.address)
    assert server.asked
    assert all(b"/mlflow/" in line for line in server.asked)
    assert said.startswith(f"observer.mlflow cannot write {server.address}: ")
    assert said.count("\n") == 1 and said.endswith("; choose another observer.mlflow.uri\n")


def test_a_training_that_fails_is_marked_and_keeps_its_checkpoint(
    tmp_path: Path, watched: Callable[..., str], seen: Callable[..., Any]
) -> None:
    assert watched("", "fail") == ""
    found = seen(tmp_path)
    assert found.curve("loss") == {10: 1.0}
    assert found.run.info.status == "KILLED"
