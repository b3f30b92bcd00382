"""Processes of their own: what reaches the network, and what is left when W&B's service dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WATCHED = """
import os, signal, subprocess, sys
from pathlib import Path
from kernel import OutputError
from kernel_audio_wandb.wandb import WandB

def kill():
    listed = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        child, parent, command = line.split(maxsplit=2)
        if parent == str(os.getpid()) and command.startswith("wandb"):
            os.kill(int(child), signal.SIGKILL)

observer, folder = WandB(mode=sys.argv[1]), Path(sys.argv[2])
try:
    observer.started(folder, {"config": {}, "plugins": []})
    observer.step(10, 20, {"loss": 1.0})
    observer.checkpoint(folder)
    if "kill" in sys.argv:
        kill()
    if "raise" in sys.argv:
        raise RuntimeError("as a training that fails")
    observer.step(20, 20, {"loss": 0.5})
    observer.checkpoint(folder)
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
    """Return the server that W&B and every proxy is said to be."""
    return Server()


@pytest.fixture
def watched(tmp_path: Path, server: Server) -> Iterator[Callable[..., str]]:
    """Return a function that runs `WATCHED` for a folder; it returns the standard output."""

    def run(*words: str, **variables: str) -> str:
        own = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        own |= {"WANDB_BASE_URL": server.address, "HOME": str(tmp_path), **variables}
        own |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), server.address)
        command = [sys.executable, "-c", WATCHED, words[0], str(tmp_path / "run"), *words[1:]]
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120)
        return done.stdout

    (tmp_path / "run").mkdir()
    yield run
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in listed.stdout


def test_nothing_leaves_the_machine(
    tmp_path: Path, server: Server, watched: Callable[..., str], seen: Callable[[Path], Any]
) -> None:
    said = watched("offline", WANDB_API_KEY="0" * 40)
    assert said == f"wandb sync {tmp_path / 'run' / 'wandb'} to upload\n"
    assert seen(tmp_path / "run")[0].curve("loss") == {10: 1.0, 20: 0.5}
    assert server.asked == []


def test_online_asks_the_server_and_says_in_one_sentence_that_it_cannot(
    server: Server, watched: Callable[..., str]
) -> None:
    said = watched("online", WANDB_API_KEY="0" * 40)
    assert server.asked
    assert said.startswith("observer.wandb cannot write ")
    assert said.endswith("run `wandb login`, or leave out observer.wandb.mode to upload later\n")


def test_online_without_a_login_is_one_sentence(watched: Callable[..., str]) -> None:
    said = watched("online")
    assert said.startswith("observer.wandb cannot write ")
    assert said.count("\n") == 1 and "wandb login" in said


def test_a_service_that_was_killed_is_one_sentence(watched: Callable[..., str]) -> None:
    said = watched("offline", "kill")
    assert said.startswith("observer.wandb cannot write ")
    assert said.endswith("; make room for it, or leave out observer.wandb\n")


def test_a_training_that_fails_ends_the_service_and_leaves_its_checkpoint(
    tmp_path: Path, watched: Callable[..., str], seen: Callable[[Path], Any]
) -> None:
    assert watched("offline", "raise") == ""
    (found,) = seen(tmp_path / "run")
    assert found.curve("loss") == {10: 1.0}
    assert found.exit_code == 1
